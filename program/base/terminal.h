/*
 * base/terminal.h
 *	  Colours, where a person looks at standard output.
 */
#ifndef BASE_TERMINAL_H
#define BASE_TERMINAL_H

typedef enum Colour
{
	COLOUR_END, /* back to normal */
	COLOUR_BOLD,
	COLOUR_DIM,
	COLOUR_GREEN,
	COLOUR_YELLOW,
	COLOUR_RED
} Colour;

/*
 * What turns the colour on; "" where standard output is not a terminal, or one without
 * colours, or where NO_COLOR is set (no-color.org).
 */
extern const char *colour(Colour colour);

#endif
