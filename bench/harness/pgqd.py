"""PgQ's ticker daemon, for one database, for as long as that database is used."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from .cluster import PORT, Cluster


@contextmanager
def running(cluster: Cluster, database: str) -> Iterator[None]:
    base = cluster.scratch / f"pgqd-{database}"
    config = base.with_suffix(".ini")
    config.write_text(f"""[pgqd]
logfile = {cluster.scratch}/pgqd.log
pidfile = {cluster.socket}/{base.name}.pid
base_connstr = host={cluster.socket} port={PORT} user=postgres
database_list = {database}
""")
    config.chmod(0o644)
    daemon = cluster.popen([shutil.which("pgqd"), "-q", config], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(timeout=10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
