"""Eight clients complete a hundred messages with their results and take the next hundred."""

from harness.rounds import Comparison, compare
from harness.run import Run
from systems import baton, skip_locked

COMPARISONS = [
    Comparison("baton_loop_100", "skip_locked_update_100", 3.0,
               "complete 100 + receive 100 / SKIP LOCKED UPDATE"),
    Comparison("baton_loop_100", "skip_locked_delete_100", 1.0,
               "complete 100 + receive 100 / SKIP LOCKED DELETE"),
]


def run(run: Run) -> None:
    systems = run.usable([baton.SYSTEM, skip_locked.SYSTEM])
    loads = [baton.LOOP_HUNDRED, skip_locked.UPDATE_HUNDRED, skip_locked.DELETE_HUNDRED]
    with run.database("bench_batch_consume", systems) as database:
        compare(run, "batch_consume", loads, COMPARISONS, database)
