/*
 * pg/print.c
 *	  Results on standard output.
 */
#include "pg/print.h"

#include <errno.h>
#include <stdio.h>
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

static size_t
column_width(const PGresult *result, int column)
{
	size_t width = text_width(PQfname(result, column));

	for (int row = 0; row < PQntuples(result); row++)
	{
		size_t w = text_width(PQgetvalue(result, row, column));

		if (w > width)
			width = w;
	}
	return width;
}

static void
print_cell(const char *value, size_t width, bool right, bool last)
{
	int padding = (int) (width - text_width(value));

	if (right)
		printf("%*s%s", padding, "", value);
	else
		printf("%s%*s", value, last ? 0 : padding, "");
	fputs(last ? "\n" : "  ", stdout);
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
			print_cell(row < 0 ? PQfname(result, c) : PQgetvalue(result, row, c),
			           widths[c], print_is_number(PQftype(result, c)), c == columns - 1);
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
