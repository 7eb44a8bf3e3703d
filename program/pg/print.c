/*
 * pg/print.c
 *	  Results on standard output.
 */
#include "pg/print.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/text.h"

#define INT8_OID 20
#define INT2_OID 21
#define INT4_OID 23
#define FLOAT8_OID 701
#define NUMERIC_OID 1700
#define MAX_COLUMNS 64

bool
print_is_number(Oid type)
{
	return type == INT8_OID || type == INT2_OID || type == INT4_OID ||
	       type == FLOAT8_OID || type == NUMERIC_OID;
}

/* A value as a part of one line. */
static char *
cell_of(const PGresult *result, int row, int column)
{
	Text cell = {0};

	text_add_line(&cell,
	              row < 0 ? PQfname(result, column) : PQgetvalue(result, row, column), 0);
	return text_take(&cell);
}

/* Row -1 is the head. */
static size_t
column_width(const PGresult *result, int column)
{
	size_t width = 0;

	for (int row = -1; row < PQntuples(result); row++)
	{
		char *cell = cell_of(result, row, column);
		size_t w = text_width(cell);

		width = w > width ? w : width;
		free(cell);
	}
	return width;
}

static void
print_cell(const PGresult *result, int row, int column, size_t width, bool last)
{
	char *cell = cell_of(result, row, column);
	int padding = (int) (width - text_width(cell));

	if (print_is_number(PQftype(result, column)))
		printf("%*s%s", padding, "", cell);
	else
		printf("%s%*s", cell, last ? 0 : padding, "");
	fputs(last ? "\n" : "  ", stdout);
	free(cell);
}

void
print_table(const PGresult *result)
{
	size_t widths[MAX_COLUMNS];
	int columns = PQnfields(result) < MAX_COLUMNS ? PQnfields(result) : MAX_COLUMNS;

	for (int c = 0; c < columns; c++)
		widths[c] = column_width(result, c);
	for (int row = -1; row < PQntuples(result); row++)
		for (int c = 0; c < columns; c++)
			print_cell(result, row, c, widths[c], c == columns - 1);
}

void
print_lines(const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++)
		puts(PQgetvalue(result, row, 0));
}

void
print_flush(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		die(EXIT_ERROR, "could not write to standard output: %s", strerror(errno));
}
