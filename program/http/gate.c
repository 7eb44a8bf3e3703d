/*
 * http/gate.c
 *	  Connections before the library has them: accepted, and the first request looked at.
 *
 *		waiting for a head ──> the library's
 *		                └────> refused ──> closed
 */
#define _GNU_SOURCE 1 /* accept4, POLLRDHUP */
#include "http/gate.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "http/counters.h"
#include "http/head.h"
#include "http/internal.h"
#include "http/problem.h"

#define ACCEPTED_AT_ONCE 10
#define PAUSE_MS 100         /* where accept fails for want of something */
#define LIMIT_LINGER_MS 2000 /* what comes after a refusal is read, and dropped */

struct Gate
{
	Server *server;
	int fd;
	Head head;
	bool refused;
	int64_t started; /* clock_us() */
	LoopSource io;
	LoopTimer limit;
	Gate *next;
	Gate *previous;
};

/* ---- the end of one ---- */

/* The socket is somebody else's now. */
static void
leave(Gate *gate)
{
	Server *server = gate->server;

	loop_timer_stop(&gate->limit);
	loop_unwatch(&gate->io);
	if (gate->previous)
		gate->previous->next = gate->next;
	else
		server->gates = gate->next;
	if (gate->next)
		gate->next->previous = gate->previous;
	server->connections--;
	free(gate);
}

static void
close_gate(Gate *gate)
{
	Server *server = gate->server;
	int fd = gate->fd;

	leave(gate);
	close(fd);
	gates_room(server);
}

/* ---- refusing ---- */

/*
 * Were the socket closed while something unread is in it, the client might never see the
 * answer: so what still comes is dropped for a while.
 */
static void
drain(void *arg)
{
	static char bytes[HEAD_MOST];
	Gate *gate = arg;
	ssize_t n = recv(gate->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_gate(gate);
}

static void
linger_over(void *arg)
{
	close_gate(arg);
}

static void
refuse(Gate *gate, int status, const char *complaint)
{
	char *problem = problem_make(status, complaint);
	char *answer = problem_answer(status, problem);

	gate->refused = true;
	log_message(LOG_DEBUG, "refused", "%d: %s", status, complaint);
	counters_add(NULL, status, clock_us() - gate->started);
	/* The first bytes on this connection: they find room, or nobody is there. */
	(void) send(gate->fd, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT);
	free(answer);
	free(problem);
	(void) shutdown(gate->fd, SHUT_WR);
	loop_watch(&gate->io, gate->fd, EPOLLIN, drain, gate);
	loop_timer(&gate->limit, LIMIT_LINGER_MS, linger_over, gate);
}

/* ---- the head ---- */

static void
hand_over(Server *server, int fd, const struct sockaddr *address, socklen_t size)
{
	/* Closes it where it can't take it. */
	if (MHD_add_connection(server->daemon, fd, address, size) != MHD_YES)
		gates_room(server);
	server->due = true;
}

static void
let_in(Gate *gate)
{
	Server *server = gate->server;
	int fd = gate->fd;
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);

	if (getpeername(fd, (struct sockaddr *) &address, &size) != 0)
	{
		close_gate(gate);
		return;
	}
	leave(gate);
	hand_over(server, fd, (struct sockaddr *) &address, size);
}

bool
gate_sends_no_more(int fd)
{
	struct pollfd watched = {.fd = fd, .events = POLLRDHUP};

	return poll(&watched, 1, 0) > 0;
}

static void
look(void *arg)
{
	static char bytes[HEAD_MOST + 1];
	Gate *gate = arg;
	Head *head = &gate->head;
	ssize_t n = recv(gate->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
	{
		close_gate(gate);
		return;
	}
	if (head_read(head, bytes + head->size, (size_t) n - head->size) == HEAD_MORE &&
	    gate_sends_no_more(gate->fd))
		head_end(head);
	if (head->verdict == HEAD_WHOLE)
		let_in(gate);
	else if (head->verdict == HEAD_BAD)
		refuse(gate, head->status, head->complaint);
}

static void
head_late(void *arg)
{
	Gate *gate = arg;

	if (gate->head.size > 0)
		refuse(gate, 408, "the headers did not come in time");
	else
		close_gate(gate);
}

static void
begin(Server *server, int fd)
{
	Gate *gate = mem_alloc(sizeof(Gate));

	gate->server = server;
	gate->fd = fd;
	gate->started = clock_us();
	gate->next = server->gates;
	if (gate->next)
		gate->next->previous = gate;
	server->gates = gate;
	server->connections++;
	loop_timer(&gate->limit, LIMIT_FIRST_MS, head_late, gate);
	/* Its bytes are not taken out: only new ones are news. */
	loop_watch(&gate->io, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, look, gate);
}

/* ---- accepting ---- */

static void take_some(void *arg);

static void
watch(void *arg)
{
	Server *server = arg;

	if (server->listener >= 0)
		loop_watch(&server->listening, server->listener, EPOLLIN, take_some, server);
}

void
gates_room(Server *server)
{
	if (!server->pause.set)
		watch(server);
}

/* Descriptors or memory are lacking: not at once again. */
static void
pause_taking(Server *server)
{
	log_message(LOG_WARNING, "accept", "could not accept a connection: %s",
	            strerror(errno));
	loop_unwatch(&server->listening);
	loop_timer(&server->pause, PAUSE_MS, watch, server);
}

/* False: there is none. */
static bool
take_one(Server *server)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	int fd = accept4(server->listener, (struct sockaddr *) &address, &size,
	                 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0 && server->options->certificate)
		hand_over(server, fd, (struct sockaddr *) &address, size);
	else if (fd >= 0)
		begin(server, fd);
	else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		pause_taking(server);
	return fd >= 0;
}

static void
take_some(void *arg)
{
	Server *server = arg;

	for (int n = 0; n < ACCEPTED_AT_ONCE; n++)
	{
		if (server->connections >= server->most_connections)
		{
			loop_unwatch(&server->listening);
			return;
		}
		if (!take_one(server))
			return;
	}
}

void
gates_open(Server *server, int fd, int most)
{
	server->listener = fd;
	server->most_connections = most;
	watch(server);
}

void
gates_close(Server *server)
{
	loop_timer_stop(&server->pause);
	loop_unwatch(&server->listening);
	if (server->listener >= 0)
		close(server->listener);
	server->listener = -1;
	while (server->gates)
		close_gate(server->gates);
}
