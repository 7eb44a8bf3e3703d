/*
 * http/gate.h
 *	  Connections before the library has them: accepted, and the first request looked at.
 *
 * What isn't HTTP, or has too large a head, is answered here, with a problem document.  Until the head is
 * whole its bytes stay in the socket, so a client that is slow at it costs next to nothing.  With TLS
 * there is nothing to be seen: then a connection goes to the library at once.
 */
#ifndef HTTP_GATE_H
#define HTTP_GATE_H

#include "http/request.h"

typedef struct Gate Gate;

/* Takes connections from the socket, at most so many at a time. */
extern void gates_open(Server *server, int fd, int most);

/* A connection of the library has ended: there is room for another one. */
extern void gates_room(Server *server);

/* Whether the client has closed its half of the connection. */
extern bool gate_sends_no_more(int fd);

/* No more of them; those that wait for a head are closed. */
extern void gates_close(Server *server);

#endif
