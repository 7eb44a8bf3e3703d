/*
 * http/head.c
 *	  The head of a request, from its first byte to the empty line: whether it is one.
 *
 *		before ──> method ──> target ──> version ──> line ──> name ──> value ──> line ...
 *		                                              └──> (empty: whole)
 *
 * A byte at a time, so that it doesn't matter in which pieces it comes.  As RFC 9112 has it, with a
 * bare LF for CRLF, but without a header that goes on in the next line.
 */
#include "http/head.h"

#include <ctype.h>
#include <string.h>

#define METHOD_MOST 32
#define DIGITS_MOST 18 /* of a length: fits 64 bits */

typedef enum HeadState
{
	STATE_BEFORE, /* empty lines */
	STATE_METHOD,
	STATE_TARGET,
	STATE_VERSION,
	STATE_LINE, /* its first byte */
	STATE_NAME,
	STATE_VALUE,
	STATE_COOKIE,
	STATE_LENGTH /* the value of Content-Length */
} HeadState;

static void
refuse(Head *head, int status, const char *complaint)
{
	head->verdict = HEAD_BAD;
	head->status = status;
	head->complaint = complaint;
}

static void
enter(Head *head, HeadState state)
{
	head->state = state;
	head->part = 0;
}

static bool
is_token(unsigned char c)
{
	return isascii(c) && (isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c)));
}

static void
count_field(Head *head)
{
	if (++head->fields > HEAD_FIELDS)
		refuse(head, 431, "there are too many headers, parameters or cookies");
}

/* ---- the first line ---- */

static void
read_method(Head *head, unsigned char c)
{
	if (c == ' ' && head->part > 0)
		enter(head, STATE_TARGET);
	else if (!is_token(c) || ++head->part > METHOD_MOST)
		refuse(head, 400, "this is not HTTP");
}

static void
read_before(Head *head, unsigned char c)
{
	if (c == '\n')
		return;
	enter(head, STATE_METHOD);
	read_method(head, c);
}

static void
read_target(Head *head, unsigned char c)
{
	if (c == ' ' && head->part > 0)
		enter(head, STATE_VERSION);
	else if (c <= ' ' || c == 0x7f)
		refuse(head, 400, "the first line is not that of an HTTP request");
	else if (++head->part > HEAD_LINE)
		refuse(head, 414, "the path and the query are too long");
	else if (c == '&')
		count_field(head);
}

static void
read_version(Head *head, unsigned char c)
{
	static const char pattern[] = "HTTP/9.9"; /* 9: a digit */
	size_t at = head->part++;

	if (at == strlen(pattern) && c == '\n')
	{
		if (head->status != 0)
			refuse(head, 505, "HTTP/1.1 is spoken here");
		enter(head, STATE_LINE);
	}
	else if (at >= strlen(pattern) ||
	         (pattern[at] == '9' ? !isdigit(c) : c != pattern[at]))
		refuse(head, 400, "the first line is not that of an HTTP request");
	else if (at == strlen("HTTP/") && c != '1')
		head->status = 505;
}

/* ---- headers ---- */

static bool
is_named(const Head *head, const char *name)
{
	return head->named == strlen(name) && memcmp(head->name, name, head->named) == 0;
}

static void
read_name(Head *head, unsigned char c)
{
	if (c == ':' && head->named > 0)
	{
		head->digits = 0;
		head->state = is_named(head, "content-length") ? STATE_LENGTH
		              : is_named(head, "cookie")       ? STATE_COOKIE
		                                               : STATE_VALUE;
	}
	else if (!is_token(c))
		refuse(head, 400, "a header is not well formed");
	else if (head->named++ < sizeof(head->name))
		head->name[head->named - 1] = (char) tolower(c);
}

static void
read_line(Head *head, unsigned char c)
{
	if (c == '\n')
	{
		head->verdict = HEAD_WHOLE;
		return;
	}
	enter(head, STATE_NAME);
	head->named = 0;
	read_name(head, c);
	count_field(head);
}

static void
read_value(Head *head, unsigned char c)
{
	if (c == '\n')
		enter(head, STATE_LINE);
	else if (c == '\0')
		refuse(head, 400, "a header is not well formed");
}

/* Nobody wants them here, but the library takes each apart. */
static void
read_cookie(Head *head, unsigned char c)
{
	if (c == ';')
		count_field(head);
	read_value(head, c);
}

static void
read_length(Head *head, unsigned char c)
{
	bool blank = c == ' ' || c == '\t';

	if (c == '\n' && head->digits > 0)
		enter(head, STATE_LINE);
	else if (!isdigit(c) && !(blank && head->digits == 0))
		refuse(head, 400, "Content-Length is not a number");
	else if (!blank && ++head->digits > DIGITS_MOST)
		refuse(head, 413, "the body is too large");
}

/* ---- all of it ---- */

static void (*const readers[])(Head *head, unsigned char c) = {
    [STATE_BEFORE] = read_before, [STATE_METHOD] = read_method,
    [STATE_TARGET] = read_target, [STATE_VERSION] = read_version,
    [STATE_LINE] = read_line,     [STATE_NAME] = read_name,
    [STATE_VALUE] = read_value,   [STATE_COOKIE] = read_cookie,
    [STATE_LENGTH] = read_length,
};

static void
read_byte(Head *head, unsigned char c)
{
	bool returned = head->returned;

	head->returned = c == '\r';
	if (++head->size > HEAD_MOST)
		refuse(head, 431, "the headers are too large");
	else if (head->state >= STATE_NAME && ++head->part > HEAD_LINE)
		refuse(head, 431, "a header is too large");
	else if (returned && c != '\n')
		refuse(head, 400, "a line has a carriage return in it");
	else if (c != '\r')
		readers[head->state](head, c);
}

HeadVerdict
head_read(Head *head, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length && head->verdict == HEAD_MORE; i++)
		read_byte(head, (unsigned char) bytes[i]);
	return head->verdict;
}

void
head_end(Head *head)
{
	if (head->verdict == HEAD_MORE)
		refuse(head, 400, "the request ends before its headers do");
}
