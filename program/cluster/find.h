/*
 * cluster/find.h
 *	  Which PostgreSQL of this machine runs the private cluster.
 */
#ifndef CLUSTER_FIND_H
#define CLUSTER_FIND_H

typedef struct Installation
{
	char *bindir;  /* with initdb and postgres */
	char *version; /* "15.20" */
	int major;
} Installation;

/*
 * Looks in: asked (--bindir), if given there only; $PG_CONFIG, if set there
 * only; /usr/lib/postgresql/N/bin, newest first.  The first that has the
 * extension is taken; with a cluster already made (major > 0) only one of its
 * version.  None: ends the program with EXIT_MISSING and says where it looked.
 */
extern Installation installation_find(const char *asked, int major);

#endif
