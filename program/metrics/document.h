/*
 * metrics/document.h
 *	  The list of metrics as Markdown: docs/metrics.md.
 */
#ifndef METRICS_DOCUMENT_H
#define METRICS_DOCUMENT_H

/* Prints it to standard output. */
extern void metrics_document(void);

#endif
