/*
 * work/child.c
 *	  A command at work on a message.
 */
#define _GNU_SOURCE 1 /* pipe2, memfd_create, execvpe */

#include "work/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/die.h"
#include "work/guard.h"

/* ---- starting ---- */

/*
 * The payload as an anonymous file: nothing to feed while the command runs, and
 * a command that doesn't read it holds nobody up.
 */
static int
make_input(const Text *input)
{
	int fd = memfd_create("payload", MFD_CLOEXEC);
	size_t done = 0;

	while (fd >= 0 && done < input->length)
	{
		ssize_t written = write(fd, input->data + done, input->length - done);

		if (written < 0 && errno != EINTR)
		{
			close(fd);
			return -1;
		}
		done += written > 0 ? (size_t) written : 0;
	}
	if (fd >= 0)
		(void) lseek(fd, 0, SEEK_SET);
	return fd;
}

/* In the new process. */
static void
become(const char *const *argv, char *const *environment, const int fds[3], pid_t worker)
{
	(void) setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != worker)
		_exit(1);
	guard_enter(getpid());
	loop_signals_restore();
	signal(SIGPIPE, SIG_DFL);
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			_exit(126);
	execvpe(argv[0], (char *const *) argv, environment);
	(void) dprintf(STDERR_FILENO, "could not run \"%s\": %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* ---- reading ---- */

/*
 * Reads what is there, more than a pipe holds but not for ever; true: the other end
 * is closed, or nothing more can be read.
 */
static bool
drain(int fd, Capture *capture)
{
	char bytes[16384];
	ssize_t got = 0;

	for (int i = 0; i < 8 && (got = read(fd, bytes, sizeof(bytes))) > 0; i++)
		capture_add(capture, bytes, got);
	if (got > 0)
		return false;
	return got == 0 || (errno != EAGAIN && errno != EINTR);
}

static void
pipe_close(LoopSource *io)
{
	if (io->events == 0)
		return;
	loop_unwatch(io);
	close(io->fd);
}

static void
out_readable(void *arg)
{
	Child *child = arg;

	if (drain(child->out_io.fd, &child->out))
		pipe_close(&child->out_io);
}

static void
err_readable(void *arg)
{
	Child *child = arg;

	if (drain(child->err_io.fd, &child->err))
		pipe_close(&child->err_io);
}

static void
watch(LoopSource *io, int fd, LoopHandler handler, Child *child)
{
	(void) fcntl(fd, F_SETFL, O_NONBLOCK);
	loop_watch(io, fd, EPOLLIN, handler, child);
}

/* ---- what others call ---- */

static void
close_all(const int *fds, int count)
{
	for (int i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

bool
child_start(Child *child, const char *const *argv, char *const *environment,
            const Text *input, size_t most_output)
{
	int fds[5] = {-1, -1, -1, -1, -1}; /* its 0, 1, 2; our ends of 1 and 2 */
	int out[2];
	int err[2];
	pid_t worker = getpid();

	*child =
	    (Child){.out.most = most_output, .err.most = CHILD_ERROR_BYTES, .err.last = true};
	fds[0] = make_input(input);
	if (fds[0] >= 0 && pipe2(out, O_CLOEXEC) == 0)
	{
		fds[1] = out[1], fds[3] = out[0];
		if (pipe2(err, O_CLOEXEC) == 0)
		{
			fds[2] = err[1], fds[4] = err[0];
			child->pid = fork();
			if (child->pid == 0)
				become(argv, environment, fds, worker);
		}
	}
	if (fds[4] < 0 || child->pid < 0)
	{
		int reason = errno;

		close_all(fds, 5);
		child->pid = 0;
		errno = reason;
		return false;
	}
	close_all(fds, 3);
	(void) setpgid(child->pid, child->pid); /* here too: it may be signalled at once */
	watch(&child->out_io, fds[3], out_readable, child);
	watch(&child->err_io, fds[4], err_readable, child);
	return true;
}

void
child_signal(const Child *child, int signo)
{
	if (child->pid > 0)
		(void) kill(-child->pid, signo);
}

pid_t
child_ended(int *status)
{
	siginfo_t info = {0};

	/* Not reaped yet: until the group is killed its number must not be another's. */
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
		return 0;
	(void) kill(-info.si_pid, SIGKILL);
	guard_leave(info.si_pid);
	(void) waitpid(info.si_pid, status, 0);
	return info.si_pid;
}

void
child_close(Child *child)
{
	if (child->out_io.events)
		(void) drain(child->out_io.fd, &child->out);
	if (child->err_io.events)
		(void) drain(child->err_io.fd, &child->err);
	pipe_close(&child->out_io);
	pipe_close(&child->err_io);
	child->pid = 0;
}

void
child_free(Child *child)
{
	child_close(child);
	capture_free(&child->out);
	capture_free(&child->err);
}
