/*
 * base/file.c
 *	  Small files and directories.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"

static bool
read_from(const char *path, off_t back, size_t most, Text *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;

	if (fd < 0)
		return false;
	if (back > 0 && lseek(fd, -back, SEEK_END) < 0)
		(void) lseek(fd, 0, SEEK_SET);
	while (most > 0 && got > 0)
	{
		text_reserve(out, most < 4096 ? most : 4096);
		got = read(fd, out->data + out->length, most < 4096 ? most : 4096);
		if (got > 0)
		{
			out->length += got;
			out->data[out->length] = '\0';
			most -= got;
		}
	}
	close(fd);
	return got >= 0;
}

bool
file_read(const char *path, size_t most, Text *out)
{
	return read_from(path, 0, most, out);
}

bool
file_tail(const char *path, size_t most, Text *out)
{
	return read_from(path, (off_t) most, most, out);
}

static bool
write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0)
	{
		ssize_t written = write(fd, bytes, length);

		if (written < 0 && errno != EINTR)
			return false;
		if (written > 0)
		{
			bytes += written;
			length -= written;
		}
	}
	return true;
}

bool
file_write(const char *path, mode_t mode, const char *content)
{
	char *draft = mem_format("%s.new", path);
	int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	bool ok = fd >= 0;

	ok = ok && fchmod(fd, mode) == 0;
	ok = ok && write_all(fd, content, strlen(content));
	ok = ok && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	ok = ok && rename(draft, path) == 0;
	free(draft);
	return ok;
}

bool
directory_make(const char *path, mode_t mode)
{
	char *copy = mem_copy(path);
	struct stat status;
	int reason;

	for (char *p = copy + 1; *p; p++)
	{
		if (*p != '/')
			continue;
		*p = '\0';
		(void) mkdir(copy, mode); /* what is missing in the end is noticed below */
		*p = '/';
	}
	reason = mkdir(copy, mode) == 0 ? 0 : errno;
	free(copy);
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return true;
	errno = reason == EEXIST ? ENOTDIR : reason;
	return false;
}

bool
file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}
