/*
 * http/body.c
 *	  Bodies that are JSON objects, checked against a table of fields.
 */
#include "http/body.h"

#include <jansson.h>
#include <string.h>

/* Numbers are not taken from here, so those too long for an integer are no error. */
#define FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL)

const Field message_fields[] = {
    {"payload", FIELD_ANY, true},        {"headers", FIELD_OBJECT, false},
    {"priority", FIELD_NUMBER, false},   {"delay", FIELD_SPAN, false},
    {"deliver_at", FIELD_STRING, false}, {"expires_in", FIELD_SPAN, false},
    {"key", FIELD_STRING, false},        {0}};

static const char *const type_names[] = {
    "anything",      "a string",  "a number",
    "true or false", "an object", "a time: seconds, or a string such as \"5 min\""};

static bool
fits(const json_t *value, FieldType type)
{
	switch (type)
	{
		case FIELD_STRING:
			return json_is_string(value);
		case FIELD_NUMBER:
			return json_is_number(value);
		case FIELD_BOOLEAN:
			return json_is_boolean(value);
		case FIELD_OBJECT:
			return json_is_object(value);
		case FIELD_SPAN:
			return json_is_string(value) || json_is_number(value);
		case FIELD_ANY:
			break;
	}
	return true;
}

static const Field *
field_named(const Field *fields, const char *name)
{
	for (const Field *f = fields; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static bool
check_object(json_t *object, const Field *fields, Text *complaint)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
	{
		text_add(complaint, "not an object");
		return false;
	}
	json_object_foreach(object, name, value)
	{
		const Field *field = field_named(fields, name);

		if (field && (json_is_null(value) || fits(value, field->type)))
			continue;
		text_addf(complaint,
		          field ? "\"%.63s\" must be %s" : "there is no field \"%.63s\"", name,
		          field ? type_names[field->type] : "");
		return false;
	}
	for (const Field *f = fields; f->name; f++)
		if (f->required && json_object_get(object, f->name) == NULL)
		{
			text_addf(complaint, "\"%s\" is missing", f->name);
			return false;
		}
	return true;
}

static bool
check_array(json_t *array, const Field *fields, Text *complaint)
{
	size_t i;
	json_t *object;

	if (json_array_size(array) == 0)
		text_add(complaint, "the array is empty");
	json_array_foreach(array, i, object) if (!check_object(object, fields, complaint))
	{
		text_addf(complaint, ", in element %zu", i + 1);
		break;
	}
	return complaint->length == 0;
}

static BodyShape
check_shape(json_t *json, int shapes, const Field *fields, Text *complaint)
{
	if (json_is_array(json) && (shapes & SHAPE_ARRAY))
		return check_array(json, fields, complaint) ? SHAPE_ARRAY : 0;
	if (json_is_object(json) && (shapes & SHAPE_OBJECT))
		return check_object(json, fields, complaint) ? SHAPE_OBJECT : 0;
	text_add(complaint,
	         shapes & SHAPE_ARRAY ? "neither an object nor an array" : "not an object");
	return 0;
}

BodyShape
body_check(const char *json, size_t length, int shapes, const Field *fields,
           Text *complaint)
{
	json_error_t error;
	json_t *value = json_loadb(json, length, FLAGS, &error);
	BodyShape shape;

	if (value == NULL)
	{
		text_addf(complaint, "not valid JSON: line %d, column %d: ", error.line,
		          error.column);
		text_add_clean(complaint, error.text, strlen(error.text));
		return 0;
	}
	shape = check_shape(value, shapes, fields, complaint);
	json_decref(value);
	return shape;
}
