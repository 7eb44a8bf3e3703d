/*
 * client.h
 *		What the clients of the benchmark share: a clock that all processes of a
 *		machine read alike, semaphores between parent and children, and libpq calls
 *		that end the program on any error.
 *
 * A benchmark has no use for half a result, so nothing here returns an error.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <libpq-fe.h>

#define NS_PER_MS INT64_C(1000000)

/* Prints the message to standard error and ends this process with status 1. */
extern void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* CLOCK_MONOTONIC in nanoseconds: the same for all processes of the machine. */
extern int64_t now_ns(void);
extern void pause_us(long microseconds);

/* A number from the command line, between the bounds; dies if it is not. */
extern long number_argument(const char *text, long least, long most);

/* Zeroed memory that children share; never freed. */
extern void *shared_memory(size_t size);
extern void semaphore_create(sem_t *semaphore);
extern void semaphore_post(sem_t *semaphore);

/* Waits at most so long; returns 1 if it was posted, 0 if the time is up. */
extern int semaphore_wait(sem_t *semaphore, int milliseconds);

/* Forks; the child dies with its parent, runs body(argument), and exits. */
extern pid_t child_start(void (*body)(void *), void *argument);
extern void child_end(pid_t pid, int signal_number);

/*
 * The result is the caller's, to PQclear.  Dies unless the statement succeeded.
 * client_run runs what was prepared under the name; client_query runs a text once.
 */
extern PGconn *client_connect(const char *conninfo);
extern void client_prepare(PGconn *conn, const char *name, const char *text);
extern PGresult *client_run(PGconn *conn, const char *name, int nparams,
                            const char *const *params);
extern PGresult *client_query(PGconn *conn, const char *text, int nparams,
                              const char *const *params);

/* The same for a statement whose rows nobody wants. */
extern void client_do(PGconn *conn, const char *name, int nparams,
                      const char *const *params);

#endif
