/*
 * http/framing.c
 *	  Where a request's parts begin and end, as its headers say.
 *
 * Of what gate.c has looked at, so much is looked at here again as the library lets through, for what doesn't
 * come by there: the later requests of a connection, and TLS.  What comes twice, where
 * somebody in front of us may have taken the other one, is refused.
 */
#include <string.h>

#include "http/head.h"
#include "http/internal.h"

typedef struct HeadCount
{
	int hosts;
	int lengths;
	int encodings;
	bool chunked;
} HeadCount;

static enum MHD_Result
count_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	HeadCount *count = cls;

	(void) kind;
	count->hosts += strcasecmp(name, "Host") == 0;
	count->lengths += strcasecmp(name, "Content-Length") == 0;
	if (strcasecmp(name, "Transfer-Encoding") == 0)
	{
		count->encodings++;
		count->chunked = value && strcasecmp(value, "chunked") == 0;
	}
	return MHD_YES;
}

static size_t
head_size(const Request *r)
{
	return MHD_get_connection_info(r->client->connection,
	                               MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
	    ->header_size;
}

bool
framing_check(Request *r, const char *url, const char *version)
{
	HeadCount count = {0};
	int headers = MHD_get_connection_values(r->client->connection, MHD_HEADER_KIND,
	                                        count_header, &count);

	if (strlen(url) > HEAD_LINE)
		request_refuse(r, 414, "the path is too long");
	else if (head_size(r) > HEAD_MOST)
		request_refuse(r, 431, "the headers are too large");
	else if (headers > HEAD_FIELDS)
		request_refuse(r, 431, "there are too many headers");
	else if (count.hosts != 1 && (count.hosts > 1 || strcmp(version, "HTTP/1.0") != 0))
		request_refuse(r, 400, "there must be one header Host");
	else if (count.lengths + count.encodings > 1)
		request_refuse(r, 400, "the length of the body is said twice");
	else if (count.encodings > 0 && !count.chunked)
		request_refuse(r, 501, "no Transfer-Encoding is known here but chunked");
	return r->status == 0;
}
