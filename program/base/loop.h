/*
 * base/loop.h
 *	  The event loop: descriptors, timers and signals, each with a function that
 *	  is called when something happened.  One loop a process, one thread.
 *
 * The structs belong to the caller, usually as members of what they are about,
 * and must stay where they are while they are watched or set.  A handler may
 * start and stop any of them, its own included.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

typedef void (*LoopHandler)(void *arg);

/* Zeroed: not watched. */
typedef struct LoopSource
{
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT, EPOLLRDHUP; 0 when not watched */
	LoopHandler handler;
	void *arg;
} LoopSource;

/* Zeroed: not set. */
typedef struct LoopTimer
{
	int64_t due; /* clock_ms() */
	bool set;
	LoopHandler handler;
	void *arg;
	int place; /* in the heap of set timers */
} LoopTimer;

/* Watches fd for events (EPOLLIN, EPOLLOUT, EPOLLRDHUP); again with others: changes them. */
extern void loop_watch(LoopSource *source, int fd, uint32_t events, LoopHandler handler,
                       void *arg);

/* No-op if not watched.  Before fd is closed. */
extern void loop_unwatch(LoopSource *source);

/* One call of handler after ms milliseconds; set again: moved. */
extern void loop_timer(LoopTimer *timer, int64_t ms, LoopHandler handler, void *arg);
extern void loop_timer_stop(LoopTimer *timer);

/*
 * From now on the signal is taken by the loop, not by a handler.  The process's
 * children must call loop_signals_restore() before exec.
 */
extern void loop_signal(int signo, LoopHandler handler, void *arg);
extern void loop_signals_restore(void);

/* Runs until loop_stop(); calls after_each after every handler and once at the start. */
extern void loop_run(LoopHandler after_each, void *arg);
extern void loop_stop(void);

#endif
