/*
 * commands/help.c
 *	  Help, made from the table of commands: for a terminal, and as Markdown.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "commands/command.h"
#include "http/route.h"

static bool markdown;
static bool routes_wanted;
static bool man;

static const Option *
shared_options(const Command *command)
{
	return command->connects ? connecting_options : common_options;
}

/* ---- for a terminal ---- */

const char help_connecting[] =
    "Which database: -d, else libpq's environment (PGHOST, PGDATABASE, PGSERVICE, ...,\n"
    "pg_service.conf, .pgpass), else the server \"baton up\" runs in its default "
    "directory.\n";

static void
print_options(const Option *options)
{
	Text text = {0};

	options_describe(options, &text);
	fputs(text_str(&text), stdout);
	text_free(&text);
}

void
help_all(void)
{
	puts("baton: a message queue inside PostgreSQL\n\n"
	     "Usage: baton COMMAND [OPTION]... [ARGUMENT]...\n\nCommands:");
	for (const Command *const *c = commands; *c; c++)
		printf("  %-16s %s\n", (*c)->name, (*c)->summary);
	puts("\nOptions of all commands:");
	print_options(connecting_options);
	printf("\n%s\nExit codes:\n", help_connecting);
	for (const ExitCodeMeaning *e = exit_codes; e->meaning; e++)
		printf("  %d  %s\n", e->code, e->meaning);
	puts("\n\"baton help COMMAND\" has options and examples.");
}

void
help_command(const Command *command)
{
	printf("baton %s: %s\n\n", command->name, command->summary);
	printf("Usage: baton %s%s%s%s\n", command->name,
	       command->options ? " [OPTION]..." : "", *command->arguments ? " " : "",
	       command->arguments);
	if (command->description)
		printf("\n%s\n", command->description);
	if (command->options)
	{
		puts("\nOptions:");
		print_options(command->options);
	}
	puts("\nOptions of all commands:");
	print_options(shared_options(command));
	if (command->examples[0])
		puts("\nExamples:");
	for (const char *const *e = command->examples; *e; e++)
		printf("  %s\n", *e);
}

void
usage_error(const Command *command, const char *format, ...)
{
	va_list args;
	char *message;
	char *hint;

	va_start(args, format);
	message = mem_vformat(format, args);
	va_end(args);
	hint = command ? mem_format("Try \"baton %s --help\".", command->name)
	               : mem_copy("Try \"baton help\".");
	complain(&(Complaint){.message = message, .hint = hint});
	free(message);
	free(hint);
	exit(EXIT_USAGE);
}

/* ---- as Markdown ---- */

static void
markdown_options(const Option *options)
{
	puts("| option | |\n|---|---|");
	for (const Option *o = options; o && o->name; o++)
	{
		fputs("| `", stdout);
		if (o->letter)
			printf("-%c`, `", o->letter);
		printf("--%s%s%s` | %s |\n", o->name, o->value ? " " : "",
		       o->value ? o->value : "", o->help);
	}
	putchar('\n');
}

static void
markdown_command(const Command *command)
{
	printf("## baton %s\n\n", command->name);
	printf("`baton %s%s%s%s`: %s.\n\n", command->name,
	       command->options ? " [OPTION]..." : "", *command->arguments ? " " : "",
	       command->arguments, command->summary);
	if (command->description)
		printf("%s\n\n", command->description);
	if (command->options)
		markdown_options(command->options);
	if (command->examples[0])
		puts("```sh");
	for (const char *const *e = command->examples; *e; e++)
		puts(*e);
	if (command->examples[0])
		puts("```\n");
}

static void
markdown_all(void)
{
	puts("# The command line\n\n"
	     "<!-- Written by \"make -C program docs\" from the program's own tables. -->\n\n"
	     "`baton COMMAND [OPTION]... [ARGUMENT]...`\n\n| command | |\n|---|---|");
	for (const Command *const *c = commands; *c; c++)
		printf("| `%s` | %s |\n", (*c)->name, (*c)->summary);
	printf("\n## Options of all commands\n\n");
	markdown_options(connecting_options);
	printf("%s\n## Exit codes\n\n| code | |\n|---|---|\n", help_connecting);
	for (const ExitCodeMeaning *e = exit_codes; e->meaning; e++)
		printf("| %d | %s |\n", e->code, e->meaning);
	putchar('\n');
	for (const Command *const *c = commands; *c; c++)
		markdown_command(*c);
}

/* ---- the command ---- */

static int
run_help(int argc, char **argv)
{
	int words;
	const Command *command = command_find(argc, argv, &words);

	if (markdown)
		markdown_all();
	else if (routes_wanted)
		routes_print();
	else if (man)
		help_man();
	else if (argc == 0)
		help_all();
	else if (command && words == argc)
		help_command(command);
	else
		usage_error(NULL, "there is no command \"%s%s%s\"", argv[0], argc > 1 ? " " : "",
		            argc > 1 ? argv[1] : "");
	return EXIT_OK;
}

static const Option options[] = {
    {"markdown", 0, OPTION_FLAG, NULL, &markdown, 0, 0,
     "all of it, as docs/cli.md has it"},
    {"routes", 0, OPTION_FLAG, NULL, &routes_wanted, 0, 0,
     "the HTTP API's routes: method, path, scope, parameters, summary"},
    {"man", 0, OPTION_FLAG, NULL, &man, 0, 0,
     "all of it, as the source of a manual page"},
    {0},
};

static const char *const examples[] = {"baton help send", NULL};

const Command command_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .least = 0,
    .most = 2,
    .summary = "explain the commands",
    .options = options,
    .examples = examples,
    .run = run_help,
};
