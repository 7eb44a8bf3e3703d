/*
 * commands/down.c
 *	  baton down: stops the server that "baton up" runs.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/die.h"
#include "cluster/cluster.h"
#include "commands/command.h"

#define LOOK_MS 20

static struct
{
	const char *directory;
	double patience;
} asked = {.patience = 90};

static int
run_down(int argc, char **argv)
{
	Cluster cluster = cluster_at(asked.directory, NULL, 0);
	pid_t holder = cluster_holder(&cluster);
	int64_t end = clock_ms() + (int64_t) (asked.patience * 1000);

	(void) argc, (void) argv;
	if (holder == 0)
	{
		say("baton: no server runs in %s", cluster.directory);
		return EXIT_NOTHING;
	}
	if (kill(holder, SIGTERM) != 0)
		die(EXIT_ERROR, "could not stop process %d: %s", (int) holder, strerror(errno));
	while (cluster_holder(&cluster) == holder)
	{
		if (clock_ms() > end)
			die(EXIT_ERROR, "process %d has not stopped yet", (int) holder);
		clock_pause_ms(LOOK_MS);
	}
	return EXIT_OK;
}

static const Option options[] = {
    {"directory", 'D', OPTION_STRING, "DIR", &asked.directory, 0, 0,
     "where the cluster is (~/.local/share/baton)"},
    {"timeout", 't', OPTION_SECONDS, "SECONDS", &asked.patience, 0, 0,
     "how long to wait for its end (90)"},
    {0},
};

static const char *const examples[] = {"baton down", "baton down -D /srv/baton", NULL};

const Command command_down = {
    .name = "down",
    .arguments = "",
    .summary = "stop the server that \"baton up\" runs",
    .options = options,
    .examples = examples,
    .run = run_down,
};
