/*
 * pg/array.h
 *	  Arrays as parameters: PostgreSQL's text form, built element by element.
 */
#ifndef PG_ARRAY_H
#define PG_ARRAY_H

#include "base/text.h"

/* Adds an element to the array under construction; NULL is NULL. */
extern void array_add(Text *array, const char *element);
extern void array_add_bytes(Text *array, const char *bytes, size_t length);

/* The finished array, valid until the next change; "{}" when nothing was added. */
extern const char *array_done(Text *array);

#endif
