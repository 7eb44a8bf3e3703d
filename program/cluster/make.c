/*
 * cluster/make.c
 *	  Makes a private cluster and writes its settings.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/die.h"
#include "base/file.h"
#include "base/run.h"
#include "cluster/cluster.h"

#define MB (1024L * 1024L)

/* ---- directories ---- */

static void
make_private(const char *path)
{
	struct stat status;

	if (!directory_make(path, 0700) || stat(path, &status) != 0)
		die(EXIT_ERROR, "could not make directory \"%s\": %s", path, strerror(errno));
	if (status.st_uid != geteuid() || (status.st_mode & 077) != 0)
		die_hint(EXIT_MISSING,
		         "It must be yours and closed to others: chown, chmod 0700.",
		         "directory \"%s\" is open to other users", path);
}

/* The kernel's bound on the name of a socket is short; say so before PostgreSQL does. */
static void
check_socket_name(const Cluster *cluster)
{
	struct sockaddr_un address;
	size_t need = strlen(cluster->socket) + sizeof("/.s.PGSQL.65535.lock");

	if (need > sizeof(address.sun_path))
		die_hint(EXIT_USAGE, "Name another directory for the socket: --socket DIR.",
		         "\"%s\" is too long for the name of a Unix socket", cluster->socket);
}

/* ---- initdb ---- */

static char *
random_password(void)
{
	unsigned char bytes[24];
	Text password = {0};

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		die(EXIT_ERROR, "getrandom: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(bytes); i++)
		text_addf(&password, "%02x", bytes[i]);
	return text_take(&password);
}

static void
write_or_die(const char *path, mode_t mode, const char *content)
{
	if (!file_write(path, mode, content))
		die(EXIT_ERROR, "could not write \"%s\": %s", path, strerror(errno));
}

/* The password in the two forms that are needed: for initdb, and for libpq. */
static void
write_password(const Cluster *cluster, const char *pwfile)
{
	char *pgpass = mem_format("%s/pgpass", cluster->directory);
	char *password = random_password();
	char *line = mem_format("127.0.0.1:*:*:%s:%s\n", cluster->user, password);

	write_or_die(pwfile, 0600, password);
	write_or_die(pgpass, 0600, line);
	free(pgpass);
	free(password);
	free(line);
}

static void
run_initdb(const Cluster *cluster, const Installation *installation, const char *data)
{
	char *initdb = mem_format("%s/initdb", installation->bindir);
	char *pwfile = mem_format("%s/pwfile", cluster->directory);
	const char *const remove[] = {"rm", "-rf", data, NULL};
	const char *const make[] = {initdb,
	                            "-D",
	                            data,
	                            "-U",
	                            cluster->user,
	                            "--pwfile",
	                            pwfile,
	                            "-A",
	                            "scram-sha-256",
	                            "-E",
	                            "UTF8",
	                            "--no-locale",
	                            "--data-checksums",
	                            "--no-instructions",
	                            NULL};
	Text output = {0};
	int status;

	write_password(cluster, pwfile);
	(void) run_program(remove, &output); /* left by one that was killed */
	text_clear(&output);
	status = run_program(make, &output);
	(void) unlink(pwfile);
	if (status != 0)
		die(EXIT_ERROR, "initdb failed (exit status %d):\n%s", status, text_str(&output));
	text_free(&output);
	free(initdb);
	free(pwfile);
}

/* ---- settings ---- */

static const char access_rules[] =
    "# Written by \"baton up\" when it made this cluster.\n"
    "# The socket's directory has mode 0700: who can enter it is this cluster's owner.\n"
    "# type  database     user  address        method\n"
    "local   all          all                  trust\n"
    "host    all          all   127.0.0.1/32   scram-sha-256\n"
    "host    all          all   ::1/128        scram-sha-256\n"
    "local   replication  all                  trust\n"
    "host    replication  all   127.0.0.1/32   scram-sha-256\n"
    "host    replication  all   ::1/128        scram-sha-256\n";

static const char own_settings[] =
    "\n# Added by \"baton up\" when it made this cluster.\n"
    "# baton.conf is written anew at each start.  What stands below it wins.\n"
    "include_if_exists = 'baton.conf'\n";

static const char fixed_settings[] =
    "# Written by \"baton up\" at each start: change postgresql.conf instead.\n"
    "shared_preload_libraries = 'baton'\n"
    "password_encryption = 'scram-sha-256'\n"
    "unix_socket_permissions = 0700\n"
    "max_connections = 200\n"
    "max_worker_processes = 16\n"
    "max_wal_size = '2GB'\n"
    "checkpoint_timeout = '15min'\n"
    "wal_compression = on\n"
    "jit = off\n"
    "lc_messages = 'C'\n"
    "# A client whose machine is gone is noticed within a minute.\n"
    "tcp_keepalives_idle = 20\n"
    "tcp_keepalives_interval = 10\n"
    "tcp_keepalives_count = 3\n"
    "tcp_user_timeout = '60s'\n"
    "client_connection_check_interval = '2s'\n"
    "# One file a weekday, each overwritten after a week.\n"
    "logging_collector = on\n"
    "log_filename = 'postgresql-%a.log'\n"
    "log_rotation_age = '1d'\n"
    "log_rotation_size = 0\n"
    "log_truncate_on_rotation = on\n"
    "log_line_prefix = '%m [%p] %q%a '\n";

/* An eighth of the memory, between 64 MB and 1 GB. */
static long
shared_buffers_mb(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);
	long mb = pages > 0 ? pages / (MB / sysconf(_SC_PAGESIZE)) / 8 : 128;

	return mb < 64 ? 64 : mb > 1024 ? 1024 : mb;
}

void
cluster_write_settings(const Cluster *cluster)
{
	char *path = mem_format("%s/baton.conf", cluster->data);
	Text settings = {0};

	text_add(&settings, fixed_settings);
	text_addf(&settings, "shared_buffers = '%ldMB'\n", shared_buffers_mb());
	text_add(&settings, "log_directory = '");
	for (const char *p = cluster->log; *p; p++)
		text_addf(&settings, *p == '\'' ? "''" : "%c", *p);
	text_add(&settings, "'\n");
	write_or_die(path, 0600, text_str(&settings));
	text_free(&settings);
	free(path);
}

static void
write_first_settings(const char *data)
{
	char *hba = mem_format("%s/pg_hba.conf", data);
	char *conf = mem_format("%s/postgresql.conf", data);
	Text settings = {0};

	write_or_die(hba, 0600, access_rules);
	if (!file_read(conf, MB, &settings))
		die(EXIT_ERROR, "could not read \"%s\": %s", conf, strerror(errno));
	text_add(&settings, own_settings);
	write_or_die(conf, 0600, text_str(&settings));
	text_free(&settings);
	free(hba);
	free(conf);
}

/* ---- all of it ---- */

void
cluster_make_directory(const Cluster *cluster)
{
	check_socket_name(cluster);
	if (!directory_make(cluster->directory, 0700))
		die(EXIT_ERROR, "could not make directory \"%s\": %s", cluster->directory,
		    strerror(errno));
}

void
cluster_make(const Cluster *cluster, const Installation *installation)
{
	char *draft = mem_format("%s/data.new", cluster->directory);

	make_private(cluster->socket);
	make_private(cluster->log);
	if (cluster_major(cluster) == 0)
	{
		run_initdb(cluster, installation, draft);
		write_first_settings(draft);
		if (rename(draft, cluster->data) != 0)
			die(EXIT_ERROR, "could not rename \"%s\" to \"%s\": %s", draft, cluster->data,
			    strerror(errno));
	}
	cluster_write_settings(cluster);
	free(draft);
}
