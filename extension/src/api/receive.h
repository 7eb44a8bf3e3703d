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

/* One row for each delivery, in the columns of receive(). */
extern void put_deliveries(Rows *rows, const Delivery *deliveries, int n);

#endif
