/*
 * commands/man.c
 *	  The manual page, made from the table of commands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/version.h"
#include "commands/command.h"

/* Text as roff takes it: no request at the start of a line, no escapes, hyphens that can be copied. */
static void
put(const char *text)
{
	bool begins = true;

	for (const char *p = text; *p; p++)
	{
		if (begins && (*p == '.' || *p == '\''))
			fputs("\\&", stdout);
		if (*p == '\\')
			fputs("\\e", stdout);
		else if (*p == '-')
			fputs("\\-", stdout);
		else if (*p == '\'')
			fputs("\\(aq", stdout);
		else if (*p == '^')
			fputs("\\(ha", stdout);
		else if (*p == '~')
			fputs("\\(ti", stdout);
		else if (*p == '`')
			fputs("\\(ga", stdout);
		else
			putchar(*p);
		begins = *p == '\n';
	}
}

static void
put_line(const char *text)
{
	put(text);
	putchar('\n');
}

/* Paragraphs are parted by empty lines. */
static void
put_paragraphs(const char *text)
{
	const char *gap;

	while ((gap = strstr(text, "\n\n")) != NULL)
	{
		char *paragraph = mem_format("%.*s", (int) (gap - text), text);

		put_line(paragraph);
		puts(".PP");
		free(paragraph);
		text = gap + 2;
	}
	put_line(text);
}

static void
put_options(const Option *options)
{
	for (const Option *o = options; o && o->name; o++)
	{
		puts(".TP");
		if (o->letter)
			printf("\\fB\\-%c\\fR, ", o->letter);
		fputs("\\fB\\-\\-", stdout);
		put(o->name);
		fputs("\\fR", stdout);
		if (o->value)
		{
			fputs(" \\fI", stdout);
			put(o->value);
			fputs("\\fR", stdout);
		}
		putchar('\n');
		put_line(o->help);
	}
}

static void
put_command(const Command *command)
{
	fputs(".SS \"baton ", stdout);
	put(command->name);
	if (command->options)
		fputs(" [OPTION]...", stdout);
	if (*command->arguments)
		putchar(' ');
	put(command->arguments);
	puts("\"");
	put(command->summary);
	puts(".");
	if (command->description)
	{
		puts(".PP");
		put_paragraphs(command->description);
	}
	put_options(command->options);
	if (command->examples[0])
		puts(".PP\n.nf\n.RS 4");
	for (const char *const *e = command->examples; *e; e++)
		put_line(*e);
	if (command->examples[0])
		puts(".RE\n.fi");
}

void
help_man(void)
{
	puts(".\\\" Written by \"make -C program docs\" from the program's own tables.\n"
	     ".TH BATON 1 \"\" \"baton " BATON_VERSION "\" \"Baton\"\n"
	     ".SH NAME\nbaton \\- a message queue inside PostgreSQL\n"
	     ".SH SYNOPSIS\n\\fBbaton\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR]... "
	     "[\\fIARGUMENT\\fR]...\n"
	     ".SH DESCRIPTION\n"
	     "Sends, receives and works messages of a queue that lives in a PostgreSQL "
	     "database, "
	     "and looks at it.");
	puts(".PP");
	put(help_connecting);
	puts(".SH COMMANDS");
	for (const Command *const *c = commands; *c; c++)
		put_command(*c);
	puts(".SH OPTIONS OF ALL COMMANDS");
	put_options(connecting_options);
	puts(".SH EXIT STATUS");
	for (const ExitCodeMeaning *e = exit_codes; e->meaning; e++)
	{
		printf(".TP\n%d\n", e->code);
		put_line(e->meaning);
	}
	puts(".SH ENVIRONMENT\n.TP\nPGHOST, PGPORT, PGDATABASE, PGUSER, PGSERVICE, ...\n"
	     "libpq\\(aqs: which database.\n"
	     ".TP\nNO_COLOR\nNot empty: no colours.\n"
	     ".SH SEE ALSO\n\\fBpsql\\fR(1); in psql, \\fB\\edf+ baton.*\\fR is the "
	     "reference of "
	     "the SQL functions.");
}
