"""What the scenarios with many messages share: filling, draining, sizes of segments."""

from __future__ import annotations

from harness import pgbench
from harness.cluster import Cluster, SqlError
from systems import baton

FILLERS = 4
SENT_BYTES, FINISHED_BYTES = 250, 450  # of log and indexes a message, about
WAL_GB = 20


def log_gigabytes(messages: int) -> float:
    return messages * FINISHED_BYTES / 1e9


def segment_kilobytes(messages: int, bytes_each: int, segments: int) -> int:
    """So that the log has about so many segments, but none larger than usual."""
    return max(64, min(131072, messages * bytes_each // segments // 1024))


def fill(cluster: Cluster, database: str, count: int, queue: str = "bench") -> None:
    """Sends so many messages, by several sessions and a thousand a transaction."""
    if count >= FILLERS * baton.CHUNK:
        share = -(-count // FILLERS)
        cluster.sql_at_once([baton.filled(share, queue)] * FILLERS, database)
    elif count > 0:
        cluster.sql(baton.filled(count, queue), database)


def depth(cluster: Cluster, database: str) -> int:
    """Messages in the queue that are not finished; -1: not known yet."""
    return int(cluster.value(baton.DEPTH, database))


def drain(cluster: Cluster, database: str, patience: int = 3) -> None:
    """Completes all there is; gives up if nothing moves any more."""
    left = depth(cluster, database)
    idle = 0
    while left != 0:
        outcome = pgbench.run(cluster, baton.FLOW_CONSUME, database,
                              max(1, min(20, left // 200_000)))
        before, left = left, depth(cluster, database)
        idle = idle + 1 if left == before else 0
        if outcome.error or idle == patience:
            raise SqlError(f"the queue isn't emptied: {outcome.error or f'{left} stay'}")
