/*
 * cluster/find.c
 *	  Which PostgreSQL of this machine runs the private cluster.
 *
 * An installation is asked by its own pg_config, so one that was moved or built
 * from source is as good as Debian's.
 */
#include "cluster/find.h"

#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/file.h"
#include "base/run.h"

#define DEBIAN_PATTERN "/usr/lib/postgresql/*/bin"

typedef struct Search
{
	int major;         /* wanted; 0: any */
	Installation best; /* bindir NULL: none yet */
	Text seen;         /* what was looked at and why it won't do */
} Search;

/* pg_config's answer to one question, without the line's end; NULL if it has none. */
static char *
ask(const char *pg_config, const char *question)
{
	const char *const argv[] = {pg_config, question, NULL};
	Text answer = {0};

	if (run_program(argv, &answer) != 0)
	{
		text_free(&answer);
		return NULL;
	}
	answer.data[strcspn(answer.data, "\n")] = '\0';
	return text_take(&answer);
}

static bool
has_file(const char *pg_config, const char *question, const char *file)
{
	char *directory = ask(pg_config, question);
	char *path = mem_format("%s/%s", directory ? directory : "", file);
	bool found = directory && file_exists(path);

	free(directory);
	free(path);
	return found;
}

static bool
has_extension(const char *pg_config)
{
	return has_file(pg_config, "--sharedir", "extension/baton.control") &&
	       has_file(pg_config, "--pkglibdir", "baton.so");
}

static int
major_of(const char *version)
{
	return (int) strtol(version, NULL, 10);
}

static void
consider(Search *search, const char *bindir)
{
	char *pg_config = mem_format("%s/pg_config", bindir);
	char *version = ask(pg_config, "--version");
	char number[32] = "";
	const char *trouble = NULL;

	if (version == NULL || sscanf(version, "PostgreSQL %31s", number) != 1)
		trouble = "no pg_config";
	else if (search->major && major_of(number) != search->major)
		trouble = "another version than the data";
	else if (!has_extension(pg_config))
		trouble = "the extension is not installed there";
	if (trouble)
		text_addf(&search->seen, "%s%s (%s)", search->seen.length ? ", " : "", bindir,
		          trouble);
	else if (search->best.bindir == NULL || major_of(number) > search->best.major)
		search->best =
		    (Installation){mem_copy(bindir), mem_copy(number), major_of(number)};
	free(version);
	free(pg_config);
}

static void
consider_pg_config(Search *search, const char *pg_config)
{
	char *bindir = ask(pg_config, "--bindir");

	if (bindir == NULL)
		die(EXIT_MISSING, "PG_CONFIG is \"%s\", which can't be run", pg_config);
	consider(search, bindir);
	free(bindir);
}

static void
consider_debian(Search *search)
{
	glob_t found;

	if (glob(DEBIAN_PATTERN, 0, NULL, &found) != 0)
	{
		text_add(&search->seen, DEBIAN_PATTERN " (nothing there)");
		return;
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
		consider(search, found.gl_pathv[i]);
	globfree(&found);
}

Installation
installation_find(const char *asked, int major)
{
	Search search = {.major = major};
	const char *pg_config = getenv("PG_CONFIG");

	if (asked)
		consider(&search, asked);
	else if (pg_config && *pg_config)
		consider_pg_config(&search, pg_config);
	else
		consider_debian(&search);
	if (search.best.bindir == NULL)
		die_hint(EXIT_MISSING,
		         "Install Debian's postgresql-15 and the extension (make install), or "
		         "say where "
		         "PostgreSQL is: --bindir DIR or PG_CONFIG.",
		         "no PostgreSQL%s with the extension baton; looked at: %s",
		         major ? " of the data's version" : "", text_str(&search.seen));
	text_free(&search.seen);
	return search.best;
}
