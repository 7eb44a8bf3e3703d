/*
 * commands/up.c
 *	  baton up: a PostgreSQL server of one's own, with the extension.
 */
#define _GNU_SOURCE 1 /* pipe2 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "cluster/companion.h"
#include "cluster/server.h"
#include "commands/command.h"
#include "pg/connection.h"
#include "pg/query.h"

#define LOOK_MS 20

static struct
{
	const char *directory;
	const char *socket;
	const char *bindir;
	const char *http;
	int port;
	bool background;
	bool json;
} asked;

/* Where the HTTP server listens if nothing is said; if that is taken, anywhere. */
#define HTTP_USUAL "127.0.0.1:7654"
#define HTTP_ANYWHERE "127.0.0.1:0"
#define HTTP_LISTEN 5 /* place of the address in its command line */

typedef struct Up
{
	Cluster cluster;
	Installation installation;
	int report; /* background: pipe to the process the user waits for; else -1 */
	bool reported;
	Companion http;
	const char *http_argv[8];
	char *http_says; /* where it listens */
} Up;

/* ---- the database ---- */

static PGconn *
connect_to(const Cluster *cluster, const char *database)
{
	char *conninfo = cluster_conninfo(cluster, database);
	char *error = NULL;
	PGconn *conn = connection_try(conninfo, &error);

	if (conn == NULL)
		die(EXIT_CONNECTION, "%s", error);
	free(conninfo);
	return conn;
}

static void
make_database(const Cluster *cluster)
{
	PGconn *conn = connect_to(cluster, "postgres");
	PGresult *found = query_run(
	    conn, QUERY("select from pg_database where datname = $1", CLUSTER_DATABASE));

	if (PQntuples(found) == 0)
		query_command(conn, "create database " CLUSTER_DATABASE);
	PQclear(found);
	PQfinish(conn);
}

/* Makes the extension, or brings it to the version that is installed; returns that. */
static char *
make_extension(const Cluster *cluster)
{
	PGconn *conn = connect_to(cluster, CLUSTER_DATABASE);
	PGresult *result;
	char *version;

	query_command(conn, "set client_min_messages = warning");
	query_command(conn, "create extension if not exists baton");
	query_command(conn, "alter extension baton update");
	result = query_run(
	    conn, QUERY("select extversion from pg_extension where extname = $1", "baton"));
	version = mem_copy(PQgetvalue(result, 0, 0));
	PQclear(result);
	PQfinish(conn);
	return version;
}

/* ---- the HTTP server ---- */

static bool
start_http_at(Up *up, const char *conninfo, const char *address)
{
	const char *const argv[] = {"/proc/self/exe", "serve", "-d",           conninfo,
	                            "--listen",       address, "--local-user", NULL};

	memcpy(up->http_argv, argv, sizeof(argv));
	up->http = (Companion){.argv = up->http_argv,
	                       .log = mem_format("%s/http.log", up->cluster.log)};
	up->http_says = companion_start(&up->http);
	if (up->http_says == NULL)
		return false;
	cluster_announce_http(&up->cluster, up->http_says);
	/* Started again it is where it was, also if it was to find a port. */
	up->http_argv[HTTP_LISTEN] = strstr(up->http_says, "://") + 3;
	return true;
}

static void
start_http(Up *up, const char *conninfo)
{
	const char *address = asked.http ? asked.http : HTTP_USUAL;

	if (asked.http && strcmp(asked.http, "off") == 0)
		return;
	if (start_http_at(up, mem_copy(conninfo), address) ||
	    (!asked.http && start_http_at(up, mem_copy(conninfo), HTTP_ANYWHERE)))
		return;
	die_hint(EXIT_ERROR, "\"--http off\" starts none.",
	         "the HTTP server does not start on %s; see %s", address, up->http.log);
}

static void
child_ended(void *arg)
{
	companion_look(&((Up *) arg)->http);
}

static bool
may_stop(void *arg)
{
	return companion_stop(&((Up *) arg)->http);
}

/* ---- what is said ---- */

static void
say_how_to_connect(const Cluster *cluster, const char *conninfo, const char *http)
{
	char *usual = cluster_default_directory();
	bool found_alone = strcmp(usual, cluster->directory) == 0;

	printf("  psql  \"%s\"\n", conninfo);
	printf("  baton queue -d \"%s\"\n", conninfo);
	if (found_alone)
		puts("  (this user's baton commands find this server without -d)");
	if (cluster->port)
	{
		char *tcp = cluster_conninfo_tcp(cluster, CLUSTER_DATABASE);

		printf("  by TCP: \"%s\"\n", tcp);
		free(tcp);
	}
	if (http)
		printf("  HTTP: %s\n", http);
	free(usual);
}

/* version NULL: of a server that was running already. */
static void
say_json(const Up *up, const char *conninfo, const char *http, const char *version)
{
	Text line = {0};

	text_add(&line, "{\"directory\": ");
	text_add_json(&line, up->cluster.directory);
	text_add(&line, ", \"conninfo\": ");
	text_add_json(&line, conninfo);
	if (http)
	{
		text_add(&line, ", \"http\": ");
		text_add_json(&line, http);
	}
	if (version)
	{
		text_add(&line, ", \"postgresql\": ");
		text_add_json(&line, up->installation.version);
		text_add(&line, ", \"baton\": ");
		text_add_json(&line, version);
	}
	printf("%s}\n", text_str(&line));
	text_free(&line);
}

static void
say_ready(const Up *up, const char *conninfo, const char *version)
{
	if (asked.json)
	{
		say_json(up, conninfo, up->http_says, version);
		return;
	}
	printf("PostgreSQL %s with baton %s runs in %s\n", up->installation.version, version,
	       up->cluster.directory);
	say_how_to_connect(&up->cluster, conninfo, up->http_says);
	if (up->report < 0)
		puts("Ctrl-C stops it; started again it goes on with what it has.");
}

/* In the background nobody looks at the terminal any more: on to a file. */
static void
leave_terminal(Up *up)
{
	char *path = mem_format("%s/up.log", up->cluster.log);
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void) fflush(stdout);
	dup2(nothing, STDIN_FILENO);
	dup2(nothing, STDOUT_FILENO);
	dup2(log >= 0 ? log : nothing, STDERR_FILENO);
	if (write(up->report, "", 1) != 1)
		log_message(LOG_WARNING, "up", "the process that started this one is gone");
	close(up->report);
	up->report = -1;
	free(path);
}

/* The server takes connections: at the start, and again after each restart. */
static void
server_ready(void *arg)
{
	Up *up = arg;
	char *conninfo = cluster_conninfo(&up->cluster, CLUSTER_DATABASE);
	char *version;

	make_database(&up->cluster);
	version = make_extension(&up->cluster);
	if (!up->reported)
		start_http(up, conninfo);
	cluster_announce(&up->cluster, conninfo);
	if (!up->reported)
	{
		say_ready(up, conninfo, version);
		fflush(stdout);
		if (up->report >= 0)
			leave_terminal(up);
	}
	up->reported = true;
	free(version);
	free(conninfo);
}

/* ---- running ---- */

static void
refuse_root(void)
{
	if (geteuid() == 0)
		die_hint(EXIT_MISSING,
		         "As an ordinary user, for example: runuser -u postgres -- baton up",
		         "PostgreSQL can't be run by root");
}

/*
 * The process the user waits for ends when the other one says that the server
 * is ready, or has ended with an error of its own.
 */
static int
go_to_background(void)
{
	int fds[2];
	char word;
	int status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		die(EXIT_ERROR, "could not go to the background: %s", strerror(errno));
	if (pid == 0)
	{
		close(fds[0]);
		(void) setsid();
		return fds[1];
	}
	close(fds[1]);
	if (read(fds[0], &word, 1) == 1)
		_exit(EXIT_OK);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	_exit(EXIT_ERROR);
}

/* Another process has the lock: for --background as good as done, once it is ready. */
static int
already_running(const Up *up)
{
	const Cluster *cluster = &up->cluster;
	char *conninfo = NULL;
	char *http;

	if (!asked.background)
		die_hint(EXIT_ERROR, "\"baton down\" stops it.",
		         "it runs already in %s (process %d)", cluster->directory,
		         (int) cluster_holder(cluster));
	while (conninfo == NULL && cluster_holder(cluster) != 0)
	{
		conninfo = cluster_announced(cluster);
		clock_pause_ms(LOOK_MS);
	}
	if (conninfo == NULL)
		die(EXIT_ERROR, "the one that was starting in %s has ended", cluster->directory);
	http = cluster_announced_http(cluster);
	if (asked.json)
		say_json(up, conninfo, http, NULL);
	else
	{
		printf("Runs already in %s (process %d)\n", cluster->directory,
		       (int) cluster_holder(cluster));
		say_how_to_connect(cluster, conninfo, http);
	}
	free(http);
	free(conninfo);
	return EXIT_OK;
}

static int
run_up(int argc, char **argv)
{
	Up up = {.report = -1};

	(void) argc, (void) argv;
	refuse_root();
	/* These would speak for another server. */
	(void) unsetenv("PGSERVICE");
	(void) unsetenv("PGOPTIONS");
	up.cluster = cluster_at(asked.directory, asked.socket, asked.port);
	up.installation = installation_find(asked.bindir, cluster_major(&up.cluster));
	cluster_make_directory(&up.cluster);
	if (cluster_holder(&up.cluster) != 0)
		return already_running(&up);
	if (asked.background)
		up.report = go_to_background();
	if (!cluster_lock(&up.cluster))
		return already_running(&up);
	cluster_make(&up.cluster, &up.installation);
	server_supervise(&up.cluster, &up.installation,
	                 &(ServerCalls){.ready = server_ready,
	                                .ended = child_ended,
	                                .may_stop = may_stop,
	                                .arg = &up});
	cluster_announce(&up.cluster, NULL);
	cluster_announce_http(&up.cluster, NULL);
	return EXIT_OK;
}

static const Option options[] = {
    {"directory", 'D', OPTION_STRING, "DIR", &asked.directory, 0, 0,
     "where the cluster is, or is made (~/.local/share/baton)"},
    {"port", 'p', OPTION_COUNT, "PORT", &asked.port, 1, 65535,
     "listen on 127.0.0.1 too, with a password (DIR/pgpass)"},
    {"http", 0, OPTION_STRING, "HOST:PORT", &asked.http, 0, 0,
     "where the HTTP API listens, or \"off\" (127.0.0.1:7654; if taken, another port)"},
    {"background", 'b', OPTION_FLAG, NULL, &asked.background, 0, 0,
     "return when the server is ready; \"baton down\" stops it"},
    {"bindir", 0, OPTION_STRING, "DIR", &asked.bindir, 0, 0,
     "PostgreSQL's programs, else by $PG_CONFIG, else Debian's newest"},
    {"socket", 0, OPTION_STRING, "DIR", &asked.socket, 0, 0,
     "directory of the Unix socket (DIR/socket)"},
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0,
     "say how to connect as an object: directory, conninfo, versions"},
    {0},
};

static const char *const examples[] = {
    "baton up",
    "baton up -D /srv/baton --port 5433",
    "baton up --background && baton queue create mail && baton send mail '{\"to\": "
    "\"you\"}'",
    NULL,
};

const Command command_up = {
    .name = "up",
    .arguments = "",
    .summary = "start a PostgreSQL server of one's own, with the extension",
    .description =
        "Makes a private cluster if there is none yet, starts it, creates the database\n"
        "\"baton\" with the extension, says how to connect, and keeps it running until\n"
        "Ctrl-C or SIGTERM. Only the user who runs it (and root) can connect: by a "
        "socket in\n"
        "a directory of mode 0700, by HTTP on loopback, with --port by TCP on loopback "
        "too.\n"
        "Your own settings go into DIR/data/postgresql.conf, at the end.",
    .options = options,
    .examples = examples,
    .run = run_up,
};
