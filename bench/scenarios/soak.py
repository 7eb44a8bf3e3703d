"""A year in ten minutes: hundreds of rotations, mixed work; is everything at the end as it was?

Eight clients in a closed loop send and consume on two queues of different retention, with
delays, keys, priorities and failures. Their rate is the capacity, tenth by tenth of the time.
Disk, memory and catalog are looked at sixty times. There is a checkpoint every tenth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import cpu, memory, pgbench, pglog, stats
from harness.cluster import Session
from harness.load import Load
from harness.run import Run, Target
from harness.rounds import show_same
from systems import baton

DATABASE = "bench_soak"
LOOKS = 60
TENTHS = 10
WARM_UP = 0.05  # of the time, before the clock starts
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


def watch(run: Run, seconds: float) -> list[Look]:
    looks: list[Look] = []
    opened: set[str] = set()
    began = time.monotonic()
    session = run.cluster.session(DATABASE)
    try:
        for number in range(1, LOOKS + 1):
            while (at := time.monotonic() - began) < seconds * number / LOOKS:
                opened.update(session.run(baton.OPEN_SEGMENT))
                time.sleep(0.2)
            looks.append(look(session, at, len(opened) - 1))
            run.recorder.write("look", scenario="soak", look=looks[-1])
            if number % (LOOKS // TENTHS) == 0:
                run.say(f"soak: {looks[-1]}")
    finally:
        session.close()
    return looks


def tenths(counts: Sequence[int]) -> list[float]:
    """Mean transactions a second in each tenth."""
    size = len(counts) / TENTHS
    return [sum(part) / len(part) if part else math.nan for part in (
        counts[round(size * number):round(size * (number + 1))] for number in range(TENTHS))]


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


def aim(run: Run, rates: Sequence[float], looks: Sequence[Look]) -> None:
    neighbours = stats.summarize([rates[i + 1] / rates[i] for i in range(1, TENTHS - 1)])
    ratio = rates[-1] / rates[0]
    run.aim(Target("soak", "capacity in the last tenth / in the first", f"≥ {CAPACITY_TARGET:g}",
                   f"{ratio:.3f} ({rates[-1]:.0f} / {rates[0]:.0f} a second)",
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


def section(run: Run, rates: Sequence[float], looks: Sequence[Look]) -> str:
    lines = ["## soak", "", f"{run.options.soak_seconds:g} s, segments of {SEGMENT_SIZE}, at least "
             f"{looks[-1].rotations} rotations.", "",
             f"| tenth | {' | '.join(str(n + 1) for n in range(TENTHS))} |",
             "|---|" + "---:|" * TENTHS,
             f"| transactions/s | {' | '.join(f'{rate:.0f}' for rate in rates)} |", "",
             "| median of a quarter | 1st | 2nd | 3rd | 4th |", "|---|---:|---:|---:|---:|"]
    for flat in FLATS:
        cells = [show(quarter(looks, flat, number), flat) for number in range(4)]
        lines.append(f"| {flat.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def soak(run: Run) -> tuple[list[float], list[Look]]:
    seconds = run.options.soak_seconds
    warm_up = max(1, round(seconds * WARM_UP))
    run.cluster.sql(setup(seconds), DATABASE)
    process = pgbench.start(run.cluster, MIXED, DATABASE, seconds + warm_up,
                            more=pglog.by_the_second("soak"))
    time.sleep(warm_up)
    looks = watch(run, seconds)
    outcome = pgbench.finish(process, seconds + warm_up)
    if outcome.error:
        run.note(f"soak: a client failed: {outcome.error}")
    counts = pglog.counts(run.cluster, "soak")[warm_up:]
    run.recorder.write("soak", transactions_each_second=counts, error=outcome.error)
    return tenths(counts), looks


def run(run: Run) -> None:
    run.need_disk(10 + run.options.soak_seconds / 60)
    every = max(30, round(run.options.soak_seconds / TENTHS))
    with (run.cluster.altered({"baton.segment_size": SEGMENT_SIZE,
                               "checkpoint_timeout": f"{every}s"}),
          run.database(DATABASE, [baton.SYSTEM])):
        cpu.wait_quiet(run.cluster.postmaster(), 10)
        rates, looks = soak(run)
    run.sections.append(section(run, rates, looks))
    aim(run, rates, looks)
