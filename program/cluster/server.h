/*
 * cluster/server.h
 *	  Runs the cluster's PostgreSQL as a child and keeps it running.
 */
#ifndef CLUSTER_SERVER_H
#define CLUSTER_SERVER_H

#include "base/loop.h"
#include "cluster/cluster.h"

/* What the caller has to do with it. */
typedef struct ServerCalls
{
	LoopHandler ready; /* it takes connections: at the start, and after each restart */
	LoopHandler ended; /* some child of the process has ended */

	/* It is to stop: true if it may.  Asked again when a child has ended, not for long. */
	bool (*may_stop)(void *arg);
	void *arg;
} ServerCalls;

/*
 * Starts the server, starts it again when it ends unasked (a few times a minute at
 * most), and stops it on SIGINT or SIGTERM; a second signal stops it at once, without a
 * checkpoint.  Returns when it has stopped.  If this process is killed the server stops by
 * itself.
 *
 * The caller holds the cluster's lock.  Ends the program if the server can't be started.
 */
extern void server_supervise(const Cluster *cluster, const Installation *installation,
                             const ServerCalls *calls);

#endif
