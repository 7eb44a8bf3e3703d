/*
 * base/loop.c
 *	  The event loop, on epoll and signalfd.
 *
 * One event is fetched at a time: a handler may then free what other events
 * are about, and the kernel hands out ready descriptors in turn, so none starves.
 */
#include "base/loop.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"

#define LONGEST_WAIT_MS 3600000

typedef struct SignalTaker
{
	LoopHandler handler;
	void *arg;
} SignalTaker;

static int epoll_fd = -1;
static LoopTimer *timers; /* those set, in no order: there are few */
static LoopSource signal_source;
static sigset_t signal_mask; /* taken by the loop */
static SignalTaker takers[NSIG];
static bool stopping;

static int
epoll_descriptor(void)
{
	if (epoll_fd < 0)
	{
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if (epoll_fd < 0)
			die(EXIT_ERROR, "epoll_create1: %s", strerror(errno));
	}
	return epoll_fd;
}

/* ---- descriptors ---- */

void
loop_watch(LoopSource *source, int fd, uint32_t events, LoopHandler handler, void *arg)
{
	struct epoll_event event = {.events = events, .data.ptr = source};
	int operation = EPOLL_CTL_ADD;

	source->handler = handler;
	source->arg = arg;
	if (source->events != 0)
	{
		if (source->events == events && source->fd == fd)
			return;
		if (source->fd == fd)
			operation = EPOLL_CTL_MOD;
		else
			loop_unwatch(source);
	}
	if (epoll_ctl(epoll_descriptor(), operation, fd, &event) != 0)
		die(EXIT_ERROR, "could not watch descriptor %d: %s", fd, strerror(errno));
	source->fd = fd;
	source->events = events;
}

void
loop_unwatch(LoopSource *source)
{
	if (source->events == 0)
		return;
	/* Fails where libpq has closed the descriptor already: then it is off anyway. */
	(void) epoll_ctl(epoll_descriptor(), EPOLL_CTL_DEL, source->fd, NULL);
	source->events = 0;
}

/* ---- timers ---- */

void
loop_timer(LoopTimer *timer, int64_t ms, LoopHandler handler, void *arg)
{
	timer->due = clock_ms() + ms;
	timer->handler = handler;
	timer->arg = arg;
	if (timer->set)
		return;
	timer->set = true;
	timer->next = timers;
	timers = timer;
}

void
loop_timer_stop(LoopTimer *timer)
{
	if (!timer->set)
		return;
	for (LoopTimer **p = &timers; *p; p = &(*p)->next)
		if (*p == timer)
		{
			*p = timer->next;
			break;
		}
	timer->set = false;
}

static LoopTimer *
next_timer(void)
{
	LoopTimer *first = timers;

	for (LoopTimer *t = timers; t; t = t->next)
		if (t->due < first->due)
			first = t;
	return first;
}

/* ---- signals ---- */

static void
take_signals(void *arg)
{
	struct signalfd_siginfo info;

	(void) arg;
	while (read(signal_source.fd, &info, sizeof(info)) == sizeof(info))
	{
		SignalTaker *taker = &takers[info.ssi_signo];

		if (taker->handler)
			taker->handler(taker->arg);
	}
}

void
loop_signal(int signo, LoopHandler handler, void *arg)
{
	int fd = signal_source.events ? signal_source.fd : -1;

	if (fd < 0)
		sigemptyset(&signal_mask);
	sigaddset(&signal_mask, signo);
	takers[signo] = (SignalTaker){handler, arg};
	sigprocmask(SIG_BLOCK, &signal_mask, NULL);
	fd = signalfd(fd, &signal_mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		die(EXIT_ERROR, "signalfd: %s", strerror(errno));
	loop_watch(&signal_source, fd, EPOLLIN, take_signals, NULL);
}

void
loop_signals_restore(void)
{
	if (signal_source.events)
		sigprocmask(SIG_UNBLOCK, &signal_mask, NULL);
}

/* ---- running ---- */

/* Waits for one event, or until the first timer is due; calls its handler. */
static void
run_one(void)
{
	LoopTimer *timer = next_timer();
	int64_t left = timer ? timer->due - clock_ms() : LONGEST_WAIT_MS;
	struct epoll_event event;
	int ready;

	if (timer && left <= 0)
	{
		loop_timer_stop(timer);
		timer->handler(timer->arg);
		return;
	}
	/* One more millisecond: a timer that is not quite due must not spin. */
	ready = epoll_wait(epoll_descriptor(), &event, 1,
	                   left < LONGEST_WAIT_MS ? (int) left + 1 : LONGEST_WAIT_MS);
	if (ready == 1)
	{
		LoopSource *source = event.data.ptr;

		source->handler(source->arg);
	}
	else if (ready < 0 && errno != EINTR)
		die(EXIT_ERROR, "epoll_wait: %s", strerror(errno));
}

void
loop_run(LoopHandler after_each, void *arg)
{
	stopping = false;
	after_each(arg);
	while (!stopping)
	{
		run_one();
		after_each(arg);
	}
}

void
loop_stop(void)
{
	stopping = true;
}
