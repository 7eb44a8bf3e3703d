/*
 * http/head.h
 *	  The head of a request, from its first byte to the empty line: whether it is one.
 *
 * This is asked before the library has the bytes, which would answer what is no request, or
 * too large a one, in its own words.  What passes here is parsed by the library.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#define HEAD_MOST 16384 /* bytes */
#define HEAD_LINE 8000  /* bytes of the target, and of a header */
#define HEAD_FIELDS 100 /* headers, parameters of the query and cookies together */

typedef enum HeadVerdict
{
	HEAD_MORE,  /* good so far */
	HEAD_WHOLE, /* the empty line is there */
	HEAD_BAD    /* status and complaint say why */
} HeadVerdict;

/* Zeroed: nothing has been read. */
typedef struct Head
{
	HeadVerdict verdict;
	int state;     /* HeadState in head.c */
	bool returned; /* the last byte was CR: LF must follow */
	size_t size;   /* bytes read */
	size_t part;   /* bytes of the part that is being read: method, target, line */
	int fields;
	char name[16]; /* of the header, in lower case, if it fits */
	size_t named;  /* bytes of the name */
	int digits;    /* of Content-Length's value */
	int status;
	const char *complaint;
} Head;

/* Reads on; what comes after the head, or after something bad, is left alone. */
extern HeadVerdict head_read(Head *head, const char *bytes, size_t length);

/* The client sends no more. */
extern void head_end(Head *head);

#endif
