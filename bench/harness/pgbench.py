"""Runs pgbench and reads what it says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .cluster import Cluster
from .load import VARIABLES, Load

THREADS = 2
DRY_SIGNS = ("expected one row, got 0", "division by zero", "expected at least one row")


@dataclass(frozen=True)
class Outcome:
    transactions: int
    rate: float  # transactions a second, connecting not counted
    latency_ms: float
    error: str  # empty: all went well


def script_file(cluster: Cluster, load: Load) -> Path:
    path = cluster.scratch / f"{load.key}.pgbench"
    if not path.exists():
        path.write_text(load.script)
        path.chmod(0o644)
    return path


def command(cluster: Cluster, load: Load, database: str, seconds: float,
            offered: float | None, more: Sequence[object]) -> list[object]:
    words: list[object] = [
        cluster.tools.pgbench, "-n", "-M", "prepared", "-c", load.clients,
        "-j", min(THREADS, load.clients), "-T", max(1, round(seconds)),
        "-f", script_file(cluster, load), *more]
    if offered is not None:
        words += ["-R", offered]
    for name, value in VARIABLES.items():
        words += ["-D", f"{name}={value}"]
    return [*words, database]


def start(cluster: Cluster, load: Load, database: str, seconds: float,
          offered: float | None = None,
          more: Sequence[object] = ()) -> subprocess.Popen[str]:
    return cluster.popen(command(cluster, load, database, seconds, offered, more),
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found.group(1)) if found else 0.0


def error_in(returncode: int, complaint: str) -> str:
    if any(sign in complaint for sign in DRY_SIGNS):
        return "ran dry"
    if returncode != 0 or "aborted" in complaint:
        lines = [line for line in complaint.splitlines() if line.strip()]
        return " | ".join(lines[:2])[:400] or f"pgbench ended with {returncode}"
    return ""


def finish(process: subprocess.Popen[str], seconds: float) -> Outcome:
    """Waits for a pgbench that start() began; kills it if it hangs."""
    try:
        out, err = process.communicate(timeout=seconds + 60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Outcome(0, 0.0, 0.0, "pgbench hung and was killed")
    return Outcome(
        int(number(r"transactions actually processed: (\d+)", out)),
        number(r"tps = ([\d.]+) \(without initial", out),
        number(r"latency average = ([\d.]+) ms", out),
        error_in(process.returncode, err))


def run(cluster: Cluster, load: Load, database: str, seconds: float,
        offered: float | None = None) -> Outcome:
    return finish(start(cluster, load, database, seconds, offered), seconds)
