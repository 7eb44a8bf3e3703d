"""How long single calls take while segments are rotated, emptied and compacted.

Senders and consumers work at a given rate, open loop: a call's time counts from when it was due.
Each slice has a fresh database. "calm" has one segment that nothing is done to; "rotating" has
small ones, retention '0', and messages that nobody takes in each. Compaction waits a minute after a
segment's end, so a slice counts only what comes after that: from then on a segment is
begun, one is emptied and one is compacted every few seconds. The calm ones run on for as long before
they count, or they would be on better terms: after a minute without rotation p99 is a fifth higher, too.

autovacuum_naptime is PostgreSQL's default here. With the second that the other scenarios give to
queues that need VACUUM, a worker is started each second, at both places: 6 ms of CPU in one go,
so nearly one call in a hundred has been slow before anything rotates.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field

from harness import cpu, pgbench, pglog, stats
from harness.load import Load
from harness.rounds import order, show_ratio, show_same
from harness.run import Run, Target
from systems import baton

DATABASE = "bench_rotation"
RATE = 1000  # messages a second, sent and consumed
SURVIVORS = 5  # messages a second to the queue that nobody reads
LONGER = 4  # a slice is so many usual ones: p99.9 wants many calls
LOOK_EVERY = 0.5
BACKLOG = 2000
RATIO_LIMIT = 1.5
SETUP = """
select baton.create_queue('bench', retention => '0');
select baton.create_queue('other');
"""
NAPTIME = {"autovacuum_naptime": "1min"}
CALM = {"baton.segment_size": "64GB"} | NAPTIME
SMALL = {"baton.segment_size": "512kB"} | NAPTIME
LEAD = 66.0  # seconds at the start that don't count
PLACES = (("calm", CALM), ("calm again", CALM), ("rotating", SMALL))
# messages that compaction has brought together
MOVED = """
select coalesce(sum((xpath('//count/text()', query_to_xml(
        format('select count(*) from baton.message_log_%s', number), false, true, '')))[1]::text::bigint), 0)
    from baton.segment where survivors;
""".replace("\n", " ")
SIDES = ("send", "consume")
FIGURES = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))

PRODUCE = dataclasses.replace(baton.SEND, clients=4)
CONSUME = dataclasses.replace(baton.LOOP, clients=4)
SURVIVE = Load(key="baton_survive", label="Baton: send to a queue that nobody reads",
               script="select baton.send('other', :payload::jsonb);\n", clients=1)


@dataclass
class Done:
    """One slice."""
    place: str
    quantiles: dict[str, dict[str, float]] = field(default_factory=dict)  # side: name: ms
    calls: dict[str, int] = field(default_factory=dict)
    rotations: int = 0  # these two while calls counted
    moved: int = 0
    error: str = ""


@dataclass
class Rounds:
    done: dict[str, list[Done]] = field(default_factory=dict)

    def values(self, place: str, side: str, name: str) -> list[float]:
        return [each.quantiles[side][name] for each in self.done[place] if not each.error]

    def ratio(self, place: str, side: str, name: str) -> stats.Summary:
        pairs = zip(self.done[place], self.done["calm"])
        return stats.summarize([mine.quantiles[side][name] / calm.quantiles[side][name]
                                for mine, calm in pairs if not mine.error and not calm.error])


def watch(run: Run, done: Done, seconds: float) -> None:
    """Counts rotations and messages moved while the clients work, after the lead."""
    opened: set[str] = set()
    time.sleep(LEAD)
    until = time.monotonic() + seconds
    session = run.cluster.session(DATABASE)
    try:
        before = int(session.run(MOVED)[0])
        while time.monotonic() < until:
            opened.update(session.run(baton.OPEN_SEGMENT))
            time.sleep(LOOK_EVERY)
        done.moved = int(session.run(MOVED)[0]) - before
    finally:
        session.close()
    done.rotations = len(opened) - 1


def work(run: Run, done: Done) -> None:
    seconds = LONGER * run.options.seconds
    loads = {"send": (PRODUCE, RATE), "consume": (CONSUME, RATE), "survive": (SURVIVE, SURVIVORS)}
    started = {name: pgbench.start(run.cluster, load, DATABASE, LEAD + seconds, rate,
                                   pglog.every_transaction(f"rotation-{name}"))
               for name, (load, rate) in loads.items()}
    watch(run, done, seconds)
    for name, process in started.items():
        outcome = pgbench.finish(process, seconds)
        done.error = done.error or outcome.error
    for name in loads:
        taken = pglog.latencies(run.cluster, f"rotation-{name}", LEAD)
        done.calls[name] = len(taken)
        done.quantiles[name] = {label: stats.quantile(taken, fraction)
                                for fraction, label in FIGURES}


def one_slice(run: Run, place: str, settings: dict[str, str]) -> Done:
    done = Done(place)
    with (run.cluster.altered(settings), run.database(DATABASE, [baton.SYSTEM])):
        run.cluster.sql(SETUP + baton.filled(BACKLOG) + "checkpoint;", DATABASE)
        cpu.wait_quiet(run.cluster.postmaster(), 10)
        work(run, done)
    if settings is SMALL and done.moved == 0:
        done.error = done.error or "nothing was compacted"
    return done


def play(run: Run) -> Rounds:
    rounds = Rounds({place: [] for place, _ in PLACES})
    for round_number in range(run.options.rounds):
        for number in order(len(PLACES), round_number):
            done = one_slice(run, *PLACES[number])
            rounds.done[done.place].append(done)
            run.recorder.write("slice", scenario="rotation", round=round_number, slice=done)
            run.say(f"rotation round {round_number + 1}: {done.place}: " + (
                done.error or f"p99 send {done.quantiles['send']['p99']:.2f} ms, consume "
                f"{done.quantiles['consume']['p99']:.2f} ms, {done.rotations} rotations, "
                f"{done.moved} moved"))
    return rounds


def aim(run: Run, rounds: Rounds) -> None:
    for side in SIDES:
        same = rounds.ratio("calm again", side, "p99")
        ratio = rounds.ratio("rotating", side, "p99")
        run.recorder.write("ratio", scenario="rotation", side=side, figure="p99", ratio=ratio,
                           same=same)
        run.aim(Target("rotation", f"p99 of {side}, rotating / calm", f"≤ {RATIO_LIMIT:g}",
                       show_ratio(ratio), show_same(same),
                       stats.at_most(ratio.median, RATIO_LIMIT,
                                     same.spread if same.count else 0.0)))


def total(rounds: Rounds, place: str, what: str) -> str:
    return f"{stats.quantile([getattr(each, what) for each in rounds.done[place]], 0.5):.0f}"


def section(run: Run, rounds: Rounds) -> str:
    names = [name for _, name in FIGURES]
    lines = ["## rotation", "",
             f"{RATE} messages/s sent and {RATE}/s consumed, one a call, {run.options.rounds} "
             f"rounds of {LONGER * run.options.seconds:g} s; milliseconds from when a call was "
             "due; medians of the rounds.", "",
             f"| call | log | {' | '.join(names)} | {' / calm | '.join(names)} / calm | rotations "
             "| moved |", "|---|---|" + "---:|" * 8]
    for side in SIDES:
        for place, _ in PLACES:
            cells = [f"{stats.quantile(rounds.values(place, side, name), 0.5):.2f}"
                     for name in names]
            cells += [show_ratio(rounds.ratio(place, side, name)) if place != "calm" else ""
                      for name in names]
            cells += [total(rounds, place, "rotations"), total(rounds, place, "moved")]
            lines.append(f"| {side} | {place} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def run(run: Run) -> None:
    rounds = play(run)
    run.sections.append(section(run, rounds))
    for done in sum(rounds.done.values(), []):
        if done.error:
            run.note(f"rotation: {done.place}: {done.error}")
    aim(run, rounds)
