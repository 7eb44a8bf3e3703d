/*
 * http/request.c
 *	  A request's life: what the library calls for each of its parts, and its answer.
 */
#include "http/request.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "http/counters.h"
#include "http/internal.h"
#include "http/problem.h"
#include "http/stream.h"
#include "http/uri.h"
#include "pg/query.h"

#define RETRY_AFTER "1" /* seconds, where trying again makes sense */
#define MOST_SEGMENTS 8

/* ---- answers ---- */

void
request_suspend(Request *r)
{
	if (r->suspended || r->status != 0)
		return;
	r->suspended = true;
	MHD_suspend_connection(r->client->connection);
}

void
request_resume(Request *r)
{
	if (!r->suspended)
		return;
	r->suspended = false;
	r->server->due = true;
	MHD_resume_connection(r->client->connection);
}

static void
add_headers(Request *r, struct MHD_Response *response, const char *type)
{
	if (type)
		MHD_add_response_header(response, "Content-Type", type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	if (r->status == 503)
		MHD_add_response_header(response, "Retry-After", RETRY_AFTER);
	if (r->status == 401)
		MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"baton\"");
	if (r->server->stopping)
		MHD_add_response_header(response, "Connection", "close");
}

/*
 * Before a body the library answers at once, and closes the connection; in the middle of
 * one it can't: then the rest is dropped first.  Without a body there is nothing to close for.
 */
static void
queue_answer(Request *r)
{
	if (!r->has_body && !r->complete)
		return;
	if (library_queue(r->client->connection, r->status, r->response) != MHD_YES)
		return;
	MHD_destroy_response(r->response);
	r->response = NULL;
	r->problem = NULL;
}

/* The one place where an answer is given; content is taken over.  The first one counts. */
static void
answer(Request *r, int status, char *content, const char *type, const char *header,
       const char *value)
{
	size_t length = content ? strlen(content) : 0;
	struct MHD_Response *response;

	if (r->status != 0)
	{
		free(content);
		return;
	}
	response = MHD_create_response_from_buffer(length, content, MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		die(EXIT_ERROR, "out of memory");
	r->status = status;
	add_headers(r, response, content ? type : NULL);
	if (header)
		MHD_add_response_header(response, header, value);
	r->response = response;
	r->problem = content;
	queue_answer(r);
	client_limit(r->client, LIMIT_ANSWER_MS);
	request_resume(r);
}

void
request_answer_with(Request *r, int status, char *json, const char *header,
                    const char *value)
{
	answer(r, status, json, "application/json", header, value);
}

void
request_answer(Request *r, int status, char *json)
{
	answer(r, status, json, "application/json", NULL, NULL);
}

void
request_answer_text(Request *r, int status, char *text, const char *type)
{
	answer(r, status, text, type, NULL, NULL);
}

static void
answer_problem(Request *r, int status, char *json)
{
	answer(r, status, json, "application/problem+json", NULL, NULL);
}

void
request_problem(Request *r, int status, const char *format, ...)
{
	va_list args;
	char *detail;

	va_start(args, format);
	detail = mem_vformat(format, args);
	va_end(args);
	answer_problem(r, status, problem_make(status, detail));
	free(detail);
}

void
request_refuse(Request *r, int status, const char *detail)
{
	answer(r, status, problem_make(status, detail), "application/problem+json",
	       "Connection", "close");
}

static void
log_error(const Request *r, int status, const PGresult *error)
{
	LogLine line;

	log_begin(&line, LOG_ERROR, "request_failed");
	log_string(&line, "route", r->route->path);
	log_number(&line, "status", status);
	log_string(&line, "sqlstate", query_sqlstate(error));
	log_string(&line, "message", query_message(error));
	log_end(&line);
}

void
request_error(Request *r, const PGresult *result)
{
	int status;

	if (result == NULL)
	{
		request_problem(r, 503,
		                "there is no connection to the database, or it was lost before "
		                "the outcome was known");
		return;
	}
	status = problem_status(query_sqlstate(result));
	if (status >= 500)
		log_error(r, status, result);
	answer_problem(r, status, problem_of(status, result));
}

void
request_answer_row(Request *r, const PGresult *result)
{
	if (PQntuples(result) == 0)
		request_problem(r, 404, "there is no such thing here");
	else
		request_answer(r, 200, mem_format("%s\n", PQgetvalue(result, 0, 0)));
}

void
request_answer_nothing(Request *r, const PGresult *result)
{
	(void) result;
	request_answer(r, 204, NULL);
}

/* ---- the database ---- */

static void
query_answered(void *arg, const PGresult *result)
{
	Request *r = arg;

	r->job = NULL;
	if (result == NULL || query_failed(result))
		request_error(r, result);
	else
		r->then(r, result);
}

void
request_query(Request *r, Query query, void (*then)(Request *, const PGresult *))
{
	r->then = then;
	client_limit(r->client, LIMIT_RUN_MS);
	r->job = pool_run(&r->server->pool, query, query_answered, r);
}

/* What runs for it, and what it holds: nothing of it comes back after this. */
static void
let_go(Request *r, bool written)
{
	if (r->job)
		pool_forget(&r->server->pool, r->job);
	if (r->forget)
		r->forget(r, written);
	r->job = NULL;
	r->forget = NULL;
}

void
request_timed_out(Request *r)
{
	let_go(r, false);
	request_problem(r, 504,
	                "the database did not answer in time; what was asked may "
	                "have been done");
}

/* ---- reading ---- */

const char *
request_parameter(const Request *r, const char *name)
{
	for (int i = 0; i < r->parameter_count; i++)
		if (strcmp(r->parameters[i].name, name) == 0)
			return r->parameters[i].value;
	return NULL;
}

const char *
request_header(const Request *r, const char *name)
{
	return MHD_lookup_connection_value(r->client->connection, MHD_HEADER_KIND, name);
}

/* ---- the path and the query ---- */

static void
answer_no_route(Request *r, const char *methods)
{
	char *problem;

	if (*methods == '\0')
	{
		request_problem(r, 404, "there is no such path");
		return;
	}
	problem = problem_make(405, "the path is there, but not with this method");
	answer(r, 405, problem, "application/problem+json", "Allow", methods);
}

/* Finds the route; false: there is none, which is answered. */
static bool
find_route(Request *r, const char *url, const char *method)
{
	char *segments[MOST_SEGMENTS];
	const char *arguments[REQUEST_ARGUMENTS] = {0};
	char methods[64] = "";
	int count = uri_split(url, segments, MOST_SEGMENTS);

	if (count > 0)
		r->route = route_find(method, segments, count, arguments, methods);
	for (int i = 0; r->route && i < REQUEST_ARGUMENTS; i++)
		r->arguments[i] = arguments[i] ? mem_copy(arguments[i]) : NULL;
	for (int i = 0; i < count; i++)
		free(segments[i]);
	if (count == URI_BAD)
		request_problem(r, 400, "the path is not well formed");
	else if (r->route == NULL)
		answer_no_route(r, methods);
	return r->route != NULL;
}

/* True if the list, with spaces between, has the name. */
static bool
listed(const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *p = list; length > 0 && (p = strstr(p, name)) != NULL; p += length)
		if ((p == list || p[-1] == ' ') && (p[length] == ' ' || p[length] == '\0'))
			return true;
	return false;
}

typedef struct QueryReading
{
	Request *r;
	const char *complaint; /* NULL: all is well */
} QueryReading;

static enum MHD_Result
take_parameter(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	QueryReading *reading = cls;
	Request *r = reading->r;
	Parameter p = {uri_decode(key), uri_decode(value ? value : "")};

	(void) kind;
	if (p.name == NULL || p.value == NULL)
		reading->complaint = "the query is not well formed";
	else if (!listed(r->route->parameters, p.name))
		reading->complaint = "the query has a parameter that is not known here";
	else if (request_parameter(r, p.name) || r->parameter_count == REQUEST_PARAMETERS)
		reading->complaint = "the query has a parameter twice";
	else
	{
		r->parameters[r->parameter_count++] = p;
		return MHD_YES;
	}
	free(p.name);
	free(p.value);
	return MHD_NO;
}

static bool
read_query(Request *r)
{
	QueryReading reading = {.r = r};

	MHD_get_connection_values(r->client->connection, MHD_GET_ARGUMENT_KIND,
	                          take_parameter, &reading);
	if (reading.complaint)
		request_problem(r, 400, "%s", reading.complaint);
	return reading.complaint == NULL;
}

/* ---- the body ---- */

#define MB (1024UL * 1024)
#define BUFFERED_MOST (256 * MB) /* of all bodies together */

static bool
is_type(const char *type, const char *name)
{
	size_t length = strlen(name);

	return strncasecmp(type, name, length) == 0 &&
	       (type[length] == '\0' || type[length] == ';' || type[length] == ' ');
}

static bool
has_body(const Request *r)
{
	const char *length = request_header(r, "Content-Length");

	return request_header(r, "Transfer-Encoding") || (length && strcmp(length, "0") != 0);
}

/* What the headers say about the body; a complaint is answered. */
static void
check_body_headers(Request *r)
{
	const char *length = request_header(r, "Content-Length");
	const char *type = request_header(r, "Content-Type");
	bool lines = type && is_type(type, "application/x-ndjson");

	if (!r->has_body)
		return;
	if (request_header(r, "Content-Encoding"))
		request_problem(r, 415, "bodies are taken as they are, without Content-Encoding");
	else if (r->route->body == BODY_NONE)
		request_problem(r, 400, "no body is wanted here");
	else if (lines && r->route->body == BODY_MESSAGES)
		r->stream = stream_begin(r);
	else if (type == NULL || !is_type(type, "application/json"))
		request_problem(r, 415, "the body must be application/json%s",
		                r->route->body == BODY_MESSAGES ? " or application/x-ndjson"
		                                                : "");
	else if (length &&
	         strtoull(length, NULL, 10) > (unsigned) r->server->options->most_body)
		request_problem(r, 413, "the body is larger than %d bytes",
		                r->server->options->most_body);
}

static void
keep_body(Request *r, const char *data, size_t size)
{
	if (r->refusal != 0 || r->status != 0)
		return;
	if (r->body.length + size > (size_t) r->server->options->most_body)
		r->refusal = 413;
	else if (r->server->buffered + size > BUFFERED_MOST)
		r->refusal = 503;
	else
	{
		text_add_bytes(&r->body, data, size);
		r->server->buffered += size;
	}
}

/* ---- steps ---- */

static Request *
request_begin(Client *client)
{
	Request *r = mem_alloc(sizeof(Request));

	r->server = client->server;
	r->client = client;
	r->started = clock_us();
	client->request = r;
	client->server->requests++;
	return r;
}

/* The headers are there.  A complaint now is answered before the body is read. */
static void
request_headers(Request *r, const char *url, const char *method, const char *version)
{
	r->has_body = has_body(r);
	client_limit(r->client, r->has_body ? LIMIT_BODY_MS : LIMIT_RUN_MS);
	if (!framing_check(r, url, version) || !find_route(r, url, method) || !read_query(r))
		return;
	check_body_headers(r);
	if (r->status == 0)
		authorize(r);
}

static void
request_run(Request *r)
{
	if (r->refusal == 413)
		request_problem(r, 413, "the body is larger than %d bytes",
		                r->server->options->most_body);
	else if (r->refusal != 0)
		request_problem(r, 503, "too many bodies at a time");
	else if (r->stream)
		stream_end(r->stream);
	else
		r->route->handle(r);
	request_suspend(r);
}

/* Who asks is known, after a wait: the library calls the first step again. */
void
request_go_on(Request *r)
{
	r->again = true;
	client_limit(r->client, r->stream ? LIMIT_STREAM_MS : LIMIT_BODY_MS);
	request_resume(r);
}

static void
request_data(Request *r, const char *data, size_t *size)
{
	if (r->stream && r->status == 0)
		*size -= stream_data(r->stream, data, *size);
	else
	{
		keep_body(r, data, *size);
		*size = 0;
	}
}

/* All of it is there, and may have been answered already. */
static void
request_complete(Request *r)
{
	r->complete = true;
	if (r->response)
		queue_answer(r);
	else if (r->status == 0)
		request_run(r);
}

/*
 * The library calls this once when the headers are there (and once more after a wait in
 * that), then for each part of the body, then at its end.
 */
enum MHD_Result
request_step(void *cls, struct MHD_Connection *connection, const char *url,
             const char *method, const char *version, const char *data, size_t *size,
             void **state)
{
	Request *r = *state;

	(void) cls;
	if (r && r->client->told)
		return MHD_NO;
	if (r == NULL)
	{
		const union MHD_ConnectionInfo *info =
		    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

		r = *state = request_begin(info->socket_context);
		request_headers(r, url, method, version);
	}
	else if (r->again)
		r->again = false;
	else if (*size > 0)
		request_data(r, data, size);
	else
		request_complete(r);
	return MHD_YES;
}

/* ---- the end ---- */

static void
log_request(const Request *r, int64_t us)
{
	LogLine line;

	log_begin(&line, LOG_DEBUG, "request");
	log_string(&line, "method", r->route ? r->route->method : NULL);
	log_string(&line, "route", r->route ? r->route->path : "-");
	log_number(&line, "status", r->status);
	log_number(&line, "us", us);
	log_string(&line, "token", *r->who.name ? r->who.name : NULL);
	log_end(&line);
}

static void
request_free(Request *r)
{
	for (int i = 0; i < REQUEST_ARGUMENTS; i++)
		free(r->arguments[i]);
	for (int i = 0; i < r->parameter_count; i++)
	{
		free(r->parameters[i].name);
		free(r->parameters[i].value);
	}
	if (r->stream)
		stream_free(r->stream);
	if (r->response)
		MHD_destroy_response(r->response);
	r->server->buffered -= r->body.length;
	text_free(&r->body);
	free((char *) r->who.queues);
	free(r);
}

void
request_ended(void *cls, struct MHD_Connection *connection, void **state,
              enum MHD_RequestTerminationCode code)
{
	Request *r = *state;
	int64_t us;

	(void) cls, (void) connection;
	if (r == NULL)
		return;
	if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK && r->status == 0 && r->has_body &&
	    !r->complete && !r->server->stopping)
		client_refuse(r->client, 400, "the request ends before its body");
	us = clock_us() - r->started;
	let_go(r, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	counters_add(r->route, r->status, us);
	log_request(r, us);
	r->client->request = NULL;
	r->client->heard = 0;
	r->server->requests--;
	client_limit(r->client, LIMIT_IDLE_MS);
	request_free(r);
	*state = NULL;
}
