/*
 * log/truncate.h
 *	  Emptying and dropping the tables of a segment, in the caller's transaction.
 *
 * The caller holds AccessExclusiveLock on both tables, their indexes and their TOAST tables.
 */
#ifndef BATON_LOG_TRUNCATE_H
#define BATON_LOG_TRUNCATE_H

#include "postgres.h"

#include "log/segment.h"

extern void log_segment_truncate(const LogSegment *segment);

extern void log_segment_drop(const LogSegment *segment);

#endif
