"""What Prometheus asks for every few seconds: GET /metrics of a server with a thousand queues."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from harness import clients, stats
from harness.run import Run, Target
from systems import baton

QUEUES = 1000
MESSAGES = 100  # in each
LIMIT_MS = 50.0
START_SECONDS = 30
SETUP = f"""
select count(baton.create_queue('scrape_' || n)) from generate_series(1, {QUEUES}) n;
select count(*) from generate_series(1, {QUEUES}) n,
    baton.send_batch('scrape_' || n, array_fill(:'payload'::jsonb, array[{MESSAGES}]));
vacuum analyze;
checkpoint;
"""
SCANS = ("select coalesce(sum(seq_scan), 0) + coalesce(sum(idx_scan), 0) "
         f"from pg_stat_user_tables where {baton.SYSTEM.log_tables}")


@contextmanager
def served(run: Run, database: str) -> Iterator[http.client.HTTPConnection]:
    """A keep-alive connection to `baton serve`."""
    program = run.cluster.scratch / "baton"
    shutil.copy(run.source.parent / "program" / "baton", program)
    process = run.cluster.popen(
        [program, "serve", "-d", clients.conninfo(run.cluster, database),
         "--listen", "127.0.0.1:0", "--local-user"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        words = process.stdout.readline().split()
        if not words:
            raise ValueError(f"baton serve ended with {process.wait(START_SECONDS)}")
        where = urlsplit(words[-1])
        yield http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def scrape(connection: http.client.HTTPConnection) -> tuple[float, int]:
    """Milliseconds to the last byte, and how many samples there were."""
    began = time.perf_counter()
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    text = answer.read()
    took = (time.perf_counter() - began) * 1000
    if answer.status != 200:
        raise ValueError(f"GET /metrics: {answer.status} {text[:200]!r}")
    return took, sum(1 for line in text.splitlines() if not line.startswith(b"#"))


def section(times: list[float], samples: int) -> str:
    cells = " | ".join(f"{stats.quantile(times, fraction):.1f}" for fraction in (0.5, 0.9, 0.99, 1.0))
    return (f"## scrape\n\nGET /metrics, {QUEUES} queues with {MESSAGES} messages each, "
            f"{samples} samples.\n\n| milliseconds | p50 | p90 | p99 | max | scrapes |\n"
            f"|---|---:|---:|---:|---:|---:|\n| scrape | {cells} | {len(times)} |\n")


def run(run: Run) -> None:
    with run.database("bench_scrape", [baton.SYSTEM]) as database:
        run.cluster.sql(SETUP, database)
        before = run.cluster.value(SCANS, database)
        with served(run, database) as connection:
            scrape(connection)  # which fills the session's caches, as once in its life
            results = [scrape(connection) for _ in range(run.options.scrapes)]
        scans = int(run.cluster.value(SCANS, database)) - int(before)
    times = [took for took, _ in results]
    run.recorder.write("scrape", queues=QUEUES, milliseconds=times)
    run.sections.append(section(times, results[-1][1]))
    for fraction, name in ((0.5, "median"), (0.99, "p99")):
        figure = stats.quantile(times, fraction)
        run.aim(Target("scrape", f"GET /metrics with {QUEUES} queues: {name}",
                       f"< {LIMIT_MS:g} ms", f"{figure:.1f} ms", "",
                       stats.at_most(figure, LIMIT_MS, 0.0)))
    run.aim_count("scrape", "scans of the log's tables", scans)
