/*
 * base/screen.c
 *	  A full-screen view on the terminal, by ncurses.
 */
#include "base/screen.h"

#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "base/terminal.h"
#include "base/text.h"

static SCREEN *screen;

void
screen_end(void)
{
	if (screen)
		endwin();
	screen = NULL;
}

bool
screen_begin(void)
{
	/* What is shown is UTF-8, whatever the user's locale says. */
	(void) setlocale(LC_CTYPE, "");
	if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		(void) setlocale(LC_CTYPE, "C.UTF-8");
	screen = newterm(NULL, stdout, stdin);
	if (screen == NULL)
		return false;
	(void) atexit(screen_end);
	(void) noecho();
	(void) cbreak();
	(void) curs_set(0);
	(void) keypad(stdscr, true);
	return true;
}

int
screen_columns(void)
{
	return screen ? COLS : 0;
}

/* The next line of the frame, without what is not for terminals; *heading says what it is. */
static const char *
next_line(const char *frame, Text *line, bool *heading)
{
	size_t length = strcspn(frame, "\n");
	Text whole = {0};

	*heading = *frame == SCREEN_HEADING;
	text_add_bytes(&whole, frame + *heading, length - *heading);
	text_clear(line);
	text_add_line(line, text_str(&whole),
	              screen && text_width(text_str(&whole)) > (size_t) COLS ? COLS - 3 : 0);
	text_free(&whole);
	return frame[length] ? frame + length + 1 : frame + length;
}

void
screen_show(const char *frame)
{
	Text line = {0};
	bool heading;

	(void) erase();
	for (int row = 0; *frame && row < LINES; row++)
	{
		frame = next_line(frame, &line, &heading);
		(void) attrset(heading ? A_BOLD : A_NORMAL);
		(void) mvaddnstr(row, 0, text_str(&line), -1);
	}
	(void) refresh();
	text_free(&line);
}

int
screen_key(int64_t ms)
{
	int key;

	timeout((int) ms);
	key = getch();
	return key == ERR || key == KEY_RESIZE ? 0 : key;
}

void
screen_print(const char *frame)
{
	Text line = {0};
	bool heading;

	while (*frame)
	{
		frame = next_line(frame, &line, &heading);
		printf("%s%s%s\n", heading ? colour(COLOUR_BOLD) : "", text_str(&line),
		       heading ? colour(COLOUR_END) : "");
	}
	text_free(&line);
}
