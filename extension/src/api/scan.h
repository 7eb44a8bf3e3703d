/*
 * api/scan.h
 *	  Receiving as a plan node of its own.
 */
#ifndef BATON_API_SCAN_H
#define BATON_API_SCAN_H

/* In _PG_init under preload: the planner's hook. */
extern void scan_define(void);

#endif
