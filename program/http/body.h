/*
 * http/body.h
 *	  Bodies that are JSON objects, checked against a table of fields.
 *
 * The check is for good complaints, early: values go to the database in the body's own
 * text, where they keep their precision and are judged for good.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

typedef enum FieldType
{
	FIELD_ANY,
	FIELD_STRING,
	FIELD_NUMBER,
	FIELD_BOOLEAN,
	FIELD_OBJECT,
	FIELD_SPAN, /* seconds, or a string such as "5 min" */
} FieldType;

typedef struct Field
{
	const char *name; /* NULL ends the table */
	FieldType type;
	bool required;
} Field;

/* Of a message to send. */
extern const Field message_fields[];

typedef enum BodyShape
{
	SHAPE_OBJECT = 1,
	SHAPE_ARRAY = 2 /* of objects, at least one */
} BodyShape;

/*
 * What it is, if it is one of the shapes that are allowed (added up), each object has the fields
 * required and no others, and each value is of its type or null; else 0 with a
 * complaint added.
 */
extern BodyShape body_check(const char *json, size_t length, int shapes,
                            const Field *fields, Text *complaint);

#endif
