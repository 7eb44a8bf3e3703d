"""Rates with millions of messages pending beside those of an empty queue; memory; purging.

Two servers with the same settings: one has the deep backlog, the other sends and consumes on an
empty queue, as in the scenarios `send` and `consume`. In a round: the empty one, the empty one
again, which is the A/A, and the deep one, in turning order.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from harness import memory, slices, stats
from harness.cluster import Cluster, twin
from harness.load import Load
from harness.rounds import Table, order, show_ratio, show_same
from harness.run import Run, Target
from harness.slices import Backlogs, Slice
from systems import baton

from . import depths

DATABASE = "bench_deep"
LOADS = (baton.SEND, baton.LOOP)
PLACES = ("empty", "again", "deep")
RATE_TARGET = 0.90
GROWTH_LIMIT = 1 << 20
MILLISECONDS = 100.0  # what "milliseconds" means for purge_queue and drop_queue
ALLOCATION = "select off, allocated_size from pg_shmem_allocations where name = 'baton'"


@dataclass(frozen=True)
class Memory:
    """Resident bytes at a depth."""
    depth: int
    allocated: int  # Baton's part of shared memory
    baton: int  # of it, resident
    server: int  # of the server's whole shared memory, buffers included


@dataclass
class Ends:
    """Milliseconds of what takes the backlog away, and what was there afterwards."""
    milliseconds: dict[str, float] = field(default_factory=dict)
    left: int = -1
    next_after_purge: bool = False


def look_at_memory(cluster: Cluster, database: str) -> Memory | None:
    offset, size = map(int, cluster.sql(ALLOCATION)[0])
    postmaster = cluster.postmaster()
    try:
        return Memory(depths.depth(cluster, database), size,
                      memory.resident(postmaster, offset, size),
                      memory.whole_resident(postmaster))
    except OSError:
        return None  # only root may look


def prefill(run: Run, cluster: Cluster, database: str) -> list[Memory | None]:
    """Memory when the window is full, and when all messages are there."""
    wanted = run.options.messages
    window = int(cluster.value("show baton.window_size"))
    cluster.sql(baton.EMPTY, database)
    seen = []
    for level in (min(2 * window, wanted // 2), wanted):
        depths.fill(cluster, database, level - depths.depth(cluster, database))
        seen.append(look_at_memory(cluster, database))
        run.say(f"deep: {depths.depth(cluster, database)} pending")
    return seen


def deep_slice(run: Run, cluster: Cluster, load: Load, database: str) -> Slice:
    cluster.sql("checkpoint", database)
    depths.fill(cluster, database, run.options.messages - depths.depth(cluster, database))
    there = depths.depth(cluster, database)
    return slices.measure(cluster, load, database, run.options.seconds, there)


def one_slice(run: Run, deep: Cluster, place: str, load: Load, round_number: int,
              backlogs: Backlogs) -> Slice:
    if place == "deep":
        done = deep_slice(run, deep, load, DATABASE)
    else:
        done = slices.run(run.cluster, load, DATABASE, run.options.seconds, backlogs)
        if done.error == "ran dry":
            done = slices.run(run.cluster, load, DATABASE, run.options.seconds, backlogs)
    run.recorder.write("slice", scenario="deep", place=place, round=round_number, slice=done)
    run.say(f"deep: {load.label}, {place}: {done.error or f'{done.rate:.0f}/s'}")
    return done


def play(run: Run, deep: Cluster, load: Load) -> Table:
    backlogs = Backlogs()
    for place in ("empty", "deep"):  # unmeasured: fills caches, finds the backlog's size
        one_slice(run, deep, place, load, -1, backlogs)
    table = Table({place: [] for place in PLACES})
    for round_number in range(run.options.rounds):
        for place in order(len(PLACES), round_number):
            table.slices[PLACES[place]].append(
                one_slice(run, deep, PLACES[place], load, round_number, backlogs))
    return table


def priority_first(cluster: Cluster, database: str) -> bool:
    sent = cluster.value("select baton.send('bench', :'payload', priority => 9)", database)
    row = cluster.sql("select receipt, id from baton.receive('bench') \\gset\n"
                      "select baton.complete(:'receipt');\nselect :id;", database)
    return row[-1][0] == sent


def timed(cluster: Cluster, database: str, sql: str) -> float:
    session = cluster.session(database)
    try:
        session.run("select 1 from baton.queue;")
        began = time.monotonic()
        session.run(sql)
        return (time.monotonic() - began) * 1e3
    finally:
        session.close()


def take_away(run: Run, cluster: Cluster, database: str) -> Ends:
    ends = Ends()
    ends.milliseconds["purge_queue"] = timed(cluster, database,
                                             "select baton.purge_queue('bench');")
    ends.left = depths.depth(cluster, database)
    ends.next_after_purge = priority_first(cluster, database)
    depths.fill(cluster, database, run.options.messages)
    ends.milliseconds["drop_queue"] = timed(cluster, database,
                                            "select baton.drop_queue('bench');")
    run.recorder.write("ends", scenario="deep", ends=ends)
    return ends


def yes(run: Run, what: str, holds: bool) -> None:
    run.aim(Target("deep", what, "yes", "yes" if holds else "no", "",
                   stats.MET if holds else stats.MISSED))


def aim_rates(run: Run, load: Load, table: Table) -> None:
    ratio = stats.summarize(table.ratios("deep", "empty"))
    same = stats.summarize(table.ratios("again", "empty"))
    run.recorder.write("ratio", scenario="deep", load=load.key, ratio=ratio, same=same)
    run.aim(Target("deep", f"{load.label}: rate with the backlog / on an empty queue",
                   f"≥ {RATE_TARGET:g}", show_ratio(ratio), show_same(same),
                   stats.at_least(ratio.median, RATE_TARGET,
                                  same.spread if same.count else 0.0)))


def aim_memory(run: Run, seen: list[Memory | None]) -> None:
    first, last = seen[0], seen[-1]
    if first is None or last is None:
        run.note("deep: resident memory is left out: only root may look")
        return
    growth = last.baton - first.baton
    run.aim(Target("deep", f"Baton's resident shared memory, {first.depth} to {last.depth} pending",
                   f"+ ≤ {GROWTH_LIMIT >> 20} MB",
                   f"{growth / 1e6:+.2f} MB ({first.baton / 1e6:.1f} to {last.baton / 1e6:.1f} "
                   f"of {last.allocated / 1e6:.1f} MB allocated)", "",
                   stats.at_most(growth, GROWTH_LIMIT, 0.0)))


def aim_ends(run: Run, ends: Ends) -> None:
    for name, took in ends.milliseconds.items():
        run.aim(Target("deep", f"{name} at that depth", f"≤ {MILLISECONDS:g} ms", f"{took:.1f} ms",
                       "", stats.at_most(took, MILLISECONDS, 0.0)))
    run.aim_count("deep", "depth after purge_queue", ends.left)
    yes(run, "what is sent after purge_queue is received next", ends.next_after_purge)


def section(run: Run, tables: dict[str, Table], seen: list[Memory | None]) -> str:
    lines = ["## deep", "", f"{run.options.messages} messages pending, beside an empty queue on a "
             "second server.", "",
             "| load | empty: messages/s | deep: messages/s | deep CPU µs/message | other CPU µs "
             "| deep/empty (quartiles) | empty/empty (A/A) |", "|---|---:|---:|---:|---:|---|---|"]
    for label, table in tables.items():
        good = table.good("deep")
        cells = [f"{stats.quantile([each.rate for each in table.good(place)], 0.5):.0f}"
                 for place in ("empty", "deep")]
        cells += [f"{stats.quantile([each.cpu_us for each in good], 0.5):.1f}",
                  f"{stats.quantile([each.standing_cpu_us for each in good], 0.5):.1f}",
                  show_ratio(stats.summarize(table.ratios("deep", "empty"))),
                  show_same(stats.summarize(table.ratios("again", "empty")))]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    lines += ["", "| pending | Baton's shared memory, resident | the server's, with buffers |",
              "|---:|---:|---:|"]
    lines += [f"| {each.depth} | {each.baton / 1e6:.2f} MB | {each.server / 1e6:.0f} MB |"
              for each in seen if each is not None]
    return "\n".join(lines) + "\n"


def run(run: Run) -> None:
    run.need_disk(2 * depths.log_gigabytes(run.options.messages) + depths.WAL_GB)
    with (twin(run.cluster) as deep,
          run.database(DATABASE, [baton.SYSTEM]),
          run.database(DATABASE, [baton.SYSTEM], deep)):
        seen = prefill(run, deep, DATABASE)
        tables = {}
        for load in LOADS:
            tables[load.label] = play(run, deep, load)
            aim_rates(run, load, tables[load.label])
        seen.append(look_at_memory(deep, DATABASE))
        run.recorder.write("memory", scenario="deep",
                           seen=[vars(each) for each in seen if each is not None])
        aim_memory(run, seen)
        yes(run, "a message of higher priority sent last is received next",
            priority_first(deep, DATABASE))
        aim_ends(run, take_away(run, deep, DATABASE))
        run.sections.append(section(run, tables, seen))
