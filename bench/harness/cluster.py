"""A private cluster for one run: its own directory, its own socket, thrown away at the end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from . import cpu
from .load import PAYLOAD
from .tools import Tools

PORT = 52431  # only part of the socket's name: nothing listens on TCP
MARK = "--baton-bench-mark--"
GIB = 1 << 30
WAL_FILES = 64
CRASH_SIGNS = ("PANIC:", "was terminated by signal", "TRAP:")


class SqlError(Exception):
    """psql said no; the text is its standard error."""


def memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def settings(scratch: Path) -> dict[str, str]:
    """One set of settings for all systems. Checkpoints happen only where the driver asks for
    one, and old WAL files are kept for reuse, so neither lands in somebody's slice."""
    buffers = max(128 << 20, min(2 * GIB, memory_bytes() // 4))
    wal = max(2 * GIB, min(16 * GIB, shutil.disk_usage(scratch).free // 4))
    return {
        "listen_addresses": "''",
        "port": str(PORT),
        "unix_socket_directories": f"'{scratch / 'socket'}'",
        "shared_preload_libraries": "'baton'",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "shared_buffers": f"{buffers >> 20}MB",
        "max_wal_size": f"{wal >> 20}MB",
        "min_wal_size": f"{wal >> 21}MB",
        "checkpoint_timeout": "1d",
        "max_connections": "100",
        "autovacuum": "on",
        "autovacuum_naptime": "1s",
        "autovacuum_vacuum_cost_delay": "0",
        "log_min_messages": "warning",
        "log_line_prefix": "'%m [%p] %b %a '",
        "log_autovacuum_min_duration": "-1",
        "log_checkpoints": "off",
        "lc_messages": "'C'",
        "timezone": "'UTC'",
    }


def hand_over(scratch: Path, tools: Tools) -> None:
    """Makes an empty directory one in which the server's account can work."""
    scratch.chmod(0o755)
    (scratch / "socket").mkdir()
    if tools.account is not None:
        shutil.chown(scratch, tools.account)
        shutil.chown(scratch / "socket", tools.account)


class Session:
    """One open psql: for a transaction that must stay open while others run."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process = process

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def run(self, sql: str) -> list[str]:
        """Sends sql and returns the lines it printed."""
        stdin, stdout = self._pipe(self.process.stdin), self._pipe(self.process.stdout)
        stdin.write(f"{sql}\n\\echo {MARK}\n")
        stdin.flush()
        lines: list[str] = []
        for line in stdout:
            if line.rstrip("\n") == MARK:
                return lines
            lines.append(line.rstrip("\n"))
        raise SqlError("\n".join(lines) or "psql ended")

    def close(self) -> None:
        self._pipe(self.process.stdin).close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Cluster:
    def __init__(self, tools: Tools, scratch: Path):
        self.tools = tools
        self.scratch = scratch
        self.data = scratch / "data"
        self.socket = scratch / "socket"
        self.log = scratch / "server.log"
        self.running = False
        self.more: Mapping[str, str] = {}  # settings beside the usual ones

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("PG", "LC_", "LANG"))}
        return kept | {"LC_ALL": "C", "PGHOST": str(self.socket), "PGPORT": str(PORT),
                       "PGUSER": "postgres", "HOME": str(self.scratch)}

    def popen(self, command: list[object], **more: object) -> subprocess.Popen[str]:
        """Starts a program as the ordinary user, in the scratch directory."""
        return subprocess.Popen([str(word) for word in command], cwd=self.scratch, text=True,
                                env=self.environment(),
                                **(self.tools.owner() | more))  # type: ignore[arg-type]

    def call(self, command: list[object], timeout: float = 300,
             text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end, or kills it when the time is up."""
        process = self.popen(command, stdin=subprocess.PIPE if text else subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(text, timeout=timeout)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def create(self, more: Mapping[str, str]) -> None:
        self.more = more
        made = self.call([self.tools.bindir / "initdb", "-D", self.data, "-U", "postgres",
                          "-A", "trust", "-E", "UTF8", "--locale=C", "--no-instructions"])
        if made.returncode != 0:
            raise SqlError(f"initdb: {made.stderr}")
        lines = [f"{name} = {value}"
                 for name, value in (settings(self.scratch) | more).items()]
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write("\n".join(lines) + "\n")

    def start(self, extra: Mapping[str, str] | None = None) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in (extra or {}).items())
        # The server keeps pg_ctl's standard output open, so that must not be a pipe.
        process = self.popen([self.tools.bindir / "pg_ctl", "start", "-D", self.data, "-w",
                              "-t", "120", "-l", self.log, "-o", options],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if process.wait(timeout=150) != 0:
            raise SqlError(f"the server didn't start:\n{self.log_tail()}")
        self.running = True

    def warm_wal(self) -> None:
        """Leaves WAL files for reuse, so that no slice pays for making them."""
        step = "select pg_current_xact_id(); select pg_switch_wal();\n"
        self.sql(step * WAL_FILES + "checkpoint;")

    def stop(self, mode: str = "fast") -> None:
        if not self.running:
            return
        ended = self.call([self.tools.bindir / "pg_ctl", "stop", "-D", self.data, "-w",
                           "-t", "60", "-m", mode])
        if ended.returncode != 0 and mode != "immediate":
            self.stop("immediate")
        self.running = False

    def restart(self, extra: Mapping[str, str] | None = None) -> None:
        self.stop()
        self.start(extra)

    def crash(self, seconds: float = 60) -> None:
        """SIGKILL of the postmaster; returns when its last process is gone."""
        postmaster = self.postmaster()
        family = [postmaster, *cpu.children(postmaster)]
        os.kill(postmaster, signal.SIGKILL)
        self.running = False
        deadline = time.monotonic() + seconds
        while any(cpu.is_alive(pid) for pid in family):
            if time.monotonic() > deadline:
                raise SqlError("processes of the killed server are still there")
            time.sleep(0.01)
        # Where nobody reaps it, as in some containers, the next postmaster would take it for alive.
        for stale in (self.data / "postmaster.pid", *self.socket.glob(".s.PGSQL.*")):
            stale.unlink()

    @contextmanager
    def altered(self, changes: Mapping[str, str]) -> Iterator[None]:
        """Other settings for a while, of those that a reload changes."""
        self.sql("".join(f"alter system set {name} = '{value}';\n"
                         for name, value in changes.items()) + "select pg_reload_conf();")
        try:
            yield
        finally:
            if self.running:
                self.sql("alter system reset all; select pg_reload_conf();")

    def log_tail(self, lines: int = 20) -> str:
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def crashes(self) -> list[str]:
        """Lines of the log that no server should ever write."""
        if not self.log.exists():
            return []
        return [line for line in self.log.read_text(errors="replace").splitlines()
                if any(sign in line for sign in CRASH_SIGNS)]

    def wait_up(self, seconds: float = 60) -> bool:
        """Until the server answers again, as after a crash restart."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.sql("select 1")
                return True
            except SqlError:
                time.sleep(0.2)
        return False

    def postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def _psql(self, database: str) -> list[object]:
        return [self.tools.bindir / "psql", "-XAqt", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                "-v", f"payload={PAYLOAD}", "-d", database]

    def sql(self, text: str, database: str = "postgres", timeout: float = 600) -> list[list[str]]:
        """Runs a script in a session of its own; returns the rows it printed."""
        done = self.call([*self._psql(database), "-f", "-"], timeout, text)
        if done.returncode != 0:
            raise SqlError(done.stderr.strip() or f"psql ended with {done.returncode}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def sql_at_once(self, texts: Sequence[str], database: str, timeout: float = 7200) -> None:
        """Runs scripts side by side, each in a session of its own."""
        with ThreadPoolExecutor(len(texts)) as pool:
            list(pool.map(lambda text: self.sql(text, database, timeout), texts))

    def value(self, text: str, database: str = "postgres") -> str:
        return self.sql(text, database)[0][0]

    def session(self, database: str) -> Session:
        return Session(self.popen(self._psql(database), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT))

    def create_database(self, name: str) -> None:
        self.sql(f"create database {name}")

    def drop_database(self, name: str) -> None:
        self.sql(f"drop database if exists {name} with (force)")

    def until(self, text: str, wanted: str, database: str, seconds: float) -> str:
        """Asks again until the answer is the wanted one or the time is up: the last answer."""
        deadline = time.monotonic() + seconds
        answer = self.value(text, database)
        while answer != wanted and time.monotonic() < deadline:
            time.sleep(0.1)
            answer = self.value(text, database)
        return answer


@contextmanager
def twin(cluster: Cluster) -> Iterator[Cluster]:
    """A second server with the same settings, for as long as it is needed."""
    scratch = cluster.scratch / "twin"
    scratch.mkdir()
    hand_over(scratch, cluster.tools)
    other = Cluster(cluster.tools, scratch)
    try:
        other.create(cluster.more)
        other.start()
        other.warm_wal()
        yield other
    finally:
        other.stop()
        shutil.rmtree(scratch, ignore_errors=True)
