"""A year in ten minutes: hundreds of rotations, mixed work; is everything at the end as it was?

Eight clients in a closed loop send and consume on two queues of different retention, with
delays, keys, priorities and failures. Their rate is the capacity, tenth by tenth of the time.
A machine's own speed changes in ten minutes, so that every few seconds they make way for bare
INSERTs into another database, and the capacity is also told as a share of those.
Disk, memory and catalog are looked at after each such turn. There is a checkpoint every tenth.
"""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import cpu, memory, pgbench, stats
from harness.cluster import Session
from harness.load import Load
from harness.run import Run, Target
from harness.rounds import show_same
from systems import baton, bare

DATABASE = "bench_soak"
REFERENCE_DATABASE = "bench_soak_insert"
TENTHS = 10
TURN = 10.0  # seconds of mixed work and of bare INSERTs, one after the other
REFERENCE_SHARE = 0.2  # of a turn
WARM_UP = 0.15  # of the time, before it counts: the ring fills, compaction begins
SEGMENT_SIZE = "1MB"
CAPACITY_TARGET = 0.95
FLAT, SLACK = 1.05, 65536  # last quarter beside the second; and so many bytes for a page or two
MIXED = Load(
    key="baton_mixed",
    label="Baton: mixed work",
    script="""\
\\set dice random(1, 1000)
\\set q random(1, 2)
select baton.send('soak_' || :q, :payload::jsonb, priority => :dice % 3,
                  delay => case when :dice <= 20 then interval '2 s' end,
                  key => case when :dice > 800 then 'key ' || :dice % 50 end);
select coalesce(array_agg(receipt), '{}') as r, count(*) as n
    from baton.receive('soak_' || :q, 2) \\gset
\\if :n > 0
\\if :dice % 100 = 0
select count(*) from baton.fail_batch(:r::text[], array['it failed']);
\\else
select count(*) from baton.complete_batch(:r::text[], array[:result::jsonb]);
\\endif
\\endif
""")


def setup(seconds: float) -> str:
    return ("select baton.create_queue('soak_1', retention => '0');"
            f"select baton.create_queue('soak_2', retention => '{seconds / 20:g} s');")


LOOK = f"""
select pg_database_size(current_database()), ({baton.LOG_BYTES}),
    (select count(*) from pg_class), (select count(*) from pg_attribute),
    pg_total_relation_size('pg_class'), pg_total_relation_size('pg_attribute'),
    (select count(*) from baton.segment), (select count(*) from baton.segment where state = 'free'),
    (select sum(ready + delayed + in_flight + blocked) from baton.queue),
    (select coalesce(sum(depth), -1) from baton.queue);
"""
PROCESSES = """
select coalesce(max(pid) filter (where backend_type like 'baton keeper%'), 0),
    coalesce(max(pid) filter (where backend_type like 'baton cleaner%'), 0), pg_backend_pid()
from pg_stat_activity where datname = current_database();
"""
# What the long-lived session does besides looking.
USE = """
select baton.send('soak_1', :'payload') from generate_series(1, 20) \\g /dev/null
select baton.complete(receipt) from baton.receive('soak_1', 20) \\g /dev/null
"""


@dataclass(frozen=True)
class Look:
    """The state of things at a moment; sizes in bytes."""
    at: float
    database: int
    log: int
    pg_class_rows: int
    pg_attribute_rows: int
    pg_class_size: int
    pg_attribute_size: int
    segments: int
    free_segments: int
    slots: int  # messages in memory
    depth: int
    rotations: int  # so far, that were seen
    keeper: int  # memory of its own, of this and the next
    cleaner: int  # 0: there was none at the moment
    session: int


def look(session: Session, at: float, rotations: int) -> Look:
    session.run(USE)
    row = [int(cell) for cell in session.run(LOOK)[0].split("\t")]
    pids = [int(cell) for cell in session.run(PROCESSES)[0].split("\t")]
    return Look(at, *row, rotations, *(memory.own(pid) if pid else 0 for pid in pids))


@dataclass(frozen=True)
class Turn:
    """Transactions a second."""
    mixed: float
    reference: float

    @property
    def share(self) -> float:
        return self.mixed / self.reference if self.reference else math.nan


class Soak:
    """Takes turns, and looks."""

    def __init__(self, run: Run, session: Session):
        self.run = run
        self.session = session
        self.opened: set[str] = set()
        self.turns: list[Turn] = []
        self.looks: list[Look] = []

    def load(self, load: Load, database: str, seconds: float) -> float:
        process = pgbench.start(self.run.cluster, load, database, seconds)
        while True:
            try:
                process.wait(0.2)
                break
            except subprocess.TimeoutExpired:
                self.opened.update(self.session.run(baton.OPEN_SEGMENT))
        outcome = pgbench.finish(process, seconds)
        if outcome.error:
            self.run.note(f"soak: a client failed: {outcome.error}")
        return outcome.rate

    def turn(self, seconds: float, at: float) -> None:
        reference = max(1, round(seconds * REFERENCE_SHARE))
        mixed = self.load(MIXED, DATABASE, max(1, seconds - reference))
        self.looks.append(look(self.session, at + seconds, max(0, len(self.opened) - 1)))
        self.turns.append(Turn(mixed, self.load(bare.ONE, REFERENCE_DATABASE, reference)))
        self.run.recorder.write("look", scenario="soak", look=self.looks[-1], turn=self.turns[-1])

    def go(self, seconds: float) -> None:
        each_tenth = max(1, round(seconds / TENTHS / TURN))
        length = seconds / TENTHS / each_tenth
        for number in range(TENTHS * each_tenth):
            self.turn(length, number * length)
            if (number + 1) % each_tenth == 0:
                self.run.say(f"soak: {self.turns[-1]}, {self.looks[-1]}")


@dataclass(frozen=True)
class Tenth:
    mixed: float
    share: float


def tenths(turns: Sequence[Turn]) -> list[Tenth]:
    """Medians of each tenth."""
    size = len(turns) // TENTHS
    parts = [turns[size * number:size * (number + 1)] for number in range(TENTHS)]
    return [Tenth(stats.quantile([each.mixed for each in part], 0.5),
                  stats.quantile([each.share for each in part], 0.5)) for part in parts]


@dataclass(frozen=True)
class Flat:
    """A figure that must not grow; all but capacity."""
    name: str
    figure: Callable[[Look], float]
    unit: float = 1.0
    digits: int = 0


FLATS = (
    Flat("database, MB", lambda each: each.database, 1e6, 1),
    Flat("log, MB", lambda each: each.log, 1e6, 1),
    Flat("pg_class, rows", lambda each: each.pg_class_rows),
    Flat("pg_attribute, rows", lambda each: each.pg_attribute_rows),
    Flat("pg_class, kB", lambda each: each.pg_class_size, 1024),
    Flat("pg_attribute, kB", lambda each: each.pg_attribute_size, 1024),
    Flat("keeper's own memory, kB", lambda each: each.keeper, 1024),
    Flat("cleaner's own memory, kB", lambda each: each.cleaner or math.nan, 1024),
    Flat("a long session's own memory, kB", lambda each: each.session, 1024),
    Flat("slots in use", lambda each: each.slots),
)
# Depend on the moment, as a cleaner lives for one pass: shown without a verdict.
NOT_JUDGED = ("cleaner's own memory, kB", "slots in use")


def quarter(looks: Sequence[Look], flat: Flat, number: int) -> float:
    """Median of one quarter of the time, from 0."""
    size = len(looks) // 4
    values = [flat.figure(each) for each in looks[size * number:size * (number + 1)]]
    return stats.quantile([value for value in values if not math.isnan(value)], 0.5)


def aim(run: Run, parts: Sequence[Tenth], looks: Sequence[Look]) -> None:
    shares = [each.share for each in parts]
    neighbours = stats.summarize([shares[i + 1] / shares[i] for i in range(1, TENTHS - 1)])
    ratio = shares[-1] / shares[0]
    run.aim(Target("soak", "capacity in the last tenth / in the first, as a share of bare INSERTs",
                   f"≥ {CAPACITY_TARGET:g}",
                   f"{ratio:.3f} ({shares[-1]:.3f} / {shares[0]:.3f}; in transactions a second "
                   f"{parts[-1].mixed:.0f} / {parts[0].mixed:.0f})",
                   f"{show_same(neighbours)}, each tenth to the one before",
                   stats.at_least(ratio, CAPACITY_TARGET, neighbours.spread)))
    for flat in FLATS:
        second, last = quarter(looks, flat, 1), quarter(looks, flat, 3)
        if flat.name in NOT_JUDGED or math.isnan(second + last):
            continue
        slack = SLACK if flat.unit > 1 else 0
        run.aim(Target(
            "soak", f"{flat.name}: last quarter / second quarter", f"≤ {FLAT:g}",
            f"{last / second:.3f} ({show(last, flat)} / {show(second, flat)})", "",
            stats.at_most(last, FLAT * second + slack, 0.0)))


def show(value: float, flat: Flat) -> str:
    return "-" if math.isnan(value) else f"{value / flat.unit:.{flat.digits}f}"


def section(run: Run, parts: Sequence[Tenth], looks: Sequence[Look]) -> str:
    def row(name: str, cells: Sequence[str]) -> str:
        return f"| {name} | {' | '.join(cells)} |"

    lines = ["## soak", "", f"{run.options.soak_seconds:g} s, segments of {SEGMENT_SIZE}, at least "
             f"{looks[-1].rotations} rotations.", "",
             row("tenth", [str(number + 1) for number in range(TENTHS)]), "|---|" + "---:|" * TENTHS,
             row("transactions/s", [f"{each.mixed:.0f}" for each in parts]),
             row("as a share of bare INSERTs/s", [f"{each.share:.3f}" for each in parts]), "",
             "| median of a quarter | 1st | 2nd | 3rd | 4th |", "|---|---:|---:|---:|---:|"]
    lines += [row(flat.name, [show(quarter(looks, flat, number), flat) for number in range(4)])
              for flat in FLATS]
    return "\n".join(lines) + "\n"


def run(run: Run) -> None:
    seconds = run.options.soak_seconds
    run.need_disk(10 + seconds / 60)
    every = max(30, round(seconds / TENTHS))
    with (run.cluster.altered({"baton.segment_size": SEGMENT_SIZE,
                               "checkpoint_timeout": f"{every}s"}),
          run.database(REFERENCE_DATABASE, [bare.SYSTEM]),
          run.database(DATABASE, [baton.SYSTEM])):
        run.cluster.sql(setup(seconds), DATABASE)
        session = run.cluster.session(DATABASE)
        try:
            cpu.wait_quiet(run.cluster.postmaster(), 10)
            soak = Soak(run, session)
            soak.load(MIXED, DATABASE, seconds * WARM_UP)
            soak.go(seconds)
        finally:
            session.close()
    parts = tenths(soak.turns)
    run.sections.append(section(run, parts, soak.looks))
    aim(run, parts, soak.looks)
