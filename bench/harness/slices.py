"""One slice: get ready, let the machine come to rest, measure, check.

A slice begins with a checkpoint and goes on with filling, not the other way round: filled after
the checkpoint, the pages of a backlog cost no full-page images when they are updated, which is
how a queue is in everyday life. No checkpoint comes by itself (see cluster.settings).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from . import cpu, pgbench
from .cluster import Cluster, SqlError
from .load import Load

QUIET_SECONDS = 15.0
MARGIN = 1.7  # backlog over what the last slice used
SMALLEST_BACKLOG = 5_000
LARGEST_BACKLOG = 5_000_000


@dataclass(frozen=True)
class Slice:
    load: str
    messages: int
    rate: float  # messages a second
    latency_ms: float  # of one run of the script
    cpu_us: float  # CPU of backends a message
    standing_cpu_us: float  # CPU of the server's other processes a message
    backlog: int  # how many were there at the start
    quiet: bool  # whether the server had come to rest before
    error: str


@dataclass
class Backlogs:
    """How large a backlog each load needs: guessed at first, then learned upwards."""
    rates: dict[str, float] = field(default_factory=dict)

    def rate(self, load: Load) -> float:
        return max(self.rates.get(load.key, 0.0), float(load.first_guess))

    def size(self, load: Load, seconds: float) -> int:
        rate = self.rate(load)
        least = SMALLEST_BACKLOG + 4 * load.clients * load.per_transaction
        return min(LARGEST_BACKLOG, max(least, round(rate * seconds * MARGIN)))

    def learn(self, load: Load, done: Slice) -> None:
        if done.error == "ran dry":
            self.rates[load.key] = 2.5 * self.rate(load)
        elif not done.error:
            self.rates[load.key] = max(done.rate, self.rate(load))


def fill(cluster: Cluster, load: Load, database: str, count: int) -> None:
    if load.fill is not None and count > 0:
        cluster.sql(load.fill(count), database)
    if load.ready:
        cluster.sql(load.ready, database)


def measure(cluster: Cluster, load: Load, database: str, seconds: float,
            backlog: int) -> Slice:
    """Measures over a backlog that is there already."""
    postmaster = cluster.postmaster()
    counted = int(cluster.value(load.counter, database)) if load.counter else 0
    os.sync()  # or the kernel writes files that grew while filling in somebody's slice
    quiet = cpu.wait_quiet(postmaster, QUIET_SECONDS)
    before = cpu.sample(postmaster)
    outcome = pgbench.run(cluster, load, database, seconds)
    used = cpu.used(before, cpu.sample_settled(postmaster, before.clients))
    messages = outcome.transactions * load.per_transaction
    rate = outcome.rate * load.per_transaction
    if load.counter:
        messages = int(cluster.value(load.counter, database)) - counted
        rate = outcome.rate * messages / max(1, outcome.transactions)
    error = outcome.error or dry(load, messages, backlog)
    if not error and messages == 0:
        error = "no message went through"
    each = 1e6 / messages if messages else 0.0
    return Slice(load.key, messages, rate, outcome.latency_ms, used.backends * each,
                 used.standing * each, backlog, quiet, error)


def dry(load: Load, messages: int, backlog: int) -> str:
    """A backlog that is used up but for what the clients may hold was too small."""
    if load.fill is None or messages < backlog - 2 * load.clients * load.per_transaction:
        return ""
    return "ran dry"


def failed(load: Load, backlog: int, error: Exception) -> Slice:
    first_line = str(error).splitlines()[0][:400]
    return Slice(load.key, 0, 0.0, 0.0, 0.0, 0.0, backlog, False, first_line)


def run(cluster: Cluster, load: Load, database: str, seconds: float,
        backlogs: Backlogs) -> Slice:
    """A whole slice on an empty queue or table: as if it were the first."""
    backlog = backlogs.size(load, seconds) if load.fill else 0
    try:
        cluster.sql("checkpoint", database)
        if load.empty:
            cluster.sql(load.empty, database)
        fill(cluster, load, database, backlog)
        done = measure(cluster, load, database, seconds, backlog)
        if load.empty:
            cluster.sql(load.empty, database)
    except SqlError as error:
        done = failed(load, backlog, error)
        cluster.wait_up()
    backlogs.learn(load, done)
    return done
