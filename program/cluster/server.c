/*
 * cluster/server.c
 *	  Runs the cluster's PostgreSQL as a child and keeps it running.
 *
 *		starting ──> ready ──> stopping ──> (end)
 *		   ^  │        │
 *		   │  └────────┴──> pausing		it ended unasked
 *		   └──────────────────┘
 */
#include "cluster/server.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/file.h"
#include "base/log.h"

#define LOOK_MS 25            /* between two looks whether it takes connections */
#define OTHERS_LIMIT_MS 10000 /* for others to end before the server is stopped */
#define STOP_LIMIT_MS 60000   /* then the shutdown is no longer a gentle one */
#define RESTARTS 5            /* within CALM_MS */
#define CALM_MS 60000
#define TAIL_BYTES 2000

typedef enum ServerState
{
	SERVER_STARTING,
	SERVER_READY,
	SERVER_PAUSING,
	SERVER_STOPPING
} ServerState;

typedef struct Server
{
	const Cluster *cluster;
	const Installation *installation;
	const ServerCalls *calls;
	ServerState state;
	pid_t pid;       /* 0 while pausing */
	LoopTimer timer; /* what it is for follows from the state */
	int failures;    /* unasked ends in a row */
	int64_t started; /* clock_ms() */
	bool ever_ready;
	bool stop_asked; /* and perhaps to wait a little for that */
} Server;

static void server_start(void *arg);

/* ---- the child ---- */

static void
become_server(const Server *server, pid_t parent)
{
	const Cluster *cluster = server->cluster;
	char *postgres = mem_format("%s/postgres", server->installation->bindir);
	char *start_log = mem_format("%s/start.log", cluster->log);
	char *port = mem_format("%d", cluster->port ? cluster->port : CLUSTER_SOCKET_PORT);
	int out = open(start_log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int in = open("/dev/null", O_RDONLY);

	/* It must not outlive us: nobody would stop it.  SIGINT is its fast shutdown. */
	prctl(PR_SET_PDEATHSIG, SIGINT);
	if (getppid() != parent)
		_exit(1);
	(void) setsid(); /* Ctrl-C is for us alone */
	loop_signals_restore();
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	(void) setenv("LC_MESSAGES", "C", 1);
	execl(postgres, postgres, "-D", cluster->data, "-k", cluster->socket, "-h",
	      cluster->port ? "localhost" : "", "-p", port, (char *) NULL);
	fprintf(stderr, "could not run \"%s\": %s\n", postgres, strerror(errno));
	_exit(127);
}

/* ---- when it does not start ---- */

/* The file of the log that was written last; caller frees. */
static char *
newest_log(const Cluster *cluster)
{
	char *pattern = mem_format("%s/postgresql-*.log", cluster->log);
	char *newest = NULL;
	time_t when = 0;
	struct stat status;
	glob_t found;

	if (glob(pattern, 0, NULL, &found) == 0)
	{
		for (size_t i = 0; i < found.gl_pathc; i++)
			if (stat(found.gl_pathv[i], &status) == 0 && status.st_mtime >= when)
			{
				free(newest);
				newest = mem_copy(found.gl_pathv[i]);
				when = status.st_mtime;
			}
		globfree(&found);
	}
	free(pattern);
	return newest;
}

static void
last_words(const Server *server, Text *words)
{
	char *start_log = mem_format("%s/start.log", server->cluster->log);
	char *log = newest_log(server->cluster);

	(void) file_tail(start_log, TAIL_BYTES, words);
	if (log)
		(void) file_tail(log, TAIL_BYTES, words);
	free(start_log);
	free(log);
}

/* The server of a "baton up" that was killed may still be on its way down. */
static bool
predecessor_lives(const char *words)
{
	return strstr(words, "postmaster.pid") || strstr(words, "shared memory block");
}

static void
give_up(const Server *server, const char *words)
{
	die_hint(EXIT_ERROR, "The server's log has more.",
	         "PostgreSQL does not start; see %s\n%s", server->cluster->log, words);
}

/* ---- states ---- */

static void
look_if_ready(void *arg)
{
	Server *server = arg;
	char *conninfo = cluster_conninfo(server->cluster, "postgres");
	PGPing answer = PQping(conninfo);

	free(conninfo);
	if (answer != PQPING_OK)
	{
		loop_timer(&server->timer, LOOK_MS, look_if_ready, server);
		return;
	}
	server->state = SERVER_READY;
	server->ever_ready = true;
	server->calls->ready(server->calls->arg);
}

static void
server_start(void *arg)
{
	Server *server = arg;
	pid_t parent = getpid();

	server->pid = fork();
	if (server->pid < 0)
		die(EXIT_ERROR, "could not start a process: %s", strerror(errno));
	if (server->pid == 0)
		become_server(server, parent);
	server->state = SERVER_STARTING;
	server->started = clock_ms();
	loop_timer(&server->timer, LOOK_MS, look_if_ready, server);
}

/* It ended unasked: again after a pause, unless it can't be helped. */
static void
server_failed(Server *server, int status)
{
	Text words = {0};

	if (clock_ms() - server->started > CALM_MS)
		server->failures = 0;
	last_words(server, &words);
	if (++server->failures > RESTARTS ||
	    (!server->ever_ready && !predecessor_lives(text_str(&words))))
		give_up(server, text_str(&words));
	text_free(&words);
	log_message(LOG_WARNING, "server_ended", "%s %d, starting it again",
	            WIFSIGNALED(status) ? "signal" : "exit status",
	            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	server->state = SERVER_PAUSING;
	loop_timer(&server->timer, 200L << server->failures, server_start, server);
}

static void
stop_now(void *arg)
{
	Server *server = arg;

	log_message(LOG_WARNING, "server_stop",
	            "stopping at once, it will recover at its next start");
	(void) kill(server->pid, SIGQUIT);
}

static void
stop(void *arg)
{
	Server *server = arg;

	loop_timer_stop(&server->timer);
	server->state = SERVER_STOPPING;
	if (server->pid == 0)
	{
		loop_stop();
		return;
	}
	(void) kill(server->pid, SIGINT);
	loop_timer(&server->timer, STOP_LIMIT_MS, stop_now, server);
}

static void
stop_if_may(Server *server)
{
	if (server->calls->may_stop(server->calls->arg))
		stop(server);
}

static void
child_ended(void *arg)
{
	Server *server = arg;
	int status;

	server->calls->ended(server->calls->arg);
	if (server->stop_asked && server->state != SERVER_STOPPING)
		stop_if_may(server);
	if (server->pid == 0 || waitpid(server->pid, &status, WNOHANG) != server->pid)
		return;
	server->pid = 0;
	loop_timer_stop(&server->timer);
	if (server->state == SERVER_STOPPING)
		loop_stop();
	else
		server_failed(server, status);
}

static void
stop_asked(void *arg)
{
	Server *server = arg;

	if (server->state == SERVER_STOPPING)
		stop_now(server);
	else if (server->stop_asked)
		stop(server);
	else
	{
		server->stop_asked = true;
		loop_timer(&server->timer, OTHERS_LIMIT_MS, stop, server);
		stop_if_may(server);
	}
}

static void
nothing_more(void *arg)
{
	(void) arg;
}

void
server_supervise(const Cluster *cluster, const Installation *installation,
                 const ServerCalls *calls)
{
	Server server = {.cluster = cluster, .installation = installation, .calls = calls};

	loop_signal(SIGCHLD, child_ended, &server);
	loop_signal(SIGINT, stop_asked, &server);
	loop_signal(SIGTERM, stop_asked, &server);
	server_start(&server);
	loop_run(nothing_more, NULL);
	loop_timer_stop(&server.timer);
}
