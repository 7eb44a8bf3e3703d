/*
 * base/file.h
 *	  Small files and directories.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/text.h"

/* The file's first bytes, at most most; false with errno set. */
extern bool file_read(const char *path, size_t most, Text *out);

/* The file's last bytes, at most most; false with errno set. */
extern bool file_tail(const char *path, size_t most, Text *out);

/* Writes the whole file or leaves it as it was: a new one is renamed over it. */
extern bool file_write(const char *path, mode_t mode, const char *content);

/* The directory and those above it that are missing; true if it is there now. */
extern bool directory_make(const char *path, mode_t mode);

extern bool file_exists(const char *path);

#endif
