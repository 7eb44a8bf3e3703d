/*
 * pg/array.c
 *	  Arrays as parameters: PostgreSQL's text form, built element by element.
 */
#include "pg/array.h"

#include <string.h>

static void
array_separate(Text *array)
{
	text_add_char(array, array->length == 0 ? '{' : ',');
}

void
array_add_bytes(Text *array, const char *bytes, size_t length)
{
	array_separate(array);
	text_reserve(array, length + length / 4 + 2);
	text_add_char(array, '"');
	for (size_t i = 0; i < length; i++)
	{
		if (bytes[i] == '"' || bytes[i] == '\\')
			text_add_char(array, '\\');
		text_add_char(array, bytes[i]);
	}
	text_add_char(array, '"');
}

void
array_add(Text *array, const char *element)
{
	if (element)
	{
		array_add_bytes(array, element, strlen(element));
		return;
	}
	array_separate(array);
	text_add(array, "NULL");
}

const char *
array_done(Text *array)
{
	if (array->length == 0)
		text_add_char(array, '{');
	text_add_char(array, '}');
	return array->data;
}
