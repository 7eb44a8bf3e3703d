"""What pgbench writes with -l: each transaction."""

from __future__ import annotations

from collections.abc import Iterator

from .cluster import Cluster


def every_transaction(name: str) -> list[object]:
    return ["-l", "--log-prefix", name]


def lines(cluster: Cluster, name: str) -> Iterator[list[str]]:
    """Each line's words; the files, one a thread, are gone afterwards."""
    for path in cluster.scratch.glob(f"{name}.*"):
        for line in path.read_text().splitlines():
            yield line.split()
        path.unlink()


def latencies(cluster: Cluster, name: str, skip: float) -> list[float]:
    """Milliseconds, without what ended in the first seconds. With -R they count from when the
    transaction was due, so waiting for one before it is in them."""
    ended = [(int(words[4]) + int(words[5]) / 1e6, int(words[2]) / 1e3)
             for words in lines(cluster, name) if words[2].isdigit()]
    first = min((at for at, _ in ended), default=0.0)
    return [milliseconds for at, milliseconds in ended if at >= first + skip]
