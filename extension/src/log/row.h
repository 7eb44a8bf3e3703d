/*
 * log/row.h
 *	  The columns of message_log and event_log, by number.  For the files of log/ only.
 *
 * Children inherit the parents' columns, so the numbers hold for every segment.
 * Rule for upgrade scripts: columns are only ever added, at the end.  sql/10_tables.sql
 * has the same order.
 */
#ifndef BATON_LOG_ROW_H
#define BATON_LOG_ROW_H

#include "postgres.h"

#include "executor/tuptable.h"

#include "log/append.h"

enum MessageColumn
{
	MESSAGE_ID = 1,
	MESSAGE_QUEUE_ID,
	MESSAGE_SENT_AT,
	MESSAGE_DELIVER_AT,
	MESSAGE_EXPIRES_AT,
	MESSAGE_PRIORITY,
	MESSAGE_KEY,
	MESSAGE_UNIQUE_KEY,
	MESSAGE_ORIGIN,
	MESSAGE_HEADERS,
	MESSAGE_PAYLOAD,
	MESSAGE_COLUMNS = MESSAGE_PAYLOAD
};

enum EventColumn
{
	EVENT_ID = 1,
	EVENT_MESSAGE_ID,
	EVENT_QUEUE_ID,
	EVENT_AT,
	EVENT_ACTION,
	EVENT_ATTEMPT,
	EVENT_FAILURES,
	EVENT_CRASHES,
	EVENT_CLAIMED_AT,
	EVENT_PROCESS_ID,
	EVENT_ROLE,
	EVENT_DELIVER_AT,
	EVENT_DETAIL,
	EVENT_COLUMNS = EVENT_DETAIL	/* after it comes xid: of copies only, see census_copy() */
};

/* A row's columns, as a slot has them, or as heap_form_tuple() takes them. */
typedef struct Columns
{
	Datum	   *values;
	bool	   *isnull;
} Columns;

/* Those of a slot that are fetched. */
static inline Columns
slot_columns(TupleTableSlot *slot)
{
	return (Columns) {slot->tts_values, slot->tts_isnull};
}

/* The reverse of log_event_action_name(); EVENT_NONE for what it doesn't know. */
extern EventAction log_event_action_parse(const char *name, int length);

#endif
