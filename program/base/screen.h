/*
 * base/screen.h
 *	  A full-screen view on the terminal, by ncurses.
 */
#ifndef BASE_SCREEN_H
#define BASE_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

/* A line of a frame that begins with it is a heading. */
#define SCREEN_HEADING '\001'

/*
 * Takes the terminal over until screen_end(), or the program's end.  False: this terminal
 * can't be used that way.
 */
extern bool screen_begin(void);
extern void screen_end(void);

/* Its width in characters; 0: it isn't taken over. */
extern int screen_columns(void);

/* Shows a frame, lines of UTF-8; what is too long or too wide for the screen is left out. */
extern void screen_show(const char *frame);

/* The next key, waiting for it up to ms milliseconds; 0: none came, or the size has changed. */
extern int screen_key(int64_t ms);

/* Prints the same frame where there is no screen: headings are bold on a terminal. */
extern void screen_print(const char *frame);

#endif
