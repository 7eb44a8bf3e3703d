/*
 * queue/send.h
 *	  Appending messages, and publishing them when their transaction has committed.
 */
#ifndef BATON_QUEUE_SEND_H
#define BATON_QUEUE_SEND_H

#include "postgres.h"

#include "log/append.h"
#include "queue/resolve.h"
#include "queue/xact.h"

/*
 * Appends n messages to a queue in the caller's transaction.  Each row has its options,
 * payload and sent_at set; id and queue_id are filled in here.  Checks: read-only transaction 25006, payload over
 * baton.max_message_size 54000.
 */
extern void queue_send(const char *name, MessageRow *rows, int n);

/* PRE_COMMIT: each queue is still the one that was sent to, else 42704. */
extern void sends_check(const PendingSend *sends, uint32 n);

/* Commit callback: makes them available. */
extern void sends_publish(const PendingSend *sends, uint32 n);

#endif
