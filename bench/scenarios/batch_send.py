"""Eight clients send a hundred messages a call."""

from harness.rounds import Comparison, compare
from harness.run import Run
from systems import bare, baton

COMPARISONS = [
    Comparison("baton_send_batch", "bare_insert_select", 1.0,
               "send_batch of 100 / INSERT ... SELECT, one index"),
]


def run(run: Run) -> None:
    systems = run.usable([bare.SYSTEM, baton.SYSTEM])
    loads = [each.loads["send_batch"] for each in systems]
    with run.database("bench_batch_send", systems) as database:
        compare(run, "batch_send", loads, COMPARISONS, database)
