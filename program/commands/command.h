/*
 * commands/command.h
 *	  A command is a value: what it is called, what it takes, what it does.
 *
 * main.c finds it in commands[], parses by its options and calls run; help,
 * "baton help --markdown" (docs/cli.md) and the tests read the same rows.
 *
 * To add one: a file that defines a Command, a line in commands[] (table.c), a
 * test in test/t.
 */
#ifndef COMMANDS_COMMAND_H
#define COMMANDS_COMMAND_H

#include "base/options.h"

typedef struct Command
{
	const char *name;                  /* one word or two, as typed: "queue create" */
	const char *arguments;             /* as help shows them, "" for none */
	int least;                         /* number of arguments */
	int most;                          /* -1: no bound */
	const char *summary;               /* one line, no full stop */
	const char *description;           /* paragraphs, or NULL */
	const Option *options;             /* or NULL */
	const char *const *examples;       /* ends with NULL */
	bool connects;                     /* takes -d and libpq's environment */
	int (*run)(int argc, char **argv); /* arguments only; returns an ExitCode */
} Command;

extern const Command *const commands[]; /* ends with NULL */

extern const Command command_up;
extern const Command command_down;
extern const Command command_queue;
extern const Command command_queue_create;
extern const Command command_queue_alter;
extern const Command command_queue_drop;
extern const Command command_queue_purge;
extern const Command command_queue_pause;
extern const Command command_queue_resume;
extern const Command command_send;
extern const Command command_receive;
extern const Command command_complete;
extern const Command command_fail;
extern const Command command_release;
extern const Command command_work;
extern const Command command_serve;
extern const Command command_token_create;
extern const Command command_token_list;
extern const Command command_token_revoke;
extern const Command command_metrics;
extern const Command command_message;
extern const Command command_log;
extern const Command command_top;
extern const Command command_doctor;
extern const Command command_help;

/* Options every command has (help, version, -v, -q, --log-format), and -d for those that connect. */
extern const Option common_options[];
extern const Option connecting_options[];

/* What common_options set. */
extern bool want_help;
extern bool want_version;
extern bool want_verbose;
extern bool want_quiet;
extern const char *want_log_format;

/*
 * The command whose name the first words are; *words says how many of them
 * it took.  NULL: there is none.
 */
extern const Command *command_find(int argc, char **argv, int *words);

/* Help for all, or for one, on standard output. */
extern void help_all(void);
extern void help_command(const Command *command);

/* All of it as the source of a manual page. */
extern void help_man(void);
extern const char help_connecting[]; /* which database is used, in words */

/* The command line is wrong: says so and where help is; ends with EXIT_USAGE. */
extern void usage_error(const Command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#endif
