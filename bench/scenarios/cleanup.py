"""What is left of the log's disk after millions of messages with retention '0'.

In the way are: a message of another queue that nobody takes, sent before all others; a sender's
transaction that stays open through the first half; and a reader with a lock on one segment.
Autovacuum is off. Most messages go a hundred a call, which takes the locks that a single call takes;
the server's log says who waited longer than 10 ms for one.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from dataclasses import dataclass, field

from harness import pgbench, stats
from harness.cluster import Cluster, Session
from harness.run import Run, Target
from systems import baton

from . import depths

DATABASE = "bench_cleanup"
SEGMENTS = 40  # about so many are filled
STEP_SECONDS = 5
SINGLE_RATE = 500  # messages a second that are sent one a call
PATIENCE = 180.0  # seconds for the keeper to come to its end
SETTINGS = {"autovacuum": "off", "log_lock_waits": "on", "deadlock_timeout": "10ms"}
SETUP = """
select baton.create_queue('bench', retention => '0');
select baton.create_queue('other');
select baton.send('other', :'payload');
"""
SINGLE_SEND = dataclasses.replace(baton.SEND, clients=2)
CONSUME = dataclasses.replace(baton.FLOW_CONSUME, clients=4)
SURVIVOR_BYTES = """
select coalesce(sum(pg_total_relation_size(format('baton.%s_log_%s', kind, number)::regclass)), 0)
from baton.segment, unnest(array['message', 'event']) as kind
where survivors and state <> 'free'
"""
SEGMENT_STATES = """
select state, count(*), sum(pg_total_relation_size(format('baton.message_log_%s', number)::regclass)
    + pg_total_relation_size(format('baton.event_log_%s', number)::regclass))
from baton.segment group by state order by state
"""
WAITED = re.compile(r"client backend pgbench .*still waiting for (.*?) after")
WAITS_KEPT = 100  # lines of the log, as data
LOCKED = re.compile(r"(\w+) on (\w+)(?: of relation)? (\d+)")


@dataclass
class Course:
    segment_bytes: int = 0
    sent: int = 0
    seconds: float = 0.0
    rotations: int = 0
    while_sender_open: int = 0  # rotations
    most_bytes: int = 0
    bytes_each: list[int] = field(default_factory=list)  # of the log, step by step
    settled_s: float = float("nan")  # until the log was small enough by itself
    end_bytes: int = 0
    survivor_bytes: int = 0
    cleanup_s: float = 0.0
    cleanup_report: list[str] = field(default_factory=list)
    after_cleanup_bytes: int = 0
    survivor_there: bool = False
    waited: dict[str, int] = field(default_factory=dict)  # how often, by kind of lock


class Obstacles:
    """The open sender and the reader; each begins when there has been a rotation or two."""

    def __init__(self, run: Run):
        self.cluster = run.cluster
        self.lock_seconds = run.options.lock_seconds
        self.sender: Session | None = None
        self.reader: Session | None = None
        self.sender_since = 0  # rotations
        self.reader_until = 0.0

    def begin(self, number: str, rotations: int) -> None:
        """number: of the segment that is open."""
        if self.sender is None and rotations >= 1:
            self.sender = self.cluster.session(DATABASE)
            self.sender.run("begin;\nselect baton.send('bench', :'payload');")
            self.sender_since = rotations
        if self.reader is None and rotations >= 2:
            self.reader = self.cluster.session(DATABASE)
            self.reader.run(f"begin;\nselect count(*) from baton.message_log_{number};")
            self.reader_until = time.monotonic() + self.lock_seconds

    def end_sender(self) -> bool:
        """Whether it was still open."""
        if self.sender is None or self.sender.process.poll() is not None:
            return False
        self.sender.run("commit;")
        self.sender.close()
        return True

    def end_reader(self) -> None:
        if self.reader is not None:
            time.sleep(max(0.0, self.reader_until - time.monotonic()))
            self.reader.run("commit;")
            self.reader.close()

    def reader_is_over(self) -> bool:
        return self.reader is not None and time.monotonic() >= self.reader_until


def number_of(cluster: Cluster, sql: str) -> int:
    return int(cluster.value(sql, DATABASE))


def one_step(run: Run, course: Course, obstacles: Obstacles, opened: set[str]) -> None:
    """A few seconds of senders and consumers; meanwhile rotations are counted."""
    started = [pgbench.start(run.cluster, baton.FLOW_SEND, DATABASE, STEP_SECONDS),
               pgbench.start(run.cluster, SINGLE_SEND, DATABASE, STEP_SECONDS, SINGLE_RATE),
               pgbench.start(run.cluster, CONSUME, DATABASE, STEP_SECONDS)]
    until = time.monotonic() + STEP_SECONDS
    session = run.cluster.session(DATABASE)
    try:
        while time.monotonic() < until:
            for first_id, number in (line.split("\t") for line in session.run(baton.OPEN_SEGMENT)):
                opened.add(first_id)
                course.rotations = len(opened) - 1
                obstacles.begin(number, course.rotations)
            time.sleep(0.2)
    finally:
        session.close()
    for outcome in [pgbench.finish(each, STEP_SECONDS) for each in started]:
        if outcome.error:
            run.note(f"cleanup: a client failed: {outcome.error}")


def traffic(run: Run, course: Course, obstacles: Obstacles) -> None:
    """Steps until so many messages have been sent and the reader's time is over."""
    opened: set[str] = set()
    began = time.monotonic()
    while course.sent < run.options.messages or not obstacles.reader_is_over():
        one_step(run, course, obstacles, opened)
        course.sent = number_of(run.cluster, "select sent from baton.queue where name = 'bench'")
        course.bytes_each.append(number_of(run.cluster, baton.LOG_BYTES))
        if course.sent >= run.options.messages / 2 and obstacles.end_sender():
            course.while_sender_open = course.rotations - obstacles.sender_since
        run.say(f"cleanup: {course.sent} sent, {course.rotations} rotations, log "
                f"{course.bytes_each[-1] / 1e6:.0f} MB")
        if time.monotonic() - began > 60 + run.options.lock_seconds + run.options.messages / 1000:
            raise ValueError(f"only {course.sent} messages in {time.monotonic() - began:.0f} s, "
                             f"{course.rotations} rotations seen")
    course.seconds = time.monotonic() - began
    obstacles.end_sender()
    depths.drain(run.cluster, DATABASE)
    obstacles.end_reader()


def limit(course: Course) -> int:
    return 2 * course.segment_bytes + course.survivor_bytes


def settle(run: Run, course: Course) -> None:
    """Gives the keeper its time, then calls cleanup_queue()."""
    began = time.monotonic()
    while True:
        course.survivor_bytes = number_of(run.cluster, SURVIVOR_BYTES)
        course.end_bytes = number_of(run.cluster, baton.LOG_BYTES)
        passed = time.monotonic() - began
        if course.end_bytes <= limit(course):
            course.settled_s = passed
            break
        if passed > PATIENCE:
            break
        time.sleep(0.5)
    run.recorder.write("segments", scenario="cleanup", when="before cleanup_queue",
                       states=run.cluster.sql(SEGMENT_STATES, DATABASE))
    began = time.monotonic()
    course.cleanup_report = run.cluster.sql("call baton.cleanup_queue()", DATABASE)[0]
    course.cleanup_s = time.monotonic() - began
    course.after_cleanup_bytes = number_of(run.cluster, baton.LOG_BYTES)
    run.recorder.write("segments", scenario="cleanup", when="after cleanup_queue",
                       states=run.cluster.sql(SEGMENT_STATES, DATABASE))


def waits_in(text: str, names: dict[str, str]) -> dict[str, int]:
    """What producers and consumers waited for, how often: lock, and kind of relation by name."""
    kinds: Counter[str] = Counter()
    for what in WAITED.findall(text):
        found = LOCKED.match(what)
        kinds[f"{found[1]} on {found[2]} {names.get(found[3], '')}" if found else what] += 1
    return dict(kinds)


def read_waits(run: Run, course: Course, log_before: int) -> None:
    with open(run.cluster.log, encoding="utf-8", errors="replace") as log:
        log.seek(log_before)
        text = log.read()
    names = {oid: name for oid, name in run.cluster.sql(
        "select oid, regexp_replace(relname, '[0-9]+', 'N', 'g') from pg_class", DATABASE)}
    course.waited = waits_in(text, names)
    if course.waited:
        run.recorder.write("waits", scenario="cleanup", log=[
            line for line in text.splitlines()
            if "pgbench" in line and ("waiting for" in line or "DETAIL" in line)][:WAITS_KEPT])


def section(run: Run, course: Course) -> str:
    report = course.cleanup_report
    return "\n".join([
        "## cleanup", "",
        f"{course.sent} messages in {course.seconds:.0f} s, segments of "
        f"{course.segment_bytes / 1e6:.1f} MB, at least {course.rotations} rotations, of which "
        f"{course.while_sender_open} while a sender's transaction was open; reader's lock held "
        f"{run.options.lock_seconds:g} s.", "", "| log | MB |", "|---|---:|",
        f"| at most, looked at between steps | {course.most_bytes / 1e6:.1f} |",
        f"| at the end, by itself | {course.end_bytes / 1e6:.1f} |",
        f"| of it the segment of survivors | {course.survivor_bytes / 1e6:.1f} |",
        f"| after cleanup_queue() | {course.after_cleanup_bytes / 1e6:.1f} |", "",
        f"`CALL baton.cleanup_queue()` took {course.cleanup_s:.2f} s and said: segments_emptied "
        f"{report[0]}, messages_removed {report[1]}, messages_moved {report[2]}, bytes_freed "
        f"{report[3]}, segments_kept {report[4]}.", ""])


def aim(run: Run, course: Course) -> None:
    took = "" if course.settled_s != course.settled_s else f", after {course.settled_s:.0f} s"
    run.aim(Target("cleanup", "log's disk at the end, two segments and the survivors', "
                   "without VACUUM and cleanup_queue()", f"≤ {limit(course) / 1e6:.1f} MB",
                   f"{course.end_bytes / 1e6:.1f} MB{took}", "",
                   stats.at_most(course.end_bytes, limit(course), 0.0)))
    run.aim(Target("cleanup", "the same after cleanup_queue()", f"≤ {limit(course) / 1e6:.1f} MB",
                   f"{course.after_cleanup_bytes / 1e6:.1f} MB", "",
                   stats.at_most(course.after_cleanup_bytes, limit(course), 0.0)))
    run.aim_count("cleanup", "waits for a lock over 10 ms of producers and consumers",
                  sum(course.waited.values()))
    for kind, count in course.waited.items():
        run.note(f"cleanup: waited over 10 ms for {kind}: {count} times")
    run.aim_count("cleanup", "survivors lost", 0 if course.survivor_there else 1)


def one_course(run: Run) -> Course:
    course = Course(segment_bytes=1024 * depths.segment_kilobytes(
        run.options.messages, depths.FINISHED_BYTES, SEGMENTS))
    log_before = run.cluster.log.stat().st_size
    obstacles = Obstacles(run)
    size = {"baton.segment_size": f"{course.segment_bytes // 1024}kB"}
    with (run.cluster.altered(SETTINGS | size), run.database(DATABASE, [baton.SYSTEM])):
        run.cluster.sql(SETUP, DATABASE)
        traffic(run, course, obstacles)
        course.most_bytes = max(course.bytes_each)
        settle(run, course)
        course.survivor_there = run.cluster.value(
            "select count(*) from baton.receive('other')", DATABASE) == "1"
        read_waits(run, course, log_before)
    return course


def run(run: Run) -> None:
    run.need_disk(depths.log_gigabytes(run.options.messages) + depths.WAL_GB)
    course = one_course(run)
    run.recorder.write("course", scenario="cleanup", course=course)
    run.sections.append(section(run, course))
    aim(run, course)
