/*
 * client.c
 *		See client.h.
 */
#define _GNU_SOURCE

#include "client.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
}

void
pause_us(long microseconds)
{
	struct timespec rest = {microseconds / 1000000, microseconds % 1000000 * 1000};

	while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
		;
}

long
number_argument(const char *text, long least, long most)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text || value < least || value > most)
		die("\"%s\" is not a number from %ld to %ld", text, least, most);
	return value;
}

void *
shared_memory(size_t size)
{
	void *memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("could not share memory: %s", strerror(errno));
	return memory;
}

void
semaphore_create(sem_t *semaphore)
{
	if (sem_init(semaphore, 1, 0) != 0)
		die("could not make a semaphore: %s", strerror(errno));
}

void
semaphore_post(sem_t *semaphore)
{
	if (sem_post(semaphore) != 0)
		die("could not post a semaphore: %s", strerror(errno));
}

int
semaphore_wait(sem_t *semaphore, int milliseconds)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += milliseconds / 1000;
	until.tv_nsec += milliseconds % 1000 * NS_PER_MS;
	if (until.tv_nsec >= 1000 * NS_PER_MS)
	{
		until.tv_sec++;
		until.tv_nsec -= 1000 * NS_PER_MS;
	}
	while (sem_timedwait(semaphore, &until) != 0)
	{
		if (errno == ETIMEDOUT)
			return 0;
		if (errno != EINTR)
			die("could not wait for a semaphore: %s", strerror(errno));
	}
	return 1;
}

pid_t
child_start(void (*body)(void *), void *argument)
{
	pid_t parent = getpid();
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("could not fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	body(argument);
	_exit(0);
}

void
child_end(pid_t pid, int signal_number)
{
	kill(pid, signal_number);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

PGconn *
client_connect(const char *conninfo)
{
	PGconn *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		die("%s", PQerrorMessage(conn));
	return conn;
}

static PGresult *
check(PGconn *conn, PGresult *result, const char *what)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die("%s: %s", what, PQerrorMessage(conn));
	return result;
}

void
client_prepare(PGconn *conn, const char *name, const char *text)
{
	PQclear(check(conn, PQprepare(conn, name, text, 0, NULL), text));
}

PGresult *
client_run(PGconn *conn, const char *name, int nparams, const char *const *params)
{
	return check(conn, PQexecPrepared(conn, name, nparams, params, NULL, NULL, 0), name);
}

PGresult *
client_query(PGconn *conn, const char *text, int nparams, const char *const *params)
{
	return check(conn, PQexecParams(conn, text, nparams, NULL, params, NULL, NULL, 0),
	             text);
}

void
client_do(PGconn *conn, const char *name, int nparams, const char *const *params)
{
	PQclear(client_run(conn, name, nparams, params));
}
