/*
 * http/uri.h
 *	  Paths and queries as they came, decoded strictly.
 */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#define URI_BAD (-1)

/*
 * Splits a raw path at its slashes and decodes each segment, so that an encoded slash
 * separates nothing.  Returns how many, each to be freed; URI_BAD: "." or "..", a wrong
 * escape, a zero byte, what isn't UTF-8; 0: an empty segment, or more than most.
 */
extern int uri_split(const char *path, char **segments, int most);

/* A name or a value of the query, + being a space; NULL: wrong; caller frees. */
extern char *uri_decode(const char *raw);

#endif
