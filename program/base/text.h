/*
 * base/text.h
 *	  A growing string, and the few things done to strings of unknown origin.
 *
 * A Text that is all zeroes is an empty one.  Its data always ends with a zero
 * byte once something was added; text_str() gives "" before.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Text
{
	char *data;    /* owned; NULL until something is added */
	size_t length; /* without the zero byte */
	size_t size;   /* bytes allocated */
} Text;

extern void text_add(Text *text, const char *string);
extern void text_add_bytes(Text *text, const char *bytes, size_t length);
extern void text_add_char(Text *text, char c);
extern void text_addf(Text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Room for that many more bytes at data + length; the caller then adds to length. */
extern void text_reserve(Text *text, size_t more);
extern const char *text_str(const Text *text);

/* Empties it and keeps the memory; text_free gives the memory back too. */
extern void text_clear(Text *text);
extern void text_free(Text *text);

/* The string, which the caller frees; the Text is empty afterwards. */
extern char *text_take(Text *text);

/*
 * Adds bytes of unknown origin as valid UTF-8 that PostgreSQL takes as text:
 * what isn't valid becomes U+FFFD, zero bytes too.
 */
extern void text_add_clean(Text *text, const char *bytes, size_t length);

/*
 * Adds a string as part of one line on a terminal, at most so many characters (0: no bound), then "...".  What
 * is not printable becomes a space, so that no value can move the cursor.
 */
extern void text_add_line(Text *text, const char *string, size_t most);

/* Adds the string in double quotes as JSON writes it; it must be valid UTF-8. */
extern void text_add_json(Text *text, const char *string);

/* Length of the valid UTF-8 character at p, which has at most left bytes; 0: invalid. */
extern size_t text_character(const char *p, size_t left);

/* Columns a UTF-8 string takes on a terminal, one a character. */
extern size_t text_width(const char *string);

/*
 * Whole string as a number; false if it is anything else.  Seconds may have a
 * unit: ms, s, m, h, d.
 */
extern bool text_to_int(const char *string, int *value);
extern bool text_to_seconds(const char *string, double *value);

#endif
