/*
 * http/polls.c
 *	  Receiving: thousands of requests that wait share one connection.
 */
#include "http/polls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "http/handlers.h"
#include "http/internal.h"
#include "pg/array.h"

#define MAX_MOST 1000    /* messages of one request */
#define WAIT_MOST 60     /* seconds */
#define CLAIM_MOST 200   /* messages of one statement, unless one request wants more */
#define COLLECT_MS 2     /* for more queues before the wait is begun anew */
#define FALLBACK_MS 1000 /* between looks without a connection to wait on */
#define DRY_ENOUGH 3     /* claims in a row that found nothing after a wake-up */
#define DRY_PAUSE_MOST_MS 200
#define ANSWER_MARGIN_MS 30000 /* the time limit's distance from the wait's end */

struct Poll
{
	Request *request;
	PollQueue *queue; /* in whose line it stands; NULL: in none any more */
	int max;
	const char *lease; /* the request's; NULL: the queue's */
	int64_t number;    /* of all that came */
	bool claimed_for;  /* a claim that began after it came counts it in */
	bool over;         /* it doesn't wait any more */
	LoopTimer deadline;
	Text receipts; /* array of what it was given */
	Poll *next;
	Poll *previous;
};

struct PollQueue
{
	Polls *polls;
	char *name;
	Poll *first;
	Poll *last;
	bool claiming;
	bool maybe;     /* there may be messages */
	bool waited;    /* the wait under way is about it */
	bool woken;     /* a wait said that there is something */
	int asked;      /* by the claim under way, or the last one */
	int64_t looked; /* number of the last in line when that began */
	int dry;
	LoopTimer pause; /* before it is waited for again */
	PollQueue *next; /* of the bucket */
};

static void polls_step(Polls *polls);
static void queue_step(PollQueue *queue);

/* ---- queues by name ---- */

static unsigned
bucket_of(const char *name)
{
	unsigned hash = 2166136261U;

	for (; *name; name++)
		hash = (hash ^ (unsigned char) *name) * 16777619U;
	return hash % POLL_BUCKETS;
}

static PollQueue *
queue_named(Polls *polls, const char *name)
{
	PollQueue **bucket = &polls->buckets[bucket_of(name)];
	PollQueue *queue;

	for (queue = *bucket; queue; queue = queue->next)
		if (strcmp(queue->name, name) == 0)
			return queue;
	queue = mem_alloc(sizeof(PollQueue));
	queue->polls = polls;
	queue->name = mem_copy(name);
	queue->next = *bucket;
	*bucket = queue;
	return queue;
}

/* Forgets those that nobody wants, and calls each for the others. */
static void
each_queue(Polls *polls, void (*each)(PollQueue *queue, void *arg), void *arg)
{
	for (int i = 0; i < POLL_BUCKETS; i++)
		for (PollQueue **p = &polls->buckets[i]; *p;)
		{
			PollQueue *queue = *p;

			if (queue->first || queue->claiming || queue->waited)
			{
				each(queue, arg);
				p = &queue->next;
				continue;
			}
			*p = queue->next;
			loop_timer_stop(&queue->pause);
			free(queue->name);
			free(queue);
		}
}

/* ---- polls ---- */

static void
leave_line(Poll *poll)
{
	PollQueue *queue = poll->queue;

	if (poll->previous)
		poll->previous->next = poll->next;
	else
		queue->first = poll->next;
	if (poll->next)
		poll->next->previous = poll->previous;
	else
		queue->last = poll->previous;
	poll->queue = NULL;
	loop_timer_stop(&poll->deadline);
	loop_unwatch(&poll->request->client->hangup);
}

static void
answer_empty(Poll *poll)
{
	leave_line(poll);
	request_answer(poll->request, 200, mem_copy("{\"messages\": []}\n"));
}

/* The client has closed its end, so nobody would read an answer. */
static bool
client_gone(const Poll *poll)
{
	char byte;
	ssize_t got = recv(poll->request->client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

static void
client_hung_up(void *arg)
{
	answer_empty(arg);
}

static void
deadline_passed(void *arg)
{
	Poll *poll = arg;

	poll->over = true;
	if (!poll->queue->claiming && !poll->queue->maybe)
		answer_empty(poll);
}

/* ---- giving back ---- */

static void
released(void *arg, const PGresult *result)
{
	(void) arg;
	if (result == NULL || query_failed(result))
		log_message(LOG_WARNING, "not_released",
		            "messages whose receiver is gone wait for the end of their lease");
}

static void
release(Server *server, Text *receipts)
{
	if (receipts->length == 0)
		return;
	pool_run(&server->pool,
	         QUERY("select from baton.release_batch($1::text[], strict => false)",
	               array_done(receipts)),
	         released, NULL);
}

/* The request has ended. */
static void
poll_forget(Request *r, bool written)
{
	Poll *poll = r->own;

	if (poll->queue)
		leave_line(poll);
	if (!written)
		release(r->server, &poll->receipts);
	text_free(&poll->receipts);
	free(poll);
}

/* ---- claiming ---- */

static bool
same_lease(const Poll *a, const Poll *b)
{
	if (a->lease == NULL || b->lease == NULL)
		return a->lease == b->lease;
	return strcmp(a->lease, b->lease) == 0;
}

/* Rows from *row on, as many as the request wants, are its answer. */
static void
give(Poll *poll, const PGresult *result, int *row)
{
	int end = *row + poll->max < PQntuples(result) ? *row + poll->max : PQntuples(result);
	Text json = {0};

	text_add(&json, "{\"messages\": [");
	for (int i = *row; i < end; i++)
	{
		array_add(&poll->receipts, PQgetvalue(result, i, 0));
		text_add(&json, i == *row ? "\n" : ",\n");
		text_add(&json, PQgetvalue(result, i, 1));
	}
	text_add(&json, "\n]}\n");
	*row = end;
	leave_line(poll);
	request_answer(poll->request, 200, text_take(&json));
}

/* Hands out what was claimed, in the order of the line; what nobody is left for goes back. */
static void
hand_out(PollQueue *queue, const PGresult *result)
{
	Text rest = {0};
	int row = 0;

	for (Poll *poll = queue->first, *next; poll && row < PQntuples(result); poll = next)
	{
		next = poll->next;
		if (!poll->claimed_for)
			continue;
		if (client_gone(poll))
			answer_empty(poll);
		else
			give(poll, result, &row);
	}
	for (; row < PQntuples(result); row++)
		array_add(&rest, PQgetvalue(result, row, 0));
	release(queue->polls->server, &rest);
	text_free(&rest);
}

/* Those the claim was for get its error; the others find out for themselves. */
static void
refuse(PollQueue *queue, const PGresult *error)
{
	for (Poll *poll = queue->first, *next; poll; poll = next)
	{
		next = poll->next;
		if (!poll->claimed_for)
			continue;
		leave_line(poll);
		request_error(poll->request, error);
	}
}

/*
 * After a claim that found the queue empty: so it was for all who were in line, also those behind whom it
 * was for.
 */
static void
found_empty(PollQueue *queue)
{
	queue->maybe = queue->last && queue->last->number > queue->looked;
	for (Poll *poll = queue->first, *next; poll && poll->number <= queue->looked;
	     poll = next)
	{
		next = poll->next;
		if (poll->over)
			answer_empty(poll);
	}
}

static void
pause_ended(void *arg)
{
	polls_step(((PollQueue *) arg)->polls);
}

/* Woken for nothing, again and again: others are faster, or it can't be had. */
static void
count_dry(PollQueue *queue, int got)
{
	int64_t ms;

	if (got > 0 || !queue->woken)
		queue->dry = 0;
	else if (++queue->dry >= DRY_ENOUGH)
	{
		ms = 1L << (queue->dry - DRY_ENOUGH < 10 ? queue->dry - DRY_ENOUGH : 10);
		loop_timer(&queue->pause, ms < DRY_PAUSE_MOST_MS ? ms : DRY_PAUSE_MOST_MS,
		           pause_ended, queue);
	}
	queue->woken = false;
}

static void
claimed(void *arg, const PGresult *result)
{
	PollQueue *queue = arg;
	bool failed = result == NULL || query_failed(result);
	int got = failed ? 0 : PQntuples(result);

	queue->claiming = false;
	if (failed)
		refuse(queue, result);
	else
		hand_out(queue, result);
	count_dry(queue, got);
	if (failed)
		queue->maybe = queue->first != NULL;
	else if (got < queue->asked)
		found_empty(queue);
	queue_step(queue);
	polls_step(queue->polls);
}

static const char claim_sql[] = "select receipt, to_json(m) from baton.receive($1, "
                                "$2::integer, $3::interval, true) m";

/* One statement for the first in line and those right behind that want the same lease. */
static void
claim(PollQueue *queue)
{
	const Poll *head = queue->first;
	char number[16];

	queue->asked = 0;
	queue->looked = queue->last->number;
	for (Poll *poll = queue->first; poll && same_lease(poll, head); poll = poll->next)
	{
		if (poll != head && queue->asked + poll->max > CLAIM_MOST)
			break;
		poll->claimed_for = true;
		queue->asked += poll->max;
	}
	snprintf(number, sizeof(number), "%d", queue->asked);
	queue->claiming = true;
	pool_run(&queue->polls->server->pool,
	         QUERY(claim_sql, queue->name, number, head->lease), claimed, queue);
}

static void
queue_step(PollQueue *queue)
{
	if (queue->maybe && !queue->claiming && queue->first)
		claim(queue);
}

/* ---- waiting ---- */

static bool
to_be_waited_for(const PollQueue *queue)
{
	return queue->first && !queue->claiming && !queue->maybe && !queue->pause.set;
}

static void
count_missing(PollQueue *queue, void *arg)
{
	int *missing = arg;

	*missing += to_be_waited_for(queue) && !queue->waited;
}

static void
add_name(PollQueue *queue, void *arg)
{
	queue->waited = to_be_waited_for(queue);
	if (queue->waited)
		array_add(arg, queue->name);
}

static void
not_waited(PollQueue *queue, void *arg)
{
	(void) arg;
	queue->waited = false;
}

static void
suspect(PollQueue *queue, void *arg)
{
	(void) arg;
	queue->waited = false;
	if (!queue->claiming)
		queue->maybe = true;
}

static void
step_each(PollQueue *queue, void *arg)
{
	(void) arg;
	queue_step(queue);
}

static void
fallback(void *arg)
{
	Polls *polls = arg;

	each_queue(polls, suspect, NULL);
	each_queue(polls, step_each, NULL);
	polls_step(polls);
}

/* Which queue, if any, has something; an error may be about any of them. */
static void
waited(void *arg, const PGresult *result)
{
	Polls *polls = arg;
	const char *name = NULL;

	each_queue(polls, not_waited, NULL);
	if (result && !query_failed(result))
		name = query_value(result, 0, 0);
	else if (result && strcmp(query_sqlstate(result), "57014") != 0) /* we cancelled it */
	{
		log_message(LOG_WARNING, "wait_failed", "%s (%s)", query_message(result),
		            query_sqlstate(result));
		loop_timer(&polls->fallback, FALLBACK_MS, fallback, polls);
	}
	if (name)
	{
		PollQueue *queue = queue_named(polls, name);

		queue->maybe = queue->woken = true;
		queue_step(queue);
	}
	polls_step(polls);
}

static void
wait_for_all(Polls *polls)
{
	Text names = {0};

	each_queue(polls, add_name, &names);
	if (names.length > 0 &&
	    !link_send(&polls->wait,
	               QUERY("call baton.wait_any($1::text[], '60 s')", array_done(&names)),
	               waited, polls))
		each_queue(polls, not_waited, NULL);
	text_free(&names);
}

/*
 * False: there is no such session, as a pooler stands between and makes its numbers up.
 * A cancel goes through it, though it costs more and leaves an error in the server's log.
 */
static void
wait_ended(void *arg, const PGresult *result)
{
	Polls *polls = arg;

	if (result && query_failed(result))
		log_message(LOG_WARNING, "end_wait_failed", "%s (%s)", query_message(result),
		            query_sqlstate(result));
	else if (result && strcmp(PQgetvalue(result, 0, 0), "f") == 0 &&
	         polls->wait.state == LINK_BUSY)
		link_cancel(&polls->wait);
}

/* The wait under way is to end, so that one about more queues can begin. */
static void
begin_anew(void *arg)
{
	Polls *polls = arg;
	char pid[16];

	if (polls->wait.state != LINK_BUSY)
		return;
	snprintf(pid, sizeof(pid), "%d", PQbackendPID(polls->wait.conn));
	pool_run(&polls->server->pool, QUERY("select baton.end_wait($1::integer)", pid),
	         wait_ended, polls);
}

/* Sees to it that all that is empty is waited for. */
static void
polls_step(Polls *polls)
{
	int missing = 0;

	if (polls->wait.state < LINK_IDLE)
	{
		if (!polls->fallback.set)
			loop_timer(&polls->fallback, FALLBACK_MS, fallback, polls);
		return;
	}
	if (polls->fallback.set)
		return;
	if (polls->wait.state == LINK_IDLE)
	{
		wait_for_all(polls);
		return;
	}
	each_queue(polls, count_missing, &missing);
	if (missing > 0 && !polls->collect.set)
		loop_timer(&polls->collect, COLLECT_MS, begin_anew, polls);
}

static void
link_changed(void *arg)
{
	polls_step(arg);
}

void
polls_start(Polls *polls, Server *server, PGconn *waiting)
{
	polls->server = server;
	polls->wait = (Link){.name = "wait",
	                     .application = "baton serve: wait",
	                     .conninfo = server->options->wait_conninfo,
	                     .went_up = link_changed,
	                     .went_down = link_changed,
	                     .arg = polls};
	link_adopt(&polls->wait, waiting);
}

static void
end_all(PollQueue *queue, void *arg)
{
	(void) arg;
	for (Poll *poll = queue->first, *next; poll; poll = next)
	{
		next = poll->next;
		poll->over = true;
		if (!queue->claiming && !queue->maybe)
			answer_empty(poll);
	}
}

void
polls_end(Polls *polls)
{
	each_queue(polls, end_all, NULL);
}

void
polls_stop(Polls *polls)
{
	loop_timer_stop(&polls->collect);
	loop_timer_stop(&polls->fallback);
	link_close(&polls->wait);
	each_queue(polls, not_waited, NULL);
	each_queue(polls, not_waited, NULL);
}

/* ---- the handler ---- */

/* A parameter as a whole number in its bounds; false: it isn't, which is answered. */
static bool
number_parameter(Request *r, const char *name, int least, int most, int *number)
{
	const char *value = request_parameter(r, name);

	if (value == NULL ||
	    (text_to_int(value, number) && *number >= least && *number <= most))
		return true;
	request_problem(r, 400, "\"%s\" must be a whole number between %d and %d", name,
	                least, most);
	return false;
}

static void
join_line(PollQueue *queue, Poll *poll)
{
	poll->queue = queue;
	poll->number = ++queue->polls->came;
	poll->previous = queue->last;
	if (queue->last)
		queue->last->next = poll;
	else
		queue->first = poll;
	queue->last = poll;
}

/* The wait under way would have told: what is known to be empty needn't be asked. */
static bool
known_empty(const PollQueue *queue)
{
	return queue->waited && !queue->claiming && !queue->maybe;
}

void
handle_receive(Request *r)
{
	Server *server = r->server;
	PollQueue *queue;
	Poll *poll;
	int max = 1;
	int wait = 0;

	if (!number_parameter(r, "max", 1, MAX_MOST, &max) ||
	    !number_parameter(r, "wait", 0, WAIT_MOST, &wait))
		return;
	poll = mem_alloc(sizeof(Poll));
	poll->request = r;
	poll->max = max;
	poll->lease = request_parameter(r, "lease");
	poll->over = wait == 0 || server->stopping;
	r->own = poll;
	r->forget = poll_forget;
	client_limit(r->client, wait * 1000 + ANSWER_MARGIN_MS);
	queue = queue_named(&server->polls, r->arguments[0]);
	if (poll->over || !known_empty(queue))
		queue->maybe = true;
	join_line(queue, poll);
	if (!poll->over)
	{
		loop_timer(&poll->deadline, wait * 1000, deadline_passed, poll);
		loop_watch(&r->client->hangup, r->client->fd, EPOLLRDHUP, client_hung_up, poll);
	}
	queue_step(queue);
}
