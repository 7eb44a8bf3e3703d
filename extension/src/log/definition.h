/*
 * log/definition.h
 *	  Queues as the database knows them: table queue_definition, one row a queue.
 *
 * All of it goes through SPI as the extension's owner, in the caller's
 * transaction.  This is not the hot path.
 */
#ifndef BATON_LOG_DEFINITION_H
#define BATON_LOG_DEFINITION_H

#include "postgres.h"

#include "baton.h"
#include "core/policy.h"
#include "utils/timestamp.h"

typedef struct QueueDefinition
{
	int32		id;				/* assigned by the table's identity column */
	char		name[BATON_QUEUE_NAME_MAX + 1];
	QueuePolicy policy;
} QueueDefinition;

/* Inserts; definition->id is set.  False: the name exists; waits for a transaction that is making it. */
extern bool log_definition_insert(QueueDefinition *definition);

/* By name, with a new snapshot; for_update locks the row to the end of the transaction.
 * False: there is none. */
extern bool log_definition_get(const char *name, bool for_update, QueueDefinition *out);

/* All of them, ascending by id, palloc'd array of *count, with a new snapshot. */
extern QueueDefinition *log_definition_list(int *count);

/* Writes the policy of definition->id. */
extern void log_definition_update(const QueueDefinition *definition);
extern void log_definition_delete(int32 id);

/*
 * Gets a block of ids nobody else will ever get, in this or any later life of the
 * server: the first of *count consecutive ids; the sequence's WAL is flushed up to the
 * block before this returns (by the LSN of the sequence's page).
 */
extern int64 log_id_block(int64 *count);

#endif
