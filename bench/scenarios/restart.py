"""From when a server accepts connections again to the first message, with a long log.

Twice: the finished messages are older than the pending ones of the same queue; and finished and
pending ones of two queues are mixed in every segment. Each time the postmaster is killed, or
stopped with -m immediate, a few times over. Crash recovery is over when the clock starts.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness import clients, stats
from harness.clients import ClientError
from harness.cluster import Cluster
from harness.run import Run, Target
from systems import baton

from . import depths

LIMIT_S = 2.0
REPEATS = 3  # at most; of each way down
SEGMENTS = 20
PORTIONS = 40  # mixed: how finely
EXACT_SECONDS = 600.0
TWO_QUEUES = "select baton.create_queue('bench'); select baton.create_queue('waiting');"


@dataclass(frozen=True)
class Start:
    """One start of the server."""
    layout: str
    way: str
    first_s: float  # from accepting connections to the first message
    exact_s: float  # to exact counts; NaN: never
    wrong_depth: int  # by how many messages the count was off


def finished_first(run: Run, database: str) -> str:
    count = run.options.messages
    run.cluster.sql("select baton.create_queue('bench')", database)
    depths.fill(run.cluster, database, count)
    depths.drain(run.cluster, database)
    depths.fill(run.cluster, database, count)
    return "bench"


def mixed(run: Run, database: str) -> str:
    run.cluster.sql(TWO_QUEUES, database)
    for _ in range(PORTIONS):
        for queue in ("bench", "waiting"):
            depths.fill(run.cluster, database, run.options.messages // PORTIONS, queue)
    depths.drain(run.cluster, database)
    return "waiting"


LAYOUTS: dict[str, Callable[[Run, str], str]] = {
    "finished, then pending": finished_first,
    "finished and pending mixed": mixed,
}


def by_kill(cluster: Cluster) -> None:
    cluster.crash()


def by_immediate_stop(cluster: Cluster) -> None:
    cluster.stop("immediate")


WAYS: dict[str, Callable[[Cluster], None]] = {
    "SIGKILL of the postmaster": by_kill,
    "immediate stop": by_immediate_stop,
}


def first_message(run: Run, database: str, queue: str) -> float:
    """Starts the server; seconds from the first connection to the first message."""
    program = clients.build(run.cluster, run.source, "restart")
    consumer = run.cluster.popen([program, clients.conninfo(run.cluster, database), queue],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        run.cluster.start()
        out, err = consumer.communicate(timeout=600)
    finally:
        if consumer.poll() is None:
            consumer.kill()
            consumer.communicate()
    if consumer.returncode != 0:
        raise ClientError(f"restart: {err.strip()[:400]}")
    return int(out.split()[0]) / 1e9


def until_exact(run: Run, database: str, queue: str) -> float:
    began = time.monotonic()
    answer = run.cluster.until(f"select exact from baton.queue where name = '{queue}'", "t",
                               database, EXACT_SECONDS)
    return time.monotonic() - began if answer == "t" else float("nan")


def one_start(run: Run, database: str, queue: str, layout: str, way: str) -> Start:
    depth = f"select coalesce(depth, -1) from baton.queue where name = '{queue}'"
    before = int(run.cluster.value(depth, database))
    run.cluster.sql("checkpoint")
    WAYS[way](run.cluster)
    first = first_message(run, database, queue)
    exact = first + until_exact(run, database, queue)
    start = Start(layout, way, first, exact,
                  abs(int(run.cluster.value(depth, database)) - before))
    run.recorder.write("start", scenario="restart", start=start)
    run.say(f"restart: {layout}, {way}: first message after {first:.3f} s, exact after "
            f"{exact:.1f} s")
    return start


def one_layout(run: Run, number: int, layout: str) -> list[Start]:
    with run.database(f"bench_restart_{number}", [baton.SYSTEM]) as database:
        queue = LAYOUTS[layout](run, database)
        run.cluster.sql("call baton.cleanup_queue()", database)
        states = run.cluster.sql("select state, count(*), sum(messages), sum(unfinished) "
                                 "from baton.segment group by state order by state", database)
        run.recorder.write("segments", scenario="restart", layout=layout, states=states)
        run.say(f"restart: {layout}: segments {states}")
        return [one_start(run, database, queue, layout, way)
                for way in WAYS for _ in range(min(REPEATS, run.options.rounds))]


def section(run: Run, starts: list[Start]) -> str:
    lines = ["## restart", "", f"{run.options.messages} messages pending and as many finished.", "",
             "| log | down by | seconds from accepting connections to the first message "
             "| to exact counts |", "|---|---|---|---|"]
    lines += [f"| {each.layout} | {each.way} | {each.first_s:.3f} | {each.exact_s:.1f} |"
              for each in starts]
    return "\n".join(lines) + "\n"


def aim(run: Run, starts: list[Start]) -> None:
    for layout in LAYOUTS:
        for way in WAYS:
            took = [each.first_s for each in starts if (each.layout, each.way) == (layout, way)]
            worst = max(took, default=float("nan"))
            run.aim(Target("restart", f"{layout}, {way}: first message after the server accepts "
                           "connections", f"≤ {LIMIT_S:g} s",
                           f"{worst:.3f} s (worst of {len(took)})", "",
                           stats.at_most(worst, LIMIT_S, 0.0)))
    run.aim_count("restart", "messages by which a count was off, once exact",
                  sum(each.wrong_depth for each in starts))


def run(run: Run) -> None:
    run.need_disk(2 * depths.log_gigabytes(run.options.messages) + depths.WAL_GB)
    size = depths.segment_kilobytes(run.options.messages, depths.SENT_BYTES, SEGMENTS)
    starts: list[Start] = []
    with run.cluster.altered({"baton.segment_size": f"{size}kB"}):
        for number, layout in enumerate(LAYOUTS):
            starts += one_layout(run, number, layout)
    run.sections.append(section(run, starts))
    aim(run, starts)
