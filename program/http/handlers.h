/*
 * http/handlers.h
 *	  The handlers of the table of routes.
 */
#ifndef HTTP_HANDLERS_H
#define HTTP_HANDLERS_H

#include "http/request.h"

/* service.c */
extern void handle_alive(Request *r);
extern void handle_ready(Request *r);
extern void handle_stats(Request *r);

/* metrics.c */
extern void handle_metrics(Request *r);

/* queues.c */
extern void handle_queue_list(Request *r);
extern void handle_queue_create(Request *r);
extern void handle_queue_get(Request *r);
extern void handle_queue_alter(Request *r);
extern void handle_queue_drop(Request *r);
extern void handle_queue_pause(Request *r);
extern void handle_queue_resume(Request *r);
extern void handle_queue_purge(Request *r);

/* messages.c */
extern void handle_send(Request *r);
extern void handle_message(Request *r);

/* polls.c */
extern void handle_receive(Request *r);

/* claims.c */
extern void handle_complete(Request *r);
extern void handle_fail(Request *r);
extern void handle_release(Request *r);
extern void handle_extend(Request *r);

#endif
