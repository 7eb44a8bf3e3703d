/*
 * base/options.c
 *	  Options of a command as a table: parsed and explained from the same rows.
 */
#include "base/options.h"

#include <string.h>

#include "base/die.h"

#define HELP_COLUMN 28

typedef struct Parse
{
	int argc;
	char **argv;
	int next; /* index of the next word */
	const Option *tables[2];
	Text *error;
} Parse;

/* ---- looking up ---- */

static const Option *
find_long(const Parse *parse, const char *name, size_t length)
{
	for (int t = 0; t < 2; t++)
		for (const Option *o = parse->tables[t]; o && o->name; o++)
			if (strncmp(o->name, name, length) == 0 && o->name[length] == '\0')
				return o;
	return NULL;
}

static const Option *
find_short(const Parse *parse, char letter)
{
	for (int t = 0; t < 2; t++)
		for (const Option *o = parse->tables[t]; o && o->name; o++)
			if (o->letter == letter)
				return o;
	return NULL;
}

/* ---- values ---- */

static bool
in_range(const Option *option, double value, Text *error)
{
	if (value >= option->least && (option->most == 0 || value <= option->most))
		return true;
	if (option->most == 0)
		text_addf(error, "--%s must be at least %d", option->name, option->least);
	else
		text_addf(error, "--%s must be between %d and %d", option->name, option->least,
		          option->most);
	return false;
}

static void
add_value(OptionValues *values, const char *word)
{
	values->value = mem_resize(values->value, sizeof(char *) * (values->count + 1));
	values->value[values->count++] = word;
}

static bool
set_value(const Option *option, const char *word, Text *error)
{
	switch (option->type)
	{
		case OPTION_FLAG:
			*(bool *) option->target = true;
			return true;
		case OPTION_STRING:
			*(const char **) option->target = word;
			return true;
		case OPTION_EACH:
			add_value(option->target, word);
			return true;
		case OPTION_COUNT:
			if (text_to_int(word, (int *) option->target))
				return in_range(option, *(int *) option->target, error);
			text_addf(error, "--%s takes a whole number, not \"%s\"", option->name, word);
			return false;
		case OPTION_SECONDS:
			if (text_to_seconds(word, (double *) option->target))
				return in_range(option, *(double *) option->target, error);
			text_addf(error, "--%s takes seconds (or 200ms, 5m, 1h), not \"%s\"",
			          option->name, word);
			return false;
	}
	return false;
}

/* The option's value: attached to it, or the next word. */
static bool
take_value(Parse *parse, const Option *option, const char *attached)
{
	if (option->type == OPTION_FLAG && attached)
	{
		text_addf(parse->error, "--%s takes no value", option->name);
		return false;
	}
	if (option->type != OPTION_FLAG && attached == NULL)
	{
		if (parse->next >= parse->argc)
		{
			text_addf(parse->error, "--%s needs a value: %s", option->name,
			          option->value);
			return false;
		}
		attached = parse->argv[parse->next++];
	}
	return set_value(option, attached, parse->error);
}

static bool
parse_long(Parse *parse, const char *word)
{
	const char *equals = strchr(word, '=');
	size_t length = equals ? (size_t) (equals - word) : strlen(word);
	const Option *option = find_long(parse, word, length);

	if (option == NULL)
	{
		text_addf(parse->error, "unknown option \"--%.*s\"", (int) length, word);
		return false;
	}
	return take_value(parse, option, equals ? equals + 1 : NULL);
}

/* -vq, -n VALUE, -nVALUE: after a letter that takes a value the rest is the value. */
static bool
parse_short(Parse *parse, const char *letters)
{
	for (const char *p = letters; *p; p++)
	{
		const Option *option = find_short(parse, *p);

		if (option == NULL)
		{
			text_addf(parse->error, "unknown option \"-%c\"", *p);
			return false;
		}
		if (option->type != OPTION_FLAG)
			return take_value(parse, option, p[1] ? p + 1 : NULL);
		if (!take_value(parse, option, NULL))
			return false;
	}
	return true;
}

/* ---- what others call ---- */

int
options_parse(int argc, char **argv, const Option *own, const Option *common, Text *error)
{
	Parse parse = {.argc = argc, .argv = argv, .tables = {own, common}, .error = error};
	int arguments = 0;
	bool options_ended = false;

	while (parse.next < argc)
	{
		char *word = argv[parse.next++];

		if (options_ended || word[0] != '-' || word[1] == '\0')
			argv[arguments++] = word;
		else if (strcmp(word, "--") == 0)
			options_ended = true;
		else if (word[1] == '-' ? !parse_long(&parse, word + 2)
		                        : !parse_short(&parse, word + 1))
			return -1;
	}
	return arguments;
}

void
options_describe(const Option *options, Text *out)
{
	for (const Option *o = options; o && o->name; o++)
	{
		size_t start = out->length;

		text_add(out, "  ");
		if (o->letter)
			text_addf(out, "-%c, ", o->letter);
		text_addf(out, "--%s", o->name);
		if (o->value)
			text_addf(out, " %s", o->value);
		if (out->length - start >= HELP_COLUMN)
		{
			text_add_char(out, '\n');
			start = out->length;
		}
		text_addf(out, "%*s%s\n", (int) (HELP_COLUMN - (out->length - start)), "",
		          o->help);
	}
}
