/*
 * testing.h
 *	  Test builds only: points where a test holds a session or makes it fail, a clock that tests
 *	  move, and a check of all invariants of shared memory.
 */
#ifndef BATON_TESTING_H
#define BATON_TESTING_H

#include "postgres.h"

#ifdef BATON_TEST
extern void testing_define(void);
#else
#define testing_define() ((void) 0)
#endif

#endif
