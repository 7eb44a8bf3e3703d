/*
 * commands/table.c
 *	  All commands, in the order in which help lists them, and the options they share.
 */
#include "commands/command.h"

#include <stdio.h>
#include <string.h>

#include "pg/connection.h"

const Command *const commands[] = {
    &command_up,           &command_down,
    &command_queue,        &command_queue_create,
    &command_queue_alter,  &command_queue_drop,
    &command_queue_purge,  &command_queue_pause,
    &command_queue_resume, &command_send,
    &command_receive,      &command_complete,
    &command_fail,         &command_release,
    &command_work,         &command_message,
    &command_log,          &command_top,
    &command_doctor,       &command_metrics,
    &command_serve,        &command_token_create,
    &command_token_list,   &command_token_revoke,
    &command_help,         NULL,
};

bool want_help;
bool want_version;
bool want_verbose;
bool want_quiet;
const char *want_log_format;

#define COMMON_OPTIONS                                                                   \
	{"verbose",     'v', OPTION_FLAG, NULL,                                              \
	 &want_verbose, 0,   0,           "say what happens, line by line"},                 \
	    {"quiet", 'q', OPTION_FLAG, NULL, &want_quiet, 0, 0, "say nothing but errors"},  \
	    {"log-format",                                                                   \
	     0,                                                                              \
	     OPTION_STRING,                                                                  \
	     "FORMAT",                                                                       \
	     &want_log_format,                                                               \
	     0,                                                                              \
	     0,                                                                              \
	     "of what is said on standard error while it works: text, json"},                \
	    {"help", 'h', OPTION_FLAG, NULL, &want_help, 0, 0, "this help"},                 \
	{                                                                                    \
		"version", 'V', OPTION_FLAG, NULL, &want_version, 0, 0, "the program's version"  \
	}

const Option common_options[] = {
    COMMON_OPTIONS,
    {0},
};

const Option connecting_options[] = {
    {"dbname", 'd', OPTION_STRING, "CONNINFO", &connection_string, 0, 0,
     "the database: its name, a connection string, or a URI"},
    COMMON_OPTIONS,
    {0},
};

/* Number of words of name that argv begins with; 0: not all of them. */
static int
matches(const char *name, int argc, char **argv)
{
	const char *space = strchr(name, ' ');
	size_t first = space ? (size_t) (space - name) : strlen(name);

	if (argc < 1 || strncmp(argv[0], name, first) != 0 || argv[0][first] != '\0')
		return 0;
	if (space == NULL)
		return 1;
	return argc > 1 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

const Command *
command_find(int argc, char **argv, int *words)
{
	const Command *best = NULL;

	*words = 0;
	for (const Command *const *c = commands; *c; c++)
	{
		int n = matches((*c)->name, argc, argv);

		if (n > *words)
		{
			best = *c;
			*words = n;
		}
	}
	return best;
}
