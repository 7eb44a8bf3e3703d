/*
 * http/uri.c
 *	  Paths and queries as they came, decoded strictly.
 */
#include "http/uri.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_utf8(const char *bytes, size_t length)
{
	for (size_t i = 0, n; i < length; i += n)
		if ((n = text_character(bytes + i, length - i)) == 0)
			return false;
	return true;
}

/* Decodes length bytes; NULL: wrong. */
static char *
decode(const char *raw, size_t length, bool plus)
{
	Text out = {0};
	bool good = true;

	for (size_t i = 0; i < length && good; i++)
		if (raw[i] == '%')
		{
			int high = i + 2 < length ? hex_digit(raw[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(raw[i + 2]) : -1;

			good = low >= 0 && (high || low);
			text_add_char(&out, (char) (high * 16 + low));
			i += 2;
		}
		else
		{
			good = (unsigned char) raw[i] > ' ' && raw[i] != 0x7f;
			text_add_char(&out, plus && raw[i] == '+' ? ' ' : raw[i]);
		}
	if (good && is_utf8(text_str(&out), out.length))
		return text_take(&out);
	text_free(&out);
	return NULL;
}

char *
uri_decode(const char *raw)
{
	return decode(raw, strlen(raw), true);
}

static bool
is_dots(const char *segment)
{
	return strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0;
}

int
uri_split(const char *path, char **segments, int most)
{
	int count = 0;
	int verdict = 0;

	while (verdict == 0 && *path == '/' && count < most)
	{
		size_t length = strcspn(++path, "/");

		if (length == 0)
			break;
		segments[count] = decode(path, length, false);
		if (segments[count] == NULL || is_dots(segments[count]))
			verdict = URI_BAD;
		if (segments[count])
			count++;
		path += length;
	}
	if (verdict == 0 && *path == '\0' && count > 0 && path[-1] != '/')
		return count;
	while (count > 0)
		free(segments[--count]);
	return verdict;
}
