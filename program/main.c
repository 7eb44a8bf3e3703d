/*
 * main.c
 *	  Finds the command in the table, parses its options, runs it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/log.h"
#include "base/version.h"
#include "cluster/cluster.h"
#include "commands/command.h"
#include "pg/connection.h"

/* Index of the first word that is not an option: the command.  -d X may stand before it. */
static int
command_position(int argc, char **argv)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0')
	{
		bool takes_next = strcmp(argv[i], "-d") == 0 || strcmp(argv[i], "--dbname") == 0;

		i += takes_next ? 2 : 1;
	}
	return i < argc ? i : argc;
}

/* Moves the options before the command behind it, so that they are parsed with the rest. */
static void
command_first(int argc, char **argv, int position)
{
	char **before = mem_alloc(sizeof(char *) * argc);

	for (int i = 1; i < position; i++)
		before[i - 1] = argv[i];
	memmove(argv + 1, argv + position, sizeof(char *) * (argc - position));
	memcpy(argv + 1 + argc - position, before, sizeof(char *) * (position - 1));
	free(before);
}

/* No word about the database: the server that "baton up" runs here, if it does. */
static void
find_own_server(void)
{
	Cluster cluster;

	if (connection_string || connection_in_environment())
		return;
	cluster = cluster_at(NULL, NULL, 0);
	connection_string = cluster_announced(&cluster);
	if (connection_string)
		log_message(LOG_DEBUG, "own_server", "%s", connection_string);
}

static int
run_command(const Command *command, int argc, char **argv)
{
	Text error = {0};
	int count =
	    options_parse(argc, argv, command->options,
	                  command->connects ? connecting_options : common_options, &error);

	if (count < 0)
		usage_error(command, "%s", text_str(&error));
	if (!log_setup(want_verbose, want_quiet, want_log_format))
		usage_error(command, "--log-format is text or json, not \"%s\"", want_log_format);
	if (want_help)
	{
		help_command(command);
		return EXIT_OK;
	}
	if (count < command->least)
		usage_error(command, "something is missing: %s", command->arguments);
	if (command->most >= 0 && count > command->most)
		usage_error(command, "too many arguments: \"%s\"", argv[command->most]);
	if (command->connects)
		find_own_server();
	argv[count] = NULL;
	return command->run(count, argv);
}

/* No command: help or version was asked for, or the command line is wrong. */
static int
run_without_command(int argc, char **argv)
{
	Text error = {0};

	if (options_parse(argc - 1, argv + 1, NULL, connecting_options, &error) < 0)
		usage_error(NULL, "%s", text_str(&error));
	if (!want_version && !want_help)
		usage_error(NULL, "a command is missing");
	if (want_version)
		puts("baton " BATON_VERSION);
	else
		help_all();
	return EXIT_OK;
}

int
main(int argc, char **argv)
{
	int position = command_position(argc, argv);
	int words;
	const Command *command;

	/* A pipe that is closed is an error of a write, not our death. */
	signal(SIGPIPE, SIG_IGN);
	if (position == argc)
		return run_without_command(argc, argv);
	command = command_find(argc - position, argv + position, &words);
	if (command == NULL)
		usage_error(NULL, "there is no command \"%s\"", argv[position]);
	command_first(argc, argv, position);
	return run_command(command, argc - 1 - words, argv + 1 + words);
}
