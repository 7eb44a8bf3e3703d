/*
 * http/problem.c
 *	  Errors as problem details (RFC 9457), and which status an SQLSTATE becomes.
 */
#include "http/problem.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "pg/query.h"

static const struct
{
	int status;
	const char *name;
} names[] = {
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

/*
 * The first row whose sqlstate the error's begins with.  503 is what may pass by
 * itself, so that trying again makes sense.
 */
static const struct
{
	const char *sqlstate;
	int status;
} statuses[] = {
    {"42704", 404}, /* no such queue */
    {"42710", 409}, /* there is such a queue */
    {"BT001", 409}, /* the claim is lost */
    {"BT002", 429}, /* the queue is full */
    {"BT003", 409}, /* purged under an open send */
    {"BT004", 422}, /* the idempotency key belongs to another request */
    {"55006", 409}, /* just being settled */
    {"55P03", 409}, /* a request with the same idempotency key is under way */
    {"42501", 403}, /* not granted to the server's role */
    {"54000", 413}, /* larger than baton.max_message_size */
    {"22", 400},    /* bad value */
    {"23514", 400}, /* bad value, by a CHECK */
    {"25006", 503}, /* a standby */
    {"55000", 503}, /* not preloaded */
    {"3F000", 503}, /* no extension here, or an older one */
    {"42883", 503}, {"42P01", 503}, {"40", 503}, /* serialization failure, deadlock */
    {"57", 503}, /* shutting down, starting up, cancelled */
    {"53", 503}, /* no memory, no disk, no connection */
    {"08", 503}, /* connection lost */
    {"58", 503},
};

const char *
status_name(int status)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].status == status)
			return names[i].name;
	return "";
}

int
problem_status(const char *sqlstate)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (strncmp(sqlstate, statuses[i].sqlstate, strlen(statuses[i].sqlstate)) == 0)
			return statuses[i].status;
	return 500;
}

static void
add_member(Text *json, const char *key, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	text_addf(json, ", \"%s\": ", key);
	text_add_json(json, value);
}

static void
begin(Text *json, int status)
{
	text_addf(json, "{\"title\": \"%s\", \"status\": %d", status_name(status), status);
}

char *
problem_make(int status, const char *detail)
{
	Text json = {0};

	begin(&json, status);
	add_member(&json, "detail", detail);
	text_add(&json, "}\n");
	return text_take(&json);
}

/* As HTTP wants it, whatever the locale. */
static void
add_date(Text *answer)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
	                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t now = time(NULL);
	struct tm t;

	gmtime_r(&now, &t);
	text_addf(answer, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[t.tm_wday],
	          t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min,
	          t.tm_sec);
}

char *
problem_answer(int status, const char *problem)
{
	Text answer = {0};

	text_addf(&answer, "HTTP/1.1 %d %s\r\n", status, status_name(status));
	add_date(&answer);
	text_addf(&answer,
	          "Connection: close\r\nContent-Type: application/problem+json\r\n"
	          "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
	          "Content-Length: %zu\r\n\r\n%s",
	          strlen(problem), problem);
	return text_take(&answer);
}

char *
problem_of(int status, const PGresult *error)
{
	const char *more = PQresultErrorField(error, PG_DIAG_MESSAGE_DETAIL);
	Text detail = {0};
	Text json = {0};

	begin(&json, status);
	if (status != 500)
	{
		text_add(&detail, query_message(error));
		if (more)
			text_addf(&detail, ": %s", more);
		add_member(&json, "detail", text_str(&detail));
		add_member(&json, "hint", PQresultErrorField(error, PG_DIAG_MESSAGE_HINT));
	}
	add_member(&json, "sqlstate", query_sqlstate(error));
	text_add(&json, "}\n");
	text_free(&detail);
	return text_take(&json);
}
