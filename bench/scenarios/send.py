"""Eight clients send, one message a call and a transaction."""

from harness.rounds import Comparison, compare
from harness.run import Run
from systems import bare, baton, lecture, pgq, skip_locked

COMPARISONS = [
    Comparison("baton_send", "bare_insert", 0.90, "send / bare INSERT"),
    Comparison("lecture_send", "bare_insert"),
    Comparison("skip_locked_send", "bare_insert"),
    Comparison("pgq_send", "bare_insert"),
]


def run(run: Run) -> None:
    systems = run.usable([bare.SYSTEM, baton.SYSTEM, lecture.SYSTEM, skip_locked.SYSTEM,
                          pgq.SYSTEM])
    with run.database("bench_send", systems) as database:
        compare(run, "send", [each.loads["send"] for each in systems], COMPARISONS, database)
