/*
 * cluster/cluster.h
 *	  A private cluster: its directory, and what is where in it.
 *
 *		DIR/data		PostgreSQL's own; made once
 *		DIR/socket		Unix socket, mode 0700: who can enter is trusted
 *		DIR/log			server's log, a file a weekday; start.log, up.log
 *		DIR/lock		locked by the "baton up" that runs it
 *		DIR/conninfo	how to connect, while the server runs
 *		DIR/pgpass		the password for connections by TCP (--port)
 */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "cluster/find.h"

#define CLUSTER_DATABASE "baton"
#define CLUSTER_SOCKET_PORT 5432 /* names the file of the socket, when there is no TCP */

typedef struct Cluster
{
	char *directory; /* absolute */
	char *data;
	char *socket;
	char *log;
	char *user; /* superuser: named as the user of the machine */
	int port;   /* TCP on loopback too; 0: only the socket */
} Cluster;

/*
 * Fills in the paths.  directory NULL: the default; socket NULL: DIR/socket.  The
 * names are copied, and nothing is made.
 */
extern Cluster cluster_at(const char *directory, const char *socket, int port);

/* $XDG_DATA_HOME/baton or ~/.local/share/baton; caller frees. */
extern char *cluster_default_directory(void);

/* Version of the data that is there; 0: none was made yet. */
extern int cluster_major(const Cluster *cluster);

/* Makes DIR; ends the program if it can't. */
extern void cluster_make_directory(const Cluster *cluster);

/*
 * Makes what is in it: directories with the right modes, and data if there is none: by initdb,
 * beside its final place and then renamed, so that half a cluster is never
 * taken for one.  Ends the program if it can't.
 */
extern void cluster_make(const Cluster *cluster, const Installation *installation);

/* Writes the settings "baton up" answers for; postgresql.conf includes them first. */
extern void cluster_write_settings(const Cluster *cluster);

/* How to connect to a database of it by the socket; caller frees. */
extern char *cluster_conninfo(const Cluster *cluster, const char *database);

/* The same by TCP, with the file of the password. */
extern char *cluster_conninfo_tcp(const Cluster *cluster, const char *database);

/* Takes the lock for the life of this process; false: another process has it. */
extern bool cluster_lock(const Cluster *cluster);

/* The process that holds the lock; 0: none.  Not for its holder: to look would release it. */
extern pid_t cluster_holder(const Cluster *cluster);

/* Tells others how to connect; NULL: no more. */
extern void cluster_announce(const Cluster *cluster, const char *conninfo);

/* The same for the URL of the HTTP server beside it. */
extern void cluster_announce_http(const Cluster *cluster, const char *url);

/* What another process that holds the lock announces; NULL: it doesn't run or isn't ready; caller frees. */
extern char *cluster_announced(const Cluster *cluster);
extern char *cluster_announced_http(const Cluster *cluster);

#endif
