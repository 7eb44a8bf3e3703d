"""The run as a page of Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from .cluster import Cluster, memory_bytes
from .load import PAYLOAD
from .run import Run

SHOWN = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers",
         "max_wal_size", "autovacuum_naptime", "autovacuum_vacuum_cost_delay",
         "baton.window_size")


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def revision(source: Path) -> str:
    """The checkout's commit, if there is one and git can say."""
    try:
        said = subprocess.run(["git", "-C", source, "describe", "--always", "--dirty"],
                              capture_output=True, text=True)
    except OSError:
        return ""
    return said.stdout.strip()


def environment(cluster: Cluster, source: Path) -> dict[str, object]:
    shown = {name: cluster.value(f"select coalesce(current_setting('{name}', true), '')")
             for name in SHOWN}
    for name in ("fsync", "synchronous_commit"):
        if shown[name] != "on":
            raise RuntimeError(f"{name} is {shown[name]}: such numbers are worth nothing")
    return {"cpus": os.cpu_count(), "cpu": cpu_model(), "memory_mb": memory_bytes() >> 20,
            "kernel": platform.release(), "revision": revision(source),
            "payload_bytes": len(PAYLOAD), "settings": shown}


def head(facts: dict[str, object], run: Run, quick: bool) -> list[str]:
    options = run.options
    settings = facts["settings"]
    assert isinstance(settings, dict)
    lines = ["# Baton's benchmark", ""]
    if quick:
        lines += ["**A quick run: it shows that the driver works; its numbers say nothing.**", ""]
    lines += [
        f"{facts['cpus']} CPUs ({facts['cpu']}), {facts['memory_mb']} MB, Linux "
        f"{facts['kernel']}, revision {facts['revision'] or 'unknown'}; payload "
        f"{facts['payload_bytes']} bytes; {options.rounds} rounds of {options.seconds:g} s, 8 "
        "clients unless said otherwise.",
        "Settings: " + ", ".join(f"{name} = {value}" for name, value in settings.items()
                                 if value) + ".", ""]
    return lines


def targets(run: Run) -> list[str]:
    lines = ["## Targets", "",
             "| scenario | figure | target | measured (quartiles) | A/A | verdict |",
             "|---|---|---|---|---|---|"]
    for each in run.targets:
        lines.append(f"| {each.scenario} | {each.what} | {each.target} | {each.measured} "
                     f"| {each.spread} | **{each.verdict}** |")
    return lines + [""]


def page(facts: dict[str, object], run: Run, quick: bool) -> str:
    lines = head(facts, run, quick)
    for section in run.sections:
        lines += [section]
    if run.notes:
        lines += ["## Notes", "", *(f"- {note}" for note in run.notes), ""]
    return "\n".join(lines + targets(run))
