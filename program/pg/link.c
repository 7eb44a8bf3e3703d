/*
 * pg/link.c
 *	  A connection in the event loop.
 */
#include "pg/link.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "pg/connection.h"

#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 2000
#define CONNECT_LIMIT_MS 15000

static void link_connect(void *arg);
static void link_ready(void *arg);

/* ---- going down ---- */

static void
log_loss(const Link *link)
{
	char *error = connection_error(link->conn);
	LogLine line;

	log_begin(&line, LOG_WARNING,
	          link->state == LINK_CONNECTING ? "not_connected" : "disconnected");
	log_string(&line, "link", link->name);
	log_number(&line, "retry_ms", link->pause_ms);
	log_string(&line, "message", error);
	log_end(&line);
	free(error);
}

static void
link_drop(Link *link)
{
	loop_unwatch(&link->io);
	loop_timer_stop(&link->retry);
	PQclear(link->result);
	link->result = NULL;
	PQfinish(link->conn);
	link->conn = NULL;
	link->state = LINK_DOWN;
}

/* Lost: a little longer until each next try, and never in step with others. */
static void
link_lost(Link *link)
{
	LinkState was = link->state;
	int64_t pause = link->pause_ms + random() % (link->pause_ms / 2 + 1);

	log_loss(link);
	link_drop(link);
	link->failed = true;
	link->pause_ms =
	    link->pause_ms * 2 < LONGEST_PAUSE_MS ? link->pause_ms * 2 : LONGEST_PAUSE_MS;
	loop_timer(&link->retry, pause, link_connect, link);
	if (was == LINK_BUSY)
		link->answer(link->answer_arg, NULL);
	if (was != LINK_CONNECTING && link->went_down)
		link->went_down(link->arg);
}

/* ---- coming up ---- */

static void
link_idle(Link *link)
{
	link->state = LINK_IDLE;
	link->pause_ms = FIRST_PAUSE_MS;
	link->failed = false;
	loop_timer_stop(&link->retry);
	loop_watch(&link->io, PQsocket(link->conn), EPOLLIN, link_ready, link);
}

static void
log_return(const Link *link)
{
	LogLine line;

	log_begin(&line, link->failed ? LOG_WARNING : LOG_DEBUG, "connected");
	log_string(&line, "link", link->name);
	log_end(&line);
}

/*
 * One step of connecting.  libpq may close its socket and open another with the
 * same number in here, so it must not be watched meanwhile.
 */
static void
link_advance(void *arg)
{
	Link *link = arg;
	PostgresPollingStatusType step;

	loop_unwatch(&link->io);
	step = PQconnectPoll(link->conn);
	if (step == PGRES_POLLING_READING || step == PGRES_POLLING_WRITING)
		loop_watch(&link->io, PQsocket(link->conn),
		           step == PGRES_POLLING_READING ? EPOLLIN : EPOLLOUT, link_advance,
		           link);
	else if (step != PGRES_POLLING_OK || PQsetnonblocking(link->conn, 1) != 0)
		link_lost(link);
	else
	{
		log_return(link);
		link_idle(link);
		if (link->went_up)
			link->went_up(link->arg);
	}
}

static void
link_give_up(void *arg)
{
	link_lost(arg);
}

static void
link_connect(void *arg)
{
	Link *link = arg;

	link->conn = connection_start(link->conninfo, link->application);
	link->state = LINK_CONNECTING;
	if (PQstatus(link->conn) == CONNECTION_BAD)
	{
		link_lost(link);
		return;
	}
	loop_timer(&link->retry, CONNECT_LIMIT_MS, link_give_up, link);
	loop_watch(&link->io, PQsocket(link->conn), EPOLLOUT, link_advance, link);
}

void
link_open(Link *link)
{
	link->pause_ms = FIRST_PAUSE_MS;
	link_connect(link);
}

void
link_adopt(Link *link, PGconn *conn)
{
	link->conn = conn;
	if (PQsetnonblocking(conn, 1) != 0)
		die(EXIT_CONNECTION, "%s", connection_error(conn));
	link_idle(link);
}

/* ---- statements ---- */

/* All results are in: one answer, and the link is free before it is given. */
static void
link_answer(Link *link)
{
	PGresult *result = link->result;

	link->result = NULL;
	link->state = LINK_IDLE;
	link->answer(link->answer_arg, result);
	PQclear(result);
}

/* Sends what is still to be sent; false: lost. */
static bool
link_flush(Link *link)
{
	int left = PQflush(link->conn);

	if (left < 0)
		return false;
	loop_watch(&link->io, PQsocket(link->conn), left ? EPOLLIN | EPOLLOUT : EPOLLIN,
	           link_ready, link);
	return true;
}

/* Something came, or can be sent. */
static void
link_ready(void *arg)
{
	Link *link = arg;

	if (!PQconsumeInput(link->conn) || !link_flush(link))
	{
		link_lost(link);
		return;
	}
	while (link->state == LINK_BUSY && !PQisBusy(link->conn))
	{
		PGresult *result = PQgetResult(link->conn);

		if (result == NULL)
		{
			link_answer(link);
			break;
		}
		PQclear(link->result);
		link->result = result;
	}
	/* The answer may have led to a loss that is dealt with already. */
	if (link->conn && PQstatus(link->conn) == CONNECTION_BAD)
		link_lost(link);
}

/* What libpq has taken is on its way; false: the connection was lost. */
static bool
link_sent(Link *link, int taken, LinkAnswer answer, void *arg)
{
	if (!taken || !link_flush(link))
	{
		link_lost(link);
		return false;
	}
	link->answer = answer;
	link->answer_arg = arg;
	link->state = LINK_BUSY;
	return true;
}

bool
link_send(Link *link, Query query, LinkAnswer answer, void *arg)
{
	return link_sent(link,
	                 PQsendQueryParams(link->conn, query.sql, query.count, NULL,
	                                   query.values, NULL, NULL, 0),
	                 answer, arg);
}

bool
link_send_prepared(Link *link, const char *name, Query query, LinkAnswer answer, void *arg)
{
	return link_sent(
	    link,
	    PQsendQueryPrepared(link->conn, name, query.count, query.values, NULL, NULL, 0),
	    answer, arg);
}

bool
link_prepare(Link *link, const char *name, const char *sql, LinkAnswer answer, void *arg)
{
	return link_sent(link, PQsendPrepare(link->conn, name, sql, 0, NULL), answer, arg);
}

void
link_cancel(Link *link)
{
	PGcancel *cancel = PQgetCancel(link->conn);
	pid_t pid = cancel ? fork() : -1;
	char error[256];

	if (pid == 0)
	{
		/* It has a copy of our sockets: it must not outlive us. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(10);
		(void) PQcancel(cancel, error, sizeof(error));
		_exit(0);
	}
	PQfreeCancel(cancel);
}

void
link_close(Link *link)
{
	if (link->conn)
		link_drop(link);
	loop_timer_stop(&link->retry);
}
