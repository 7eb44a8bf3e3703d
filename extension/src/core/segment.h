/*
 * core/segment.h
 *	  The life of a segment, a pair of tables of the log: free, open, sealed, closed, free again.
 */
#ifndef BATON_CORE_SEGMENT_H
#define BATON_CORE_SEGMENT_H

typedef enum SegmentState
{
	SEGMENT_FREE,				/* empty, waiting to be used */
	SEGMENT_OPEN,				/* messages are written to it */
	SEGMENT_SEALED,				/* another one is open; a transaction may still be writing to it */
	SEGMENT_CLOSED				/* nobody writes messages to it any more */
} SegmentState;

#endif
