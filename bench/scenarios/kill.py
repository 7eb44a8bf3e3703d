"""An idle consumer that holds ten messages is killed; another one that waits gets them.

Three times: with a keeper, with the keeper stopped (SIGSTOP), and on a server where no worker
slot was left for a keeper.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness import clients, stats
from harness.clients import ClientError
from harness.cluster import SqlError
from harness.run import Run, Target
from systems import baton

HELD = 10
LIMIT_MS = 50.0
EVENTS_SECONDS = 60.0  # how long the events may take to be in the log
KEEPERS = ("select pid, coalesce(wait_event_type, '') from pg_stat_activity "
           "where backend_type like 'baton keeper%' and datname = current_database()")
ASLEEP = ("Extension", "Activity", "Timeout")  # kinds of wait
# The launcher, which is static, takes the only worker slot.
NO_SLOT = {"max_worker_processes": "1", "max_logical_replication_workers": "0"}


class Impossible(Exception):
    """The circumstances of a mode could not be made."""


@dataclass(frozen=True)
class Took:
    milliseconds: list[float]
    missing: int
    extra: int
    wrong_events: int


def kill_rounds(run: Run, database: str, queue: str) -> tuple[list[float], int, int]:
    run.cluster.sql(f"select baton.create_queue('{queue}'); checkpoint;", database)
    lines = clients.run(run.cluster, run.source, "kill", database,
                        [queue, run.options.kills, HELD],
                        timeout=60 + run.options.kills * 2)
    return ([int(line[0]) / 1e6 for line in lines], sum(int(line[1]) for line in lines),
            sum(int(line[2]) for line in lines))


def wrong_events(run: Run, database: str, queue: str) -> int:
    """Messages without exactly one vanished and one completed event, once the keeper had time."""
    expected = run.options.kills * HELD
    return int(run.cluster.until(
        f"""select {expected} - count(*) from (
                select from baton.queue_log where queue = '{queue}' group by message_id
                having count(*) filter (where action = 'vanished') = 1
                   and count(*) filter (where action = 'completed') = 1) as right_ones""",
        "0", database, EVENTS_SECONDS))


def keeper(run: Run, database: str, wait_for_it: bool) -> int:
    """The keeper's process, caught asleep, so that it holds no lock; 0: there is none."""
    deadline = time.monotonic() + 20
    while True:
        rows = run.cluster.sql(KEEPERS, database)
        if rows and (rows[0][1] in ASLEEP or not wait_for_it):
            return int(rows[0][0])
        if not wait_for_it or time.monotonic() > deadline:
            return 0
        time.sleep(0.05)


@contextmanager
def with_keeper(run: Run, database: str) -> Iterator[None]:
    if not keeper(run, database, wait_for_it=True):
        raise Impossible("no keeper is running")
    yield


@contextmanager
def keeper_stopped(run: Run, database: str) -> Iterator[None]:
    pid = keeper(run, database, wait_for_it=True)
    if not pid:
        raise Impossible("no keeper to stop")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def no_keeper(run: Run, database: str) -> Iterator[None]:
    if keeper(run, database, wait_for_it=False):
        raise Impossible("there is a keeper in spite of no worker slot")
    yield


# key, label, settings the server is started with, circumstances
MODES = (
    ("keeper", "keeper running", {}, with_keeper),
    ("stopped", "keeper under SIGSTOP", {}, keeper_stopped),
    ("no_slot", "no worker slot for a keeper", NO_SLOT, no_keeper),
)


def one_mode(run: Run, key: str, settings: dict[str, str], circumstances) -> Took:
    run.cluster.restart(settings)
    queue = f"kill_{key}"
    with run.database(f"bench_kill_{key}", [baton.SYSTEM]) as database:
        with circumstances(run, database):
            took, missing, extra = kill_rounds(run, database, queue)
        return Took(took, missing, extra, wrong_events(run, database, queue))


def aim(run: Run, label: str, took: Took) -> None:
    p99 = stats.quantile(took.milliseconds, 0.99)
    run.aim(Target("kill", f"{label}: p99 until the last message is with another consumer",
                   f"≤ {LIMIT_MS:g} ms", f"{p99:.2f} ms ({len(took.milliseconds)} kills)", "",
                   stats.at_most(p99, LIMIT_MS, 0.0)))
    run.aim_count("kill", f"{label}: messages missing, twice or foreign",
                  took.missing + took.extra)
    run.aim_count("kill", f"{label}: messages without exactly one vanished event",
                  took.wrong_events)


def row(label: str, took: Took) -> str:
    cells = [f"{stats.quantile(took.milliseconds, fraction):.2f}"
             for fraction in (0.5, 0.99, 1.0)]
    return (f"| {label} | {' | '.join(cells)} | {len(took.milliseconds)} | {took.missing} "
            f"| {took.extra} | {took.wrong_events} |")


def run(run: Run) -> None:
    lines = ["## kill", "", f"Each holder had {HELD} messages.", "",
             "| milliseconds from SIGKILL to the last message | p50 | p99 | max | kills "
             "| missing | extra | wrong events |", "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for key, label, settings, circumstances in MODES:
        try:
            took = one_mode(run, key, settings, circumstances)
        except (Impossible, ClientError, SqlError) as error:
            run.fail("kill", f"{label}: {error}")
            continue
        run.recorder.write("kill", mode=key, took=took)
        run.say(f"kill: {label}: p99 {stats.quantile(took.milliseconds, 0.99):.2f} ms")
        lines.append(row(label, took))
        aim(run, label, took)
    run.sections.append("\n".join(lines) + "\n")
    run.cluster.restart()
