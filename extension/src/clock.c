/*
 * clock.c
 *	  The one source of time in the extension.
 */
#include "postgres.h"

#include "baton.h"
#include "testing.h"

#ifndef BATON_TEST
TimestampTz
baton_now(void)
{
	return GetCurrentTimestamp();
}
#endif
