/*
 * api/receive.h
 *	  Deliveries as rows.
 */
#ifndef BATON_API_RECEIVE_H
#define BATON_API_RECEIVE_H

#include "api/args.h"
#include "queue/receive.h"

/* Arguments queue, max, lease, detached from number `first` on. */
extern char *receive_args(FunctionCallInfo fcinfo, int first, ReceiveOptions *options);

/* The columns of a delivery, as receive() and complete_and_receive() return it. */
#define DELIVERY_COLUMNS 8

/* One of them, counted from 1; a text in the current memory context. */
extern Datum delivery_column(const Delivery *delivery, int column, bool *isnull);

/*
 * What such a function does: its deliveries, *n of them, in the current memory context.  given, of as many as there
 * are arguments, has in it elements of which no array was made; its place in fcinfo isn't looked at.  NULL: all are there.
 */
typedef Delivery *(*Receiver) (FunctionCallInfo fcinfo, const Elements *given, int *n);
extern Delivery *receive_call(FunctionCallInfo fcinfo, const Elements *given, int *n);
extern Delivery *complete_and_receive_call(FunctionCallInfo fcinfo, const Elements *given, int *n);

extern PGDLLEXPORT Datum baton_receive(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum baton_complete_and_receive(PG_FUNCTION_ARGS);

/* What it is as a function of any caller: calls the receiver, and puts a row for each delivery. */
extern Datum deliveries_as_rows(FunctionCallInfo fcinfo, const char *name, Receiver receiver);

#endif
