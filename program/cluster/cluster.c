/*
 * cluster/cluster.c
 *	  A private cluster: its directory, and what is where in it.
 */
#include "cluster/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/die.h"
#include "base/file.h"

/* ---- names ---- */

static const struct passwd *
current_user(void)
{
	const struct passwd *user = getpwuid(geteuid());

	if (user == NULL)
		die(EXIT_MISSING, "this process's user (%d) has no name", (int) geteuid());
	return user;
}

char *
cluster_default_directory(void)
{
	const char *data_home = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");

	if (data_home && data_home[0] == '/')
		return mem_format("%s/baton", data_home);
	if (home == NULL || home[0] != '/')
		home = current_user()->pw_dir;
	return mem_format("%s/.local/share/baton", home);
}

static char *
absolute(const char *path)
{
	char *here;
	char *whole;

	if (path[0] == '/')
		return mem_copy(path);
	here = getcwd(NULL, 0);
	if (here == NULL)
		die(EXIT_ERROR, "the current directory is gone: %s", strerror(errno));
	whole = mem_format("%s/%s", here, path);
	free(here);
	return whole;
}

Cluster
cluster_at(const char *directory, const char *socket, int port)
{
	Cluster c = {.port = port};

	c.directory = directory ? absolute(directory) : cluster_default_directory();
	c.data = mem_format("%s/data", c.directory);
	c.socket = socket ? absolute(socket) : mem_format("%s/socket", c.directory);
	c.log = mem_format("%s/log", c.directory);
	c.user = mem_copy(current_user()->pw_name);
	return c;
}

int
cluster_major(const Cluster *cluster)
{
	char *path = mem_format("%s/PG_VERSION", cluster->data);
	Text version = {0};
	int major = 0;

	if (file_read(path, 16, &version))
		major = (int) strtol(text_str(&version), NULL, 10);
	text_free(&version);
	free(path);
	return major;
}

/* ---- how to connect ---- */

/* A value of a connection string, in quotes where it needs them. */
static void
add_value(Text *conninfo, const char *key, const char *value)
{
	bool quote = *value == '\0' || strpbrk(value, " '\\\t") != NULL;

	text_addf(conninfo, "%s%s=%s", conninfo->length ? " " : "", key, quote ? "'" : "");
	for (const char *p = value; *p; p++)
		text_addf(conninfo, *p == '\'' || *p == '\\' ? "\\%c" : "%c", *p);
	text_add(conninfo, quote ? "'" : "");
}

char *
cluster_conninfo(const Cluster *cluster, const char *database)
{
	Text conninfo = {0};

	add_value(&conninfo, "host", cluster->socket);
	text_addf(&conninfo, " port=%d", cluster->port ? cluster->port : CLUSTER_SOCKET_PORT);
	add_value(&conninfo, "dbname", database);
	add_value(&conninfo, "user", cluster->user);
	return text_take(&conninfo);
}

char *
cluster_conninfo_tcp(const Cluster *cluster, const char *database)
{
	Text conninfo = {0};
	char *pgpass = mem_format("%s/pgpass", cluster->directory);

	text_addf(&conninfo, "host=127.0.0.1 port=%d", cluster->port);
	add_value(&conninfo, "dbname", database);
	add_value(&conninfo, "user", cluster->user);
	add_value(&conninfo, "passfile", pgpass);
	free(pgpass);
	return text_take(&conninfo);
}

static void
announce(const Cluster *cluster, const char *file, const char *what)
{
	char *path = mem_format("%s/%s", cluster->directory, file);

	if (what == NULL)
		(void) unlink(path);
	else if (!file_write(path, 0600, what))
		die(EXIT_ERROR, "could not write \"%s\": %s", path, strerror(errno));
	free(path);
}

static char *
announced(const Cluster *cluster, const char *file)
{
	char *path = mem_format("%s/%s", cluster->directory, file);
	Text what = {0};
	bool there = cluster_holder(cluster) != 0 && file_read(path, 4096, &what);

	free(path);
	if (there)
		return text_take(&what);
	text_free(&what);
	return NULL;
}

void
cluster_announce(const Cluster *cluster, const char *conninfo)
{
	announce(cluster, "conninfo", conninfo);
}

char *
cluster_announced(const Cluster *cluster)
{
	return announced(cluster, "conninfo");
}

void
cluster_announce_http(const Cluster *cluster, const char *url)
{
	announce(cluster, "http", url);
}

char *
cluster_announced_http(const Cluster *cluster)
{
	return announced(cluster, "http");
}

/* ---- the lock ---- */

/* Descriptor of DIR/lock; -1 where there is none and it is not to be made. */
static int
open_lock(const Cluster *cluster, int flags)
{
	char *path = mem_format("%s/lock", cluster->directory);
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0 && (flags & O_CREAT))
		die(EXIT_ERROR, "could not open \"%s\": %s", path, strerror(errno));
	free(path);
	return fd;
}

bool
cluster_lock(const Cluster *cluster)
{
	static int held = -1; /* stays open: closing any descriptor of it would unlock */
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	held = open_lock(cluster, O_RDWR | O_CREAT);
	return fcntl(held, F_SETLK, &whole) == 0;
}

pid_t
cluster_holder(const Cluster *cluster)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open_lock(cluster, O_RDWR);
	bool known;

	if (fd < 0)
		return 0;
	known = fcntl(fd, F_GETLK, &whole) == 0;
	close(fd);
	return known && whole.l_type != F_UNLCK ? whole.l_pid : 0;
}
