"""Compiles the C clients into the scratch directory and runs them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .cluster import PORT, Cluster


class ClientError(Exception):
    """A C client didn't compile or gave up; the text says why."""


def build(cluster: Cluster, source: Path, name: str) -> Path:
    program = cluster.scratch / name
    if program.exists():
        return program
    command = [cluster.tools.cc, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", str(program),
               str(source / f"{name}.c"), str(source / "client.c"), *cluster.tools.libpq_flags]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        raise ClientError(f"{name}.c: {made.stderr[:2000]}")
    program.chmod(0o755)
    return program


def conninfo(cluster: Cluster, database: str) -> str:
    return f"host={cluster.socket} port={PORT} user=postgres dbname={database}"


def run(cluster: Cluster, source: Path, name: str, database: str, arguments: list[object],
        timeout: float) -> list[list[str]]:
    """The client's lines, split into words."""
    program = build(cluster, source, name)
    try:
        done = cluster.call([program, conninfo(cluster, database), *arguments], timeout)
    except subprocess.TimeoutExpired as error:
        raise ClientError(f"{name} took more than {timeout:.0f} s") from error
    if done.returncode != 0:
        raise ClientError(f"{name}: {done.stderr.strip()[:400]}")
    return [line.split() for line in done.stdout.splitlines()]
