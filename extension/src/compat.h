/*
 * compat.h
 *	  Differences between PostgreSQL 14 and 18, all of them.
 */
#ifndef BATON_COMPAT_H
#define BATON_COMPAT_H

#include "storage/proc.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM >= 150000
#include "common/pg_prng.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* Index of this backend's PGPROC: dense, reused at once after exit. */
#if PG_VERSION_NUM >= 170000
#define BatonMyProcNumber() ((uint32) MyProcNumber)
#else
#define BatonMyProcNumber() ((uint32) MyProc->pgprocno)
#endif

/* The same of another's. */
#if PG_VERSION_NUM >= 170000
#define BatonProcNumber(proc) ((uint32) GetNumberFromPGProc(proc))
#else
#define BatonProcNumber(proc) ((uint32) (proc)->pgprocno)
#endif

/* Wait events of extensions have names from 17 on. */
#if PG_VERSION_NUM >= 170000
#define BatonWaitEvent(name) WaitEventExtensionNew(name)
#else
#define BatonWaitEvent(name) PG_WAIT_EXTENSION
#endif

/* The postmaster's shmem_request_hook came with 15. */
#if PG_VERSION_NUM >= 150000
#define BATON_HAVE_SHMEM_REQUEST_HOOK 1
#endif

/* 14 warns of unknown settings with the prefix that there are already, but doesn't refuse new ones. */
#if PG_VERSION_NUM >= 150000
#define BatonReserveSettings(prefix) MarkGUCPrefixReserved(prefix)
#else
#define BatonReserveSettings(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* pg_attribute_noreturn() gave way to pg_noreturn in 18. */
#if PG_VERSION_NUM >= 180000
#define BATON_NORETURN pg_noreturn
#else
#define BATON_NORETURN pg_attribute_noreturn()
#endif

/* Not for secrets. */
#if PG_VERSION_NUM >= 150000
#define BatonRandom64() pg_prng_uint64(&pg_global_prng_state)
#else
#define BatonRandom64() (((uint64) random() << 42) ^ ((uint64) random() << 21) ^ random())
#endif

/* A closed client socket can be waited for from 15 on. */
#if PG_VERSION_NUM >= 150000
#define BATON_SOCKET_CLOSED (WaitEventSetCanReportClosed() ? WL_SOCKET_CLOSED : 0)
#else
#define BATON_SOCKET_CLOSED 0
#endif

/* Index scans are counted by their caller from 18 on. */
#if PG_VERSION_NUM >= 180000
#define BatonIndexBeginScan(table, index, snapshot, nkeys)                               \
	index_beginscan((table), (index), (snapshot), NULL, (nkeys), 0)
#else
#define BatonIndexBeginScan(table, index, snapshot, nkeys)                               \
	index_beginscan((table), (index), (snapshot), (nkeys), 0)
#endif

/* From 16 on it may be asked to leave out indexes; and what it returns is for deferred constraints only. */
#if PG_VERSION_NUM >= 160000
#define BatonExecInsertIndexTuples(result, slot, estate)                                 \
	((void) ExecInsertIndexTuples((result), (slot), (estate), false, false, NULL, NIL, false))
#else
#define BatonExecInsertIndexTuples(result, slot, estate)                                 \
	((void) ExecInsertIndexTuples((result), (slot), (estate), false, false, NULL, NIL))
#endif

/* Before 15 every custom scan was taken to be able to. */
#if PG_VERSION_NUM >= 150000
#define BATON_SUPPORT_PROJECTION CUSTOMPATH_SUPPORT_PROJECTION
#else
#define BATON_SUPPORT_PROJECTION 0
#endif

/* Whether the current user may call a function. */
#if PG_VERSION_NUM >= 160000
#define BatonMayExecute(function) object_aclcheck(ProcedureRelationId, (function), GetUserId(), ACL_EXECUTE)
#else
#define BatonMayExecute(function) pg_proc_aclcheck((function), GetUserId(), ACL_EXECUTE)
#endif

/* Makes what is done with a table count in its statistics. */
#if PG_VERSION_NUM >= 150000
#define BatonCountRelation(rel) pgstat_init_relation(rel)
#else
#define BatonCountRelation(rel) pgstat_initstats(rel)
#endif

/* Rows that the snapshot doesn't see can be kept from 15 on. */
#if PG_VERSION_NUM >= 150000
#define BatonHeapFetch(rel, snapshot, tuple, buffer) heap_fetch((rel), (snapshot), (tuple), (buffer), false)
#else
#define BatonHeapFetch(rel, snapshot, tuple, buffer) heap_fetch((rel), (snapshot), (tuple), (buffer))
#endif

/* New, empty files for a table or an index. */
#if PG_VERSION_NUM >= 160000
#define BatonSetNewStorage(rel) RelationSetNewRelfilenumber((rel), (rel)->rd_rel->relpersistence)
#else
#define BatonSetNewStorage(rel) RelationSetNewRelfilenode((rel), (rel)->rd_rel->relpersistence)
#endif

/* 14 has no function that opens the storage manager and returns it. */
#if PG_VERSION_NUM >= 150000
#define BatonSmgr(rel) RelationGetSmgr(rel)
#else
#define BatonSmgr(rel) smgropen((rel)->rd_node, (rel)->rd_backend)
#endif

#endif
