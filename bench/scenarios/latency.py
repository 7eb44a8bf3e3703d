"""From the start of send to the row in a consumer that was waiting, beside a bare commit."""

from __future__ import annotations

from harness import clients, stats
from harness.clients import ClientError
from harness.run import Run, Target
from systems import baton

PAUSE_US = 2000
SETUP = """
create table bare (payload jsonb not null) with (autovacuum_enabled = off);
create table notified_jobs (
    id bigint generated always as identity primary key,
    payload jsonb not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
select baton.create_queue('latency_wait');
select baton.create_queue('latency_receive_wait');
checkpoint;
"""
LABELS = {
    "bare": "bare commit (INSERT)",
    "wait": "Baton: wait, then receive",
    "receive_wait": "Baton: receive_wait",
    "notify": "INSERT + NOTIFY, LISTEN + SKIP LOCKED DELETE",
}
LIMITS = ((0.5, "median", 0.3), (0.99, "p99", 1.0))  # fraction, its name, ms over a bare commit

Samples = dict[str, list[float]]  # milliseconds by name


def collect(run: Run, database: str) -> tuple[Samples, dict[str, tuple[int, int]]]:
    """Samples by way, and (looks, pinned) by way that waits."""
    samples: Samples = {}
    pinned: dict[str, tuple[int, int]] = {}
    count = run.options.samples
    for words in clients.run(run.cluster, run.source, "latency", database,
                             [count, PAUSE_US], timeout=120 + count * 0.5):
        if words[0] == "xmin":
            pinned[words[1]] = (int(words[2]), int(words[3]))
        else:
            samples.setdefault(words[0], []).append(int(words[1]) / 1e6)
    return samples, pinned


def noise(samples: Samples, fraction: float) -> float:
    """How far the two series of bare commits lie apart."""
    return abs(stats.quantile(samples["bare_a"], fraction)
               - stats.quantile(samples["bare_b"], fraction))


def aim(run: Run, samples: Samples, pinned: dict[str, tuple[int, int]]) -> None:
    for way in ("wait", "receive_wait"):
        for fraction, name, limit in LIMITS:
            bare = stats.quantile(samples["bare"], fraction)
            figure = stats.quantile(samples[way], fraction)
            spread = noise(samples, fraction)
            run.aim(Target(
                "latency", f"{LABELS[way]}: {name} over that of a bare commit",
                f"≤ {limit:g} ms", f"{figure - bare:+.3f} ms ({figure:.3f} - {bare:.3f})",
                f"± {spread:.3f} ms", stats.at_most(figure - bare, limit, spread)))
        looks, count = pinned[way]
        run.aim_count("latency", f"{LABELS[way]}: times of {looks} that the waiter had an xmin",
                      count if looks else None)


def section(samples: Samples) -> str:
    lines = ["## latency", "", "| milliseconds | p50 | p90 | p99 | max | samples |",
             "|---|---:|---:|---:|---:|---:|"]
    for name, label in LABELS.items():
        cells = [f"{stats.quantile(samples[name], fraction):.3f}"
                 for fraction in (0.5, 0.9, 0.99, 1.0)]
        lines.append(f"| {label} | {' | '.join(cells)} | {len(samples[name])} |")
    lines += ["", f"Two series of bare commits: p50 differs by {noise(samples, 0.5):.3f} ms, "
                  f"p99 by {noise(samples, 0.99):.3f} ms."]
    return "\n".join(lines) + "\n"


def run(run: Run) -> None:
    with run.database("bench_latency", [baton.SYSTEM]) as database:
        run.cluster.sql(SETUP, database)
        try:
            samples, pinned = collect(run, database)
        except ClientError as error:
            run.fail("latency", str(error))
            return
    for name, values in samples.items():
        run.recorder.write("latency", way=name, milliseconds=values)
    samples["bare"] = samples["bare_a"] + samples["bare_b"]
    run.sections.append(section(samples))
    run.say("latency: measured")
    aim(run, samples, pinned)
