/*
 * http/stream.c
 *	  A body in lines: a message each, sent in batches as they come, in one transaction,
 *	  with bounded memory.
 *
 *		NEW ──> TAKING (a link) ──> BUSY (begin, once_find) ──> READING <──> BUSY (a batch)
 *		READING ──(the body's end)──> BUSY (last batch, once_keep, commit) ──> DONE
 *
 * While a statement is under way the connection is suspended, so the client is held back by
 * its socket.  Any failure, and the end of the request before the commit, rolls all of it
 * back; the stream then outlives its request until its link is clean.
 */
#include "http/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "http/body.h"
#include "http/digest.h"
#include "http/internal.h"
#include "http/messages.h"
#include "pg/query.h"

#define BATCH_LINES 500
#define BATCH_BYTES 262144

typedef enum StreamState
{
	STREAM_NEW,
	STREAM_TAKING,
	STREAM_READING,
	STREAM_BUSY,
	STREAM_ROLLING_BACK,
	STREAM_DONE /* the link was given back, or lost */
} StreamState;

struct Stream
{
	Request *request; /* NULL: it has ended */
	StreamState state;
	PoolJob *job; /* waits for a link */
	PoolLink *on;
	bool ended; /* the body is over */
	char *queue;
	char *trace;
	char *key;      /* Idempotency-Key; NULL: none */
	Digest *digest; /* of the body, where there is a key */
	char *known;    /* the request that the key stands for already; NULL: none */
	char *answer;   /* and what it was answered */
	Text line;      /* not yet at its end */
	Text batch;     /* a JSON array without its last bracket */
	int batch_lines;
	long lines; /* read */
	long sent;
};

/* ---- the end ---- */

static void
free_all(Stream *stream)
{
	free(stream->queue);
	free(stream->trace);
	free(stream->key);
	free(stream->known);
	free(stream->answer);
	if (stream->digest)
		digest_end(stream->digest, NULL);
	text_free(&stream->line);
	text_free(&stream->batch);
	free(stream);
}

static void
give_back(Stream *stream)
{
	stream->state = STREAM_DONE;
	pool_give(stream->on);
	stream->on = NULL;
	if (stream->request == NULL)
		free_all(stream);
}

static void
rolled_back(void *arg, const PGresult *result)
{
	(void) result;
	give_back(arg);
}

static void
roll_back(Stream *stream)
{
	stream->state = STREAM_ROLLING_BACK;
	if (stream->on->link.state != LINK_IDLE ||
	    !link_send(&stream->on->link, QUERY("rollback"), rolled_back, stream))
		give_back(stream);
}

void
stream_free(Stream *stream)
{
	if (stream->job)
		pool_forget(&stream->request->server->pool, stream->job);
	stream->request = NULL;
	if (stream->state == STREAM_READING)
		roll_back(stream);
	else if (stream->state == STREAM_BUSY)
		link_cancel(&stream->on->link);
	else if (stream->state != STREAM_ROLLING_BACK)
		free_all(stream);
}

/* ---- statements ---- */

/* True if the statement succeeded and somebody still wants to know. */
static bool
went_well(Stream *stream, const PGresult *result)
{
	bool failed = result == NULL || query_failed(result);

	if (failed && stream->request)
		request_error(stream->request, result);
	if (failed || stream->request == NULL)
		roll_back(stream);
	return !failed && stream->request != NULL;
}

static void
run(Stream *stream, Query query, LinkAnswer answer)
{
	stream->state = STREAM_BUSY;
	if (!link_send(&stream->on->link, query, answer, stream))
		answer(stream, NULL);
}

static void
committed(void *arg, const PGresult *result)
{
	Stream *stream = arg;
	Request *r = stream->request;

	if (r && result && !query_failed(result))
		request_answer(r, 201, mem_format("{\"sent\": %ld}\n", stream->sent));
	else if (r)
		request_error(r, result);
	give_back(stream);
}

static void
commit(void *arg, const PGresult *result)
{
	Stream *stream = arg;

	if (went_well(stream, result))
		run(stream, QUERY("commit"), committed);
}

static void
digest_body(Stream *stream, char text[DIGEST_TEXT_SIZE])
{
	unsigned char hash[DIGEST_SIZE];

	digest_end(stream->digest, hash);
	stream->digest = NULL;
	digest_text(hash, text);
}

static void
keep_answer(Stream *stream)
{
	char hash[DIGEST_TEXT_SIZE];
	char sent[24];

	digest_body(stream, hash);
	snprintf(sent, sizeof(sent), "%ld", stream->sent);
	run(stream,
	    QUERY("select baton.once_keep($1, $2, $3::bytea, "
	          "jsonb_build_object('sent', $4::bigint))",
	          stream->queue, stream->key, hash, sent),
	    commit);
}

/* All was sent, or had been sent before. */
static void
finish(Stream *stream)
{
	char hash[DIGEST_TEXT_SIZE];

	if (stream->known)
	{
		digest_body(stream, hash);
		if (strcmp(hash, stream->known) == 0)
			request_answer(stream->request, 201, mem_format("%s\n", stream->answer));
		else
			request_problem(stream->request, 422,
			                "the idempotency key was used for another request");
		roll_back(stream);
	}
	else if (stream->key)
		keep_answer(stream);
	else
		run(stream, QUERY("commit"), committed);
}

static void
batch_sent(void *arg, const PGresult *result)
{
	Stream *stream = arg;

	if (!went_well(stream, result))
		return;
	stream->sent += stream->batch_lines;
	stream->batch_lines = 0;
	text_clear(&stream->batch);
	stream->state = STREAM_READING;
	if (stream->ended)
		finish(stream);
	else
		request_resume(stream->request);
}

static void
send_batch(Stream *stream)
{
	text_add_char(&stream->batch, ']');
	run(stream,
	    QUERY(send_lines_sql, stream->queue, text_str(&stream->batch), stream->trace),
	    batch_sent);
}

static void
start_reading(Stream *stream)
{
	stream->state = STREAM_READING;
	request_resume(stream->request);
}

static void
found(void *arg, const PGresult *result)
{
	Stream *stream = arg;

	if (!went_well(stream, result))
		return;
	if (!PQgetisnull(result, 0, 0))
	{
		stream->known = mem_copy(PQgetvalue(result, 0, 0));
		stream->answer = mem_copy(PQgetvalue(result, 0, 1));
	}
	start_reading(stream);
}

static void
begun(void *arg, const PGresult *result)
{
	Stream *stream = arg;

	if (!went_well(stream, result))
		return;
	if (stream->key)
		run(stream,
		    QUERY("select request, answer from baton.once_find($1, $2)", stream->queue,
		          stream->key),
		    found);
	else
		start_reading(stream);
}

static void
taken(void *arg, PoolLink *on)
{
	Stream *stream = arg;

	stream->job = NULL;
	stream->on = on;
	if (on)
	{
		run(stream, QUERY("begin"), begun);
		return;
	}
	stream->state = STREAM_DONE;
	request_error(stream->request, NULL);
}

/* ---- lines ---- */

static void
refuse_line(Stream *stream, const char *complaint)
{
	request_problem(stream->request, 400, "line %ld is wrong: %s", stream->lines,
	                complaint);
	roll_back(stream);
}

static bool
is_blank(const Text *line)
{
	return strspn(text_str(line), " \t\r") == line->length;
}

/* The line is complete; false: it is wrong, which is answered. */
static bool
add_line(Stream *stream)
{
	Text complaint = {0};
	bool good = true;

	stream->lines++;
	if (!stream->known && !is_blank(&stream->line))
	{
		good = body_check(text_str(&stream->line), stream->line.length, SHAPE_OBJECT,
		                  message_fields, &complaint) != 0;
		text_add_char(&stream->batch, stream->batch_lines++ == 0 ? '[' : ',');
		text_add_bytes(&stream->batch, text_str(&stream->line), stream->line.length);
	}
	text_clear(&stream->line);
	if (!good)
		refuse_line(stream, text_str(&complaint));
	text_free(&complaint);
	return good;
}

static bool
batch_is_full(const Stream *stream)
{
	return stream->batch_lines >= BATCH_LINES || stream->batch.length >= BATCH_BYTES;
}

/* Takes up to the end of a line; returns how many bytes. */
static size_t
take_piece(Stream *stream, const char *data, size_t size)
{
	const char *end = memchr(data, '\n', size);
	size_t length = end ? (size_t) (end - data) : size;

	if (stream->line.length + length >
	    (size_t) stream->request->server->options->most_body)
	{
		stream->lines++;
		refuse_line(stream, "it is too long");
		return size;
	}
	text_add_bytes(&stream->line, data, length);
	if (end)
		(void) add_line(stream);
	return end ? length + 1 : length;
}

size_t
stream_data(Stream *stream, const char *data, size_t size)
{
	size_t used = 0;

	if (stream->state == STREAM_NEW)
	{
		stream->state = STREAM_TAKING;
		stream->job = pool_take(&stream->request->server->pool, taken, stream);
		request_suspend(stream->request);
		return 0;
	}
	while (used < size && stream->state == STREAM_READING && !batch_is_full(stream))
		used += take_piece(stream, data + used, size - used);
	if (stream->state == STREAM_READING && batch_is_full(stream))
	{
		send_batch(stream);
		request_suspend(stream->request);
	}
	if (stream->digest)
		digest_add(stream->digest, data, used);
	return stream->request->status ? size : used;
}

void
stream_end(Stream *stream)
{
	stream->ended = true;
	if (stream->state == STREAM_NEW)
		request_answer(stream->request, 201, mem_copy("{\"sent\": 0}\n"));
	else if (stream->line.length > 0 && !add_line(stream))
		return;
	else if (stream->batch_lines > 0)
		send_batch(stream);
	else
		finish(stream);
}

Stream *
stream_begin(Request *r)
{
	Stream *stream = mem_alloc(sizeof(Stream));
	const char *key;

	stream->request = r;
	if (messages_key(r, &key) && key)
	{
		stream->key = mem_copy(key);
		stream->digest = digest_begin();
	}
	stream->queue = mem_copy(r->arguments[0]);
	stream->trace = messages_trace(r);
	return stream;
}
