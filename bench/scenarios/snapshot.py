"""One forgotten transaction: how fast a backlog is consumed before and after two minutes of
traffic under another session's open snapshot, and the same without it.

Each system has a fresh database for each of the two. Capacity is the rate of eight clients in a
closed loop over a backlog, nothing else going on; it is taken before the snapshot, at once
after it was opened ("start"), and after the traffic ("end"). Each time it takes turns with bare
INSERTs, which say how fast the machine is just then: what counts is the share of their rate.
Before against start is the A/A of this scenario. Baton takes part twice: as it is, and with
segments so small, and retention '0', that the log is rotated and emptied all the time.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness import pgbench, slices, stats
from harness.load import Load, System
from harness.run import Run, Target
from harness.slices import Backlogs, Slice
from systems import bare, baton, lecture, skip_locked

TURNS = 3  # slices of a capacity, each after one of bare INSERTs
TRAFFIC = 2000  # messages a second, sent and consumed
SENDERS = 4
SMALL_SEGMENTS = {"baton.segment_size": "2MB"}
COUNTS = ("n_tup_ins", "n_tup_upd", "n_tup_del", "n_live_tup", "n_dead_tup")


ROTATING = dataclasses.replace(
    baton.SYSTEM, key="baton_rotating", label="Baton, rotating",
    loads={name: dataclasses.replace(load, empty=baton.EMPTY_AT_ONCE)
           for name, load in baton.SYSTEM.loads.items()})


@dataclass(frozen=True)
class Capacity:
    rate: float = math.nan
    share: float = math.nan  # of the rate of bare INSERTs just then


@dataclass
class Course:
    """What one system did in one database."""
    system: str
    snapshot: bool
    before: Capacity = Capacity()
    start: Capacity = Capacity()
    end: Capacity = Capacity()
    sent: float = math.nan  # a second, during the traffic
    consumed: float = math.nan
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # by table
    error: str = ""

    @property
    def ratio(self) -> float:
        return self.end.share / self.start.share

    @property
    def same(self) -> float:
        return self.start.share / self.before.share


class Backlog:
    """Keeps count of what is there, so that every measurement begins over as much."""

    def __init__(self, run: Run, load: Load, database: str):
        self.run, self.load, self.database = run, load, database
        self.sizes = Backlogs()
        self.there = 0

    def refill(self) -> None:
        wanted = self.sizes.size(self.load, self.run.options.seconds)
        if self.there < wanted:
            slices.fill(self.run.cluster, self.load, self.database, wanted - self.there)
            self.there = wanted

    def turn(self, course: Course, phase: str) -> Capacity:
        self.refill()
        inserts = slices.measure(self.run.cluster, bare.ONE, self.database,
                                 self.run.options.seconds, 0)
        done = slices.measure(self.run.cluster, self.load, self.database,
                              self.run.options.seconds, self.there)
        self.there = max(0, self.there - done.messages)
        self.sizes.learn(self.load, done)
        self.report(course, phase, done, inserts)
        if course.error:
            return Capacity()
        return Capacity(done.rate, done.rate / inserts.rate)

    def capacity(self, course: Course, phase: str) -> Capacity:
        turns = [self.turn(course, phase) for _ in range(TURNS)]
        return Capacity(statistics.fmean(each.rate for each in turns),
                        statistics.fmean(each.share for each in turns))

    def report(self, course: Course, phase: str, done: Slice, inserts: Slice) -> None:
        self.run.recorder.write("slice", scenario="snapshot", phase=phase,
                                snapshot=course.snapshot, slice=done, inserts=inserts)
        self.run.say(f"snapshot: {self.load.label}, {phase}: "
                     + (done.error or f"{done.rate:.0f}/s, bare INSERTs {inserts.rate:.0f}/s"))
        if done.error or inserts.error:
            course.error = f"{phase}: {done.error or inserts.error}"


@contextmanager
def open_snapshot(run: Run, database: str, wanted: bool) -> Iterator[None]:
    """Another session's REPEATABLE READ snapshot, idle in its transaction."""
    if not wanted:
        yield
        return
    session = run.cluster.session(database)
    try:
        session.run("begin isolation level repeatable read;")
        session.run("select count(*) from pg_class;")
        pid = session.run("select pg_backend_pid();")[0]
        yield
        pinned = run.cluster.value(
            f"select count(*) from pg_stat_activity where pid = {pid} "
            "and state = 'idle in transaction' and backend_xmin is not null", database)
        if pinned != "1":
            run.note(f"snapshot in {database}: the snapshot was not open to the end")
        session.run("rollback;")
    finally:
        session.close()


def traffic(run: Run, course: Course, system: System, backlog: Backlog) -> None:
    """Senders and consumers side by side, at the same given rate."""
    seconds = run.options.snapshot_seconds
    send = dataclasses.replace(system.loads["send"], clients=SENDERS)
    sending = pgbench.start(run.cluster, send, backlog.database, seconds, TRAFFIC)
    consumed = pgbench.run(run.cluster, backlog.load, backlog.database, seconds, TRAFFIC)
    sent = pgbench.finish(sending, seconds)
    course.sent, course.consumed = sent.transactions / seconds, consumed.transactions / seconds
    backlog.there = max(0, backlog.there + sent.transactions - consumed.transactions)
    for name, outcome in (("send", sent), ("consume", consumed)):
        if outcome.error:
            course.error = f"traffic, {name}: {outcome.error}"


def table_counts(run: Run, system: System, database: str) -> dict[str, dict[str, int]]:
    rows = run.cluster.sql(
        f"select relname, {', '.join(COUNTS)} from pg_stat_user_tables "
        f"where {system.log_tables} order by relname", database)
    return {row[0]: dict(zip(COUNTS, map(int, row[1:]))) for row in rows}


def one_course(run: Run, system: System, snapshot: bool) -> Course:
    course = Course(system.label, snapshot)
    load = system.loads["consume"]
    name = f"bench_snapshot_{system.key}_{'held' if snapshot else 'free'}"
    settings = SMALL_SEGMENTS if system is ROTATING else {}
    with run.cluster.altered(settings), run.database(name, [system, bare.SYSTEM]) as database:
        run.cluster.sql("checkpoint", database)
        run.cluster.sql(load.empty, database)
        backlog = Backlog(run, load, database)
        course.before = backlog.capacity(course, "before")
        with open_snapshot(run, database, snapshot):
            course.start = backlog.capacity(course, "start")
            traffic(run, course, system, backlog)
            course.end = backlog.capacity(course, "end")
            course.counts = table_counts(run, system, database)
    run.recorder.write("course", scenario="snapshot", course=course)
    return course


def aim_baton(run: Run, held: Course) -> None:
    noise = abs(held.same - 1)
    run.aim(Target(
        "snapshot", f"{held.system}: capacity at the end / at the start, snapshot open, "
        "each as a share of bare INSERTs just then", "≥ 0.95",
        f"{held.ratio:.3f}" + (f" ({held.error})" if held.error else ""),
        f"{held.same:.3f}",
        stats.at_least(held.ratio, 0.95, 0.0 if math.isnan(noise) else noise)))
    for name in ("n_dead_tup", "n_tup_upd", "n_tup_del"):
        total = sum(counts[name] for counts in held.counts.values()) if held.counts else None
        run.aim_count("snapshot", f"{held.system}: {name} over all log tables", total)


def show(figure: float, digits: int = 0) -> str:
    return "-" if math.isnan(figure) else f"{figure:.{digits}f}"


def both(capacity: Capacity) -> str:
    return f"{show(capacity.rate)} ({show(capacity.share, 3)})"


def section(run: Run, courses: list[Course]) -> str:
    options = run.options
    lines = ["## snapshot", "",
             f"{TRAFFIC} messages/s sent and consumed for {options.snapshot_seconds:.0f} s; "
             f"capacity over {options.seconds:.0f} s, messages/s and as a share of bare INSERTs/s "
             "just then; the ratios are of the shares.", "",
             "| system | snapshot | before | start | end | end/start | start/before (A/A) "
             "| consumed/s in traffic | n_dead_tup | n_tup_upd | n_tup_del |",
             "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for each in courses:
        totals = [sum(counts[name] for counts in each.counts.values())
                  for name in ("n_dead_tup", "n_tup_upd", "n_tup_del")]
        lines.append(
            f"| {each.system} | {'open' if each.snapshot else 'none'} | {both(each.before)} "
            f"| {both(each.start)} | {both(each.end)} | {show(each.ratio, 3)} "
            f"| {show(each.same, 3)} "
            f"| {show(each.consumed)} | {totals[0]} | {totals[1]} | {totals[2]} |"
            + (f" {each.error}" if each.error else ""))
    return "\n".join(lines) + "\n"


def run(run: Run) -> None:
    systems = run.usable([baton.SYSTEM, ROTATING, skip_locked.SYSTEM, lecture.SYSTEM])
    courses = []
    for system in systems:
        for snapshot in (True, False) if run.options.snapshot_control else (True,):
            courses.append(one_course(run, system, snapshot))
    run.sections.append(section(run, courses))
    for course in courses:
        if course.error:
            run.note(f"snapshot: {course.system}: {course.error}")
        if course.system in (baton.SYSTEM.label, ROTATING.label) and course.snapshot:
            aim_baton(run, course)
