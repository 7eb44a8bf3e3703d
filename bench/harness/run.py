"""What a scenario gets to work with, and the comparisons it hands back."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import pgqd, stats
from .cluster import Cluster
from .load import System
from .record import Recorder


@dataclass(frozen=True)
class Options:
    rounds: int
    seconds: float
    snapshot_seconds: float
    snapshot_control: bool
    samples: int
    kills: int
    scrapes: int
    messages: int
    lock_seconds: float
    soak_seconds: float


@dataclass(frozen=True)
class Target:
    """A line of the issue beside the figure measured for it."""
    scenario: str
    what: str
    target: str
    measured: str
    spread: str
    verdict: str


@dataclass
class Run:
    cluster: Cluster
    options: Options
    recorder: Recorder
    source: Path  # bench/, where the C clients' sources are
    sections: list[str] = field(default_factory=list)  # Markdown
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complaints: set[tuple[str, ...]] = field(default_factory=set)  # of baton.health
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Progress, on standard error: standard output is for the report."""
        print(f"[{time.monotonic() - self.began:6.0f} s] {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            self.say(f"note: {text}")
            self.recorder.write("note", text=text)

    def aim(self, target: Target) -> None:
        self.targets.append(target)
        self.recorder.write("target", target=target)

    def aim_count(self, scenario: str, what: str, count: int | None) -> None:
        """A figure that must be 0."""
        if count is None:
            verdict, measured = stats.NOT_RUN, "-"
        else:
            verdict, measured = stats.MISSED if count else stats.MET, str(count)
        self.aim(Target(scenario, what, "0", measured, "", verdict))

    def fail(self, scenario: str, why: str) -> None:
        """Something that should have been measured could not be."""
        self.say(f"{scenario} FAILED: {why}")
        self.aim(Target(scenario, why.splitlines()[0][:200], "", "-", "", stats.NOT_RUN))

    def need_disk(self, gigabytes: float) -> None:
        """Gives a scenario up, rather than filling the disk."""
        free = shutil.disk_usage(self.cluster.scratch).free / 1e9
        if free < gigabytes:
            raise OSError(f"needs {gigabytes:.0f} GB of disk, of which {free:.0f} GB are free")

    def usable(self, systems: Sequence[System]) -> list[System]:
        """Leaves out, with a note, what can't run here."""
        here = []
        for system in systems:
            why = system.missing(self.cluster.tools)
            if why:
                self.note(f"{system.label} is left out: {why}")
            else:
                here.append(system)
        return here

    @contextmanager
    def database(self, name: str, systems: Sequence[System],
                 where: Cluster | None = None) -> Iterator[str]:
        """A fresh database in which these systems are set up; dropped at the end."""
        cluster = where or self.cluster
        cluster.drop_database(name)
        cluster.create_database(name)
        for system in systems:
            if system.setup:
                cluster.sql(system.setup, name)
        try:
            with ExitStack() as stack:
                if any(system.daemon for system in systems):
                    stack.enter_context(pgqd.running(cluster, name))
                yield name
            self.note_health(name, cluster)
        finally:
            cluster.drop_database(name)

    def note_health(self, database: str, cluster: Cluster) -> None:
        """What Baton itself says is wrong."""
        if cluster.value("select count(*) from pg_extension where extname = 'baton'",
                         database) == "0":
            return
        for row in cluster.sql(
                "select item, coalesce(value, ''), coalesce(hint, '') "
                "from baton.health where not ok", database):
            if tuple(row) not in self.complaints:
                self.complaints.add(tuple(row))
                self.note(f"baton.health in {database}: " + ", ".join(row))
