"""Eight clients consume a backlog as fast as they can, one message a call."""

from harness.rounds import Comparison, compare
from harness.run import Run
from systems import bare, baton, lecture, pgq, skip_locked

COMPARISONS = [
    Comparison("baton_loop", "bare_insert", 0.85, "complete_and_receive / bare INSERT"),
    Comparison("baton_two_calls", "bare_insert", 0.65, "receive + complete / bare INSERT"),
    Comparison("baton_loop", "skip_locked_update", 2.0,
               "complete_and_receive / SKIP LOCKED UPDATE"),
    Comparison("baton_two_calls", "skip_locked_update", 2.0,
               "receive + complete / SKIP LOCKED UPDATE"),
    Comparison("skip_locked_update", "bare_insert"),
    Comparison("skip_locked_delete", "bare_insert"),
    Comparison("lecture_consume", "bare_insert"),
    Comparison("pgq_consume", "bare_insert"),
]


def run(run: Run) -> None:
    systems = run.usable([bare.SYSTEM, baton.SYSTEM, skip_locked.SYSTEM, lecture.SYSTEM,
                          pgq.SYSTEM])
    loads = [bare.ONE]
    for system in systems:
        for name in ("consume", "consume_two_calls", "consume_delete"):
            if name in system.loads:
                loads.append(system.loads[name])
    with run.database("bench_consume", systems) as database:
        compare(run, "consume", loads, COMPARISONS, database)
