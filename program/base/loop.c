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
static LoopTimer **heap; /* timers that are set */
static int timer_count;
static int heap_room;
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

/*
 * A binary heap: the next one due is heap[0], and each timer knows its place, so
 * that thousands can be set and stopped.
 */
static void
put_timer(int place, LoopTimer *timer)
{
	heap[place] = timer;
	timer->place = place;
}

static void
move_up(LoopTimer *timer)
{
	int place = timer->place;

	for (int above; place > 0 && heap[above = (place - 1) / 2]->due > timer->due;
	     place = above)
		put_timer(place, heap[above]);
	put_timer(place, timer);
}

static void
move_down(LoopTimer *timer)
{
	int place = timer->place;
	int below;

	while ((below = 2 * place + 1) < timer_count)
	{
		if (below + 1 < timer_count && heap[below + 1]->due < heap[below]->due)
			below++;
		if (heap[below]->due >= timer->due)
			break;
		put_timer(place, heap[below]);
		place = below;
	}
	put_timer(place, timer);
}

void
loop_timer(LoopTimer *timer, int64_t ms, LoopHandler handler, void *arg)
{
	timer->due = clock_ms() + ms;
	timer->handler = handler;
	timer->arg = arg;
	if (!timer->set)
	{
		if (timer_count == heap_room)
		{
			heap_room = heap_room ? 2 * heap_room : 16;
			heap = mem_resize(heap, sizeof(*heap) * heap_room);
		}
		timer->set = true;
		put_timer(timer_count++, timer);
	}
	move_up(timer);
	move_down(timer);
}

void
loop_timer_stop(LoopTimer *timer)
{
	LoopTimer *last;

	if (!timer->set)
		return;
	timer->set = false;
	last = heap[--timer_count];
	if (last == timer)
		return;
	put_timer(timer->place, last);
	move_up(last);
	move_down(last);
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

/* Milliseconds until the first timer is due. */
static int
timer_wait(void)
{
	int64_t left = timer_count > 0 ? heap[0]->due - clock_ms() : LONGEST_WAIT_MS;

	/* One more millisecond: a timer that is not quite due must not spin. */
	return left <= 0 ? 0 : left < LONGEST_WAIT_MS ? (int) left + 1 : LONGEST_WAIT_MS;
}

static void
run_timer(void)
{
	LoopTimer *timer = timer_count > 0 ? heap[0] : NULL;

	if (timer && timer->due <= clock_ms())
	{
		loop_timer_stop(timer);
		timer->handler(timer->arg);
	}
}

/* Waits for one event, or until the first timer is due, and calls the handlers: of one
 * event and of one timer, so that neither starves the other. */
static void
run_one(void)
{
	struct epoll_event event;
	int ready = epoll_wait(epoll_descriptor(), &event, 1, timer_wait());

	if (ready == 1)
	{
		LoopSource *source = event.data.ptr;

		source->handler(source->arg);
	}
	else if (ready < 0 && errno != EINTR)
		die(EXIT_ERROR, "epoll_wait: %s", strerror(errno));
	run_timer();
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
