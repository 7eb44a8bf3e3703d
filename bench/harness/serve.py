"""The program's HTTP server over the bench's cluster, and what it costs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import clients, cpu
from .cluster import Cluster


class ServeError(Exception):
    """It didn't start, or something it needs is missing."""


@dataclass(frozen=True)
class Serving:
    process: subprocess.Popen[str]
    url: str
    host: str
    port: int

    def cpu_seconds(self, cluster: Cluster) -> float:
        """Of the program and of the server's processes that it talks to."""
        fields = cpu.stat_fields(self.process.pid)
        if fields is None:
            raise ServeError("the HTTP server is gone")
        own = sum(int(field) for field in fields[11:13]) / cpu.TICK
        return own + sum(cpu.sample(cluster.postmaster()).standing.values())

    def rss_mib(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise ServeError("the HTTP server is gone")


def program(cluster: Cluster, source: Path) -> Path:
    """A copy that the ordinary user may run."""
    built = source.parent / "program" / "baton"
    if not built.exists():
        raise ServeError(f"{built} is not built: make program")
    copy = cluster.scratch / "baton"
    if not copy.exists():
        shutil.copy(built, copy)
        copy.chmod(0o755)
    return copy


@contextmanager
def running(cluster: Cluster, source: Path, database: str) -> Iterator[Serving]:
    process = cluster.popen(
        [program(cluster, source), "serve", "-q", "-d", clients.conninfo(cluster, database),
         "--listen", "127.0.0.1:0", "--local-user"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    if not url:
        raise ServeError(process.communicate()[1][:400])
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        yield Serving(process, url, host, int(port))
    finally:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def raise_file_limit(wanted: int) -> bool:
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted) if enough else hard, hard))
    return enough


def missing() -> str:
    if shutil.which("wrk") is None:
        return "wrk is not installed (package wrk)"
    if os.environ.get("http_proxy"):
        return "http_proxy is set"
    return ""
