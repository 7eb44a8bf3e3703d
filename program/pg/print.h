/*
 * pg/print.h
 *	  Results on standard output.
 */
#ifndef PG_PRINT_H
#define PG_PRINT_H

#include <stdbool.h>
#include <libpq-fe.h>

#define BOOL_OID 16

/* Whether a column of this type holds numbers. */
extern bool print_is_number(Oid type);

/* Aligned columns with a head line; numbers to the right. */
extern void print_table(const PGresult *result);

/* The first column of each row as a line, as queries that end in to_jsonb() give it. */
extern void print_lines(const PGresult *result);

/* Standard output could not be written (disk full, pipe closed): ends the program. */
extern void print_flush(void);

#endif
