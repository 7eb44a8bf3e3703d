/*
 * commands/events.h
 *	  An event of the log as a line of text, for "baton log" and "baton message".
 */
#ifndef COMMANDS_EVENTS_H
#define COMMANDS_EVENTS_H

#include <libpq-fe.h>

/* What to select from baton.queue_log under the alias l; column 0 is the event's id. */
#define EVENT_COLUMNS(l)                                                                 \
	l ".id, to_char(" l ".\"timestamp\", 'YYYY-MM-DD HH24:MI:SS.MS'), " l ".action, " l  \
	  ".queue, " l ".message_id, " l ".attempt, " l ".process_id, " l ".role, "          \
	  "case when " l ".action = 'completed' then " l ".detail::text "                    \
	  "else concat_ws(' ', " l ".detail ->> 'error', '(' || (" l                         \
	  ".detail ->> 'sqlstate') || ')') end "

/* Prints a row of them. */
extern void event_show(const PGresult *result, int row);

#endif
