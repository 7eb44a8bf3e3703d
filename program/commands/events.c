/*
 * commands/events.c
 *	  An event of the log as a line of text.
 */
#include "commands/events.h"

#include <stdio.h>
#include <string.h>

#include "base/terminal.h"
#include "base/text.h"
#include "pg/query.h"

#define DETAIL_MOST 200

static Colour
action_colour(const char *action)
{
	static const struct
	{
		const char *action;
		Colour colour;
	} colours[] = {{"completed", COLOUR_GREEN},
	               {"dead", COLOUR_RED},
	               {"failed", COLOUR_YELLOW},
	               {"vanished", COLOUR_YELLOW},
	               {"lease_expired", COLOUR_YELLOW}};

	for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
		if (strcmp(colours[i].action, action) == 0)
			return colours[i].colour;
	return COLOUR_DIM;
}

enum EventColumn
{
	EVENT_TIME = 1,
	EVENT_ACTION,
	EVENT_QUEUE,
	EVENT_MESSAGE,
	EVENT_ATTEMPT,
	EVENT_PROCESS,
	EVENT_ROLE,
	EVENT_DETAIL
};

static void
add_part(Text *line, const char *before, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	text_add(line, before);
	text_add_line(line, value, DETAIL_MOST);
}

void
event_show(const PGresult *result, int row)
{
	const char *action = PQgetvalue(result, row, EVENT_ACTION);
	const char *queue = query_value(result, row, EVENT_QUEUE);
	Text line = {0};

	text_addf(&line, "%s  %s%-13s%s  ", PQgetvalue(result, row, EVENT_TIME),
	          colour(action_colour(action)), action, colour(COLOUR_END));
	text_add_line(&line, queue ? queue : "(dropped)", 0);
	add_part(&line, " ", query_value(result, row, EVENT_MESSAGE));
	add_part(&line, "  attempt ", query_value(result, row, EVENT_ATTEMPT));
	add_part(&line, "  by ", query_value(result, row, EVENT_PROCESS));
	add_part(&line, " ", query_value(result, row, EVENT_ROLE));
	add_part(&line, "  ", query_value(result, row, EVENT_DETAIL));
	puts(text_str(&line));
	text_free(&line);
}
