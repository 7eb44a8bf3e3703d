"""CPU time of the server's processes, from /proc."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuSample:
    total: float  # seconds, of all server processes that are or were there
    standing: dict[int, float]  # seconds by process, of those that are there now
    clients: int  # client backends that are there now


@dataclass(frozen=True)
class CpuUsed:
    backends: float  # seconds: client backends and autovacuum workers
    standing: float  # seconds: processes there before and after (WAL writer, keeper, ...)


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat after the command's name; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def is_alive(pid: int) -> bool:
    fields = stat_fields(pid)
    return fields is not None and fields[0] != "Z"


def children(postmaster: int) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = stat_fields(int(entry.name))
            if fields is not None and int(fields[1]) == postmaster:
                found.append(int(entry.name))
    return found


def is_client(pid: int) -> bool:
    try:
        return b"[local]" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def own_seconds(postmaster: int) -> float:
    """Of the postmaster, and of its children that ended (cutime, cstime)."""
    own = stat_fields(postmaster)
    if own is None:
        raise ProcessLookupError(f"postmaster {postmaster} is gone")
    return sum(int(field) for field in own[11:15]) / TICK


def sample(postmaster: int) -> CpuSample:
    """Looks again if a child ended meanwhile: it might be counted twice, or not at all."""
    for _ in range(50):
        total = own_seconds(postmaster)
        now = scan(postmaster, total)
        if own_seconds(postmaster) == total:
            break
    return now


def scan(postmaster: int, total: float) -> CpuSample:
    standing: dict[int, float] = {}
    clients = 0
    for pid in children(postmaster):
        fields = stat_fields(pid)
        if fields is None:
            continue
        standing[pid] = sum(int(field) for field in fields[11:15]) / TICK
        clients += is_client(pid)
    return CpuSample(total + sum(standing.values()), standing, clients)


def sample_settled(postmaster: int, clients: int, seconds: float = 3.0) -> CpuSample:
    """Waits until no more than so many client backends are left, so that each is accounted."""
    deadline = time.monotonic() + seconds
    while True:
        now = sample(postmaster)
        if now.clients <= clients or time.monotonic() > deadline:
            return now
        time.sleep(0.01)


def used(before: CpuSample, after: CpuSample) -> CpuUsed:
    standing = sum(after.standing[pid] - seconds
                   for pid, seconds in before.standing.items() if pid in after.standing)
    return CpuUsed(after.total - before.total - standing, standing)


def wait_quiet(postmaster: int, seconds: float) -> bool:
    """Until the server does next to nothing (under 5 % of one CPU), or the time is up."""
    deadline = time.monotonic() + seconds
    last = sample(postmaster)
    while time.monotonic() < deadline:
        time.sleep(0.4)
        now = sample(postmaster)
        if now.total - last.total < 0.02:
            return True
        last = now
    return False
