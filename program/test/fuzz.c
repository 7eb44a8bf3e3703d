/*
 * test/fuzz.c SEED ITERATIONS
 *	  Throws bytes at what decodes heads, paths, queries and bodies, and checks what comes back.
 *
 * Inputs are samples with a few random changes; the same seed gives the same inputs.  Run
 * with sanitizers (http_fuzz.pl), which see what the checks here don't.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "http/body.h"
#include "http/head.h"
#include "http/uri.h"

static const char *const samples[] = {
    "/v1/queues/mail/messages/7",
    "/v1/queues/%e2%82%ac/receive",
    "/%2e%2e/%00/..//%",
    "a+b%20c%2Bd",
    "{\"payload\": {\"a\": [1, 2.5e3, null, true]}, \"key\": \"k\", \"delay\": \"5 s\"}",
    "[{\"payload\": \"\\u00fc\\ud83d\\ude00\"}, {\"payload\": -0.0, \"headers\": {}}]",
    "{\"payload\": 1, \"payload\": 2}",
    "GET /v1/queues?x=1&y=2 HTTP/1.1\r\nHost: localhost\r\nCookie: a=b; c=d\r\n\r\n",
    "\r\nPOST / HTTP/1.0\nContent-Length: 17\nX:\n\nbody",
};

static const char interesting[] = "%/.{}[]\",:\\u+0eE-\x00\x7f\x80\xc0\xe2\xf0\xff dn";

#define INPUT_MOST 512

static unsigned long long state;

static unsigned
draw(unsigned below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned) (state >> 33) % below;
}

static void
check(bool good, const char *what, const char *input)
{
	if (!good)
		die(EXIT_ERROR, "%s: \"%s\"", what, input);
}

/* A sample with some bytes changed, left out, doubled or put in. */
static size_t
make_input(char *out)
{
	const char *sample = samples[draw(sizeof(samples) / sizeof(samples[0]))];
	size_t length = strlen(sample);

	memcpy(out, sample, length);
	for (unsigned changes = draw(6); changes > 0 && length > 0; changes--)
	{
		size_t at = draw((unsigned) length);
		char byte =
		    draw(2) ? interesting[draw(sizeof(interesting) - 1)] : (char) draw(256);

		if (draw(3) == 0)
			out[at] = byte;
		else if (draw(2))
			memmove(out + at, out + at + 1, --length - at);
		else if (length < INPUT_MOST / 2)
		{
			memmove(out + at + 1, out + at, length - at);
			out[at] = byte;
			length++;
		}
	}
	out[length] = '\0';
	return length;
}

static bool
is_utf8(const char *string)
{
	size_t length = strlen(string);

	for (size_t i = 0, n; i < length; i += n)
		if ((n = text_character(string + i, length - i)) == 0)
			return false;
	return true;
}

static void
try_path(const char *input)
{
	char *segments[4];
	int count = uri_split(input, segments, 4);

	check(count == URI_BAD || (count >= 0 && count <= 4), "number of segments", input);
	for (int i = 0; i < count; i++)
	{
		check(*segments[i] && is_utf8(segments[i]), "a segment", input);
		check(strcmp(segments[i], ".") != 0 && strcmp(segments[i], "..") != 0, "dots",
		      input);
		free(segments[i]);
	}
}

/* What is encoded and decoded again is what it was. */
static void
try_round_trip(const char *input)
{
	Text encoded = {0};
	char *decoded;

	for (const char *p = input; *p; p++)
		text_addf(&encoded, "%%%02x", (unsigned char) *p);
	decoded = uri_decode(text_str(&encoded));
	check((decoded != NULL) == is_utf8(input), "what is UTF-8", input);
	check(decoded == NULL || strcmp(decoded, input) == 0, "round trip", input);
	free(decoded);
	text_free(&encoded);
}

static void
try_query(const char *input)
{
	char *decoded = uri_decode(input);

	check(decoded == NULL || (is_utf8(decoded) && strlen(decoded) <= strlen(input)),
	      "a query", input);
	free(decoded);
}

static void
try_body(const char *input, size_t length)
{
	/* Of its own size, so that a step beyond its end is seen. */
	char *exact = mem_alloc(length ? length : 1);
	Text complaint = {0};
	BodyShape shape;

	memcpy(exact, input, length);
	shape =
	    body_check(exact, length, SHAPE_OBJECT | SHAPE_ARRAY, message_fields, &complaint);
	check((shape == 0) == (complaint.length > 0), "a complaint", input);
	check(is_utf8(text_str(&complaint)), "a complaint's characters", input);
	text_free(&complaint);
	free(exact);
}

/* It doesn't matter in which pieces a head comes, and what is whole has a request's form. */
static void
try_head(const char *input, size_t length)
{
	Head whole = {0};
	Head pieces = {0};

	head_read(&whole, input, length);
	for (size_t at = 0, n; at < length; at += n)
	{
		char *exact;

		n = 1 + draw((unsigned) (length - at));
		exact = mem_alloc(n);
		memcpy(exact, input + at, n);
		head_read(&pieces, exact, n);
		free(exact);
	}
	check(whole.verdict == pieces.verdict && whole.status == pieces.status &&
	          whole.size == pieces.size && whole.complaint == pieces.complaint,
	      "a head in pieces", input);
	check(whole.size <= length, "bytes that were not there", input);
	check((whole.verdict == HEAD_BAD) == (whole.complaint != NULL), "a complaint", input);
	check(whole.verdict != HEAD_BAD || (whole.status >= 400 && whole.status <= 505),
	      "a status", input);
	check(whole.verdict != HEAD_WHOLE || input[whole.size - 1] == '\n', "a head's end",
	      input);
	head_end(&pieces);
	check(pieces.verdict != HEAD_MORE, "the end of it", input);
}

int
main(int argc, char **argv)
{
	long iterations = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
	char input[INPUT_MOST + 1];

	state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	for (long i = 0; i < iterations; i++)
	{
		size_t length = make_input(input);

		try_path(input);
		try_query(input);
		try_round_trip(input);
		try_body(input, length);
		try_head(input, length);
	}
	printf("%ld inputs\n", iterations);
	return 0;
}
