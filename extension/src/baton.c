/*
 * baton.c
 *	  Settings, and what is set up when the library is loaded.
 *
 * Under shared_preload_libraries all of it; otherwise only the settings, so that views and
 * SHOW work, and every verb says which setting to add.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "api/scan.h"
#include "baton.h"
#include "memory/memory.h"
#include "queue/xact.h"
#include "testing.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

int			baton_window_size = 262144;
int			baton_max_queues = 1024;
int			baton_max_message_size = 1024;
int			baton_segment_age = 86400;
int			baton_segment_size = 131072;

void		_PG_init(void);

static void
define_settings(void)
{
	DefineCustomIntVariable("baton.window_size",
							"Sets how many messages of all queues are in shared memory at most.",
							"What doesn't fit waits in the log and is read when there is room. "
							"Each takes some 200 bytes.",
							&baton_window_size, 262144, 1024, 16777216, PGC_POSTMASTER, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable("baton.max_queues",
							"Sets how many queues there can be in all databases of the server.",
							NULL, &baton_max_queues, 1024, 1, 100000, PGC_POSTMASTER, 0, NULL,
							NULL, NULL);
	DefineCustomIntVariable("baton.max_message_size",
							"Sets the largest size of a message's payload and headers together.",
							NULL, &baton_max_message_size, 1024, 1, 1024 * 256, PGC_SUSET,
							GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("baton.segment_age",
							"Sets how long messages are written to the same segment of the log at most.",
							"A segment is emptied as a whole, when nothing in it is needed any more. "
							"Zero: however old it is.",
							&baton_segment_age, 86400, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S, NULL,
							NULL, NULL);
	DefineCustomIntVariable("baton.segment_size",
							"Sets how large a segment of the log gets, with its indexes, before "
							"messages are written to another one.",
							"Where the log has more than 64 segments of this size, they get larger.",
							&baton_segment_size, 131072, 64, 1024 * 1024 * 64, PGC_SIGHUP,
							GUC_UNIT_KB, NULL, NULL, NULL);
	BatonReserveSettings("baton");
}

void
_PG_init(void)
{
	/* Too late for settings of the postmaster: an error that would end the session. */
	if (!process_shared_preload_libraries_in_progress)
		return;
	define_settings();
	testing_define();
	memory_define();
	xact_define();
	scan_define();
	utility_define();
	workers_define();
}
