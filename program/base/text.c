/*
 * base/text.c
 *	  A growing string, and the few things done to strings of unknown origin.
 */
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* ---- growing ---- */

void
text_reserve(Text *text, size_t more)
{
	size_t need = text->length + more + 1;

	if (need <= text->size)
		return;
	text->size = need < 64 ? 64 : need + need / 2;
	text->data = mem_resize(text->data, text->size);
	text->data[text->length] = '\0';
}

void
text_add_bytes(Text *text, const char *bytes, size_t length)
{
	text_reserve(text, length);
	memcpy(text->data + text->length, bytes, length);
	text->length += length;
	text->data[text->length] = '\0';
}

void
text_add(Text *text, const char *string)
{
	text_add_bytes(text, string, strlen(string));
}

void
text_add_char(Text *text, char c)
{
	text_add_bytes(text, &c, 1);
}

void
text_addf(Text *text, const char *format, ...)
{
	va_list args;
	char *string;

	va_start(args, format);
	string = mem_vformat(format, args);
	va_end(args);
	text_add(text, string);
	free(string);
}

const char *
text_str(const Text *text)
{
	return text->data ? text->data : "";
}

void
text_clear(Text *text)
{
	text->length = 0;
	if (text->data)
		text->data[0] = '\0';
}

void
text_free(Text *text)
{
	free(text->data);
	*text = (Text){0};
}

char *
text_take(Text *text)
{
	char *string = text->data ? text->data : mem_copy("");

	*text = (Text){0};
	return string;
}

/* ---- characters ---- */

/* Bytes of the character that starts with this one, 0 if none does. */
static size_t
sequence_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xC2 && first <= 0xDF)
		return 2;
	if (first >= 0xE0 && first <= 0xEF)
		return 3;
	if (first >= 0xF0 && first <= 0xF4)
		return 4;
	return 0;
}

/* The second byte has a narrower range after some first bytes (RFC 3629). */
static bool
second_fits(unsigned char first, unsigned char second)
{
	switch (first)
	{
		case 0xE0:
			return second >= 0xA0;
		case 0xED:
			return second <= 0x9F;
		case 0xF0:
			return second >= 0x90;
		case 0xF4:
			return second <= 0x8F;
		default:
			return true;
	}
}

size_t
text_character(const char *p, size_t left)
{
	const unsigned char *byte = (const unsigned char *) p;
	size_t length;

	if (left == 0)
		return 0;
	length = sequence_length(byte[0]);
	if (length == 0 || length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((byte[i] & 0xC0) != 0x80)
			return 0;
	return length == 1 || second_fits(byte[0], byte[1]) ? length : 0;
}

void
text_add_clean(Text *text, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length;)
	{
		size_t n = text_character(bytes + i, length - i);

		if (n == 0 || bytes[i] == '\0')
		{
			text_add(text, REPLACEMENT);
			i++;
			continue;
		}
		text_add_bytes(text, bytes + i, n);
		i += n;
	}
}

/* C0, DEL and C1: what terminals take for commands. */
static bool
is_control(const char *p, size_t length)
{
	unsigned char first = *p;

	if (length == 1)
		return first < 0x20 || first == 0x7F;
	return first == 0xC2 && (unsigned char) p[1] < 0xA0;
}

void
text_add_line(Text *text, const char *string, size_t most)
{
	size_t left = strlen(string);
	size_t shown = 0;

	while (left > 0)
	{
		size_t n = text_character(string, left);

		if (most > 0 && shown++ == most)
		{
			text_add(text, "...");
			return;
		}
		if (n == 0)
			text_add(text, REPLACEMENT);
		else if (is_control(string, n))
			text_add_char(text, ' ');
		else
			text_add_bytes(text, string, n);
		n = n ? n : 1;
		string += n;
		left -= n;
	}
}

void
text_add_json(Text *text, const char *string)
{
	text_add_char(text, '"');
	for (const char *p = string; *p; p++)
	{
		unsigned char c = *p;

		if (c == '"' || c == '\\')
			text_addf(text, "\\%c", c);
		else if (c == '\n')
			text_add(text, "\\n");
		else if (c == '\t')
			text_add(text, "\\t");
		else if (c < 0x20)
			text_addf(text, "\\u%04x", c);
		else
			text_add_char(text, c);
	}
	text_add_char(text, '"');
}

size_t
text_width(const char *string)
{
	size_t width = 0;

	for (const char *p = string; *p; p++)
		width += ((unsigned char) *p & 0xC0) != 0x80;
	return width;
}

/* ---- numbers ---- */

bool
text_to_int(const char *string, int *value)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(string, &end, 10);
	if (end == string || *end != '\0' || errno != 0 || number < INT_MIN ||
	    number > INT_MAX)
		return false;
	*value = (int) number;
	return true;
}

bool
text_to_seconds(const char *string, double *value)
{
	static const struct
	{
		const char *unit;
		double seconds;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"h", 3600}, {"d", 86400}};
	char *end;
	double number = strtod(string, &end);

	if (end == string || !isfinite(number) || number < 0)
		return false;
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0)
		{
			*value = number * units[i].seconds;
			return true;
		}
	return false;
}
