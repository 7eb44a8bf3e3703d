"""A downstream outage: everything there is fails once, and comes again after its backoff.

Consumers wait for one queue all the time. A backlog is failed into backoff, a hundred a call, as
fast as they can; what is due again is completed. New messages, of higher priority so that they
don't stand in line behind the backlog, are sent at a given rate all along. When each message was
due, and when it was handed out, is what the log says.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness import cpu, pgbench, stats
from harness.cluster import SqlError
from harness.load import BATCH, PAYLOAD, Load
from harness.run import Run, Target
from systems import baton

DATABASE = "bench_outage"
SHARE = 20  # of options.messages one in so many is in the storm
RATE = 1000  # new messages a second
RETRIED_A_SECOND = 8000  # the backoff is as long as this takes, on average
LEAST_BACKOFF, MOST_BACKOFF = 4, 60
FAIL_A_SECOND = 25_000  # a guess
SLACK = 15  # seconds
FIGURES = ((0.5, "p50"), (0.99, "p99"), (1.0, "max"))
P99_LIMIT = 50.0  # ms; nothing waits longer for its time to come, with a consumer waiting

FLOW = Load(key="baton_outage_send", label="Baton: send, of higher priority",
            script="select baton.send('bench', :payload::jsonb, priority => 5);\n", clients=2)
CONSUME = Load(
    key="baton_outage_consume",
    label="Baton: receive of 100, fail_batch the first time, complete_batch the second",
    script=f"""\
select coalesce(array_agg(receipt) filter (where bad), '{{}}') as bad,
       coalesce(array_agg(receipt) filter (where not bad), '{{}}') as good,
       count(*) filter (where bad) as nbad, count(*) filter (where not bad) as ngood
    from (select receipt, attempt = 1 and priority = 0 as bad
          from baton.receive('bench', {BATCH})) r \\gset
\\if :nbad > 0
select count(*) from baton.fail_batch(:bad::text[], array['downstream is down']);
\\endif
\\if :ngood > 0
select count(*) from baton.complete_batch(:good::text[], array[:result::jsonb]);
\\endif
\\if :nbad + :ngood = 0
call baton.wait('bench', '200 ms');
\\endif
""",
    clients=4)

# One row a kind of message: how many, how many failed once and completed once and nothing else, how late.
RESULT = """
set work_mem = '256MB';
with event as (
    select message_id, count(*) as n,
        count(*) filter (where action = 'failed') as failed,
        count(*) filter (where action = 'completed') as completed,
        max(deliver_at) filter (where action = 'failed') as due,
        max(claimed_at) filter (where action = 'completed') as claimed
    from baton.queue_log group by 1)
select count(*), count(*) filter (where failed = 1 and completed = 1 and n = 2),
    count(*) filter (where failed = 0 and completed = 1 and n = 1),
    (percentile_cont(array[0.5, 0.99, 1]) within group (
        order by extract(epoch from claimed - coalesce(due, m.sent_at))::float8 * 1000))::text
from baton.message m left join event on event.message_id = m.id
where m.queue = 'bench' and (m.priority = 0) = {storm};
"""


@dataclass(frozen=True)
class Kind:
    """Messages of one kind in one slice."""
    count: int
    once_failed: int
    at_once: int
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class Done:
    new: Kind
    retried: Kind
    error: str


def kind(run: Run, storm: bool) -> Kind:
    row = run.cluster.sql(RESULT.replace("{storm}", str(storm)), DATABASE)[0]
    figures = [] if row[3] == "" else [float(each) for each in row[3].strip("{}").split(",")]
    return Kind(int(row[0]), int(row[1]), int(row[2]),
                {name: figure for (_, name), figure in zip(FIGURES, figures)})


def setup(backoff: int, storm: int) -> str:
    filled = baton.filled(storm) if storm else ""
    return (f"select baton.create_queue('bench', backoff => '{backoff} s', "
            f"backoff_max => '{backoff} s');" + filled + "checkpoint;")


def work(run: Run, seconds: float) -> str:
    """The flow and the consumers, who stay until there is nothing left."""
    flow = pgbench.start(run.cluster, FLOW, DATABASE, seconds, RATE)
    consumers = pgbench.start(run.cluster, CONSUME, DATABASE, seconds + 2)
    error = pgbench.finish(flow, seconds).error or pgbench.finish(consumers, seconds + 2).error
    for _ in range(20):
        if error or run.cluster.value(baton.DEPTH, DATABASE) == "0":
            return error
        error = pgbench.run(run.cluster, CONSUME, DATABASE, 2).error
    return error or "the queue isn't emptied"


def one_slice(run: Run, storm: int, seconds: float, backoff: int) -> Done:
    with run.database(DATABASE, [baton.SYSTEM]):
        run.cluster.sql(setup(backoff, storm), DATABASE)
        cpu.wait_quiet(run.cluster.postmaster(), 10)
        error = work(run, seconds)
        done = Done(kind(run, False), kind(run, True), error)
    run.recorder.write("slice", scenario="outage", storm=storm, slice=done)
    run.say(f"outage: {storm} failed: {done}")
    return done


def section(calm: Done, storm: Done, backoff: int) -> str:
    lines = ["## outage", "",
             f"{storm.retried.count} messages fail once and come again within {backoff} s; {RATE} "
             "new ones a second meanwhile; milliseconds from when a message was due, or sent, to "
             "when a consumer had it.", "",
             f"| messages | {' | '.join(name for _, name in FIGURES)} | how many |",
             "|---|" + "---:|" * 4]
    for label, each in (("new, without an outage", calm.new), ("new, during it", storm.new),
                        ("retried, after their time", storm.retried)):
        cells = [f"{each.milliseconds.get(name, float('nan')):.2f}" for _, name in FIGURES]
        lines.append(f"| {label} | {' | '.join(cells)} | {each.count} |")
    return "\n".join(lines) + "\n"


def aim(run: Run, storm: int, done: Done) -> None:
    run.aim_count("outage", f"messages of {storm} that did not fail once, then complete once",
                  abs(storm - done.retried.once_failed) + done.retried.count - storm)
    run.aim_count("outage", f"new messages of {done.new.count} that were not completed once",
                  done.new.count - done.new.at_once)
    late = done.retried.milliseconds.get("p99", float("nan"))
    run.aim(Target("outage", "p99 of how late retried messages come", f"≤ {P99_LIMIT:g} ms",
                   f"{late:.2f} ms", "", stats.at_most(late, P99_LIMIT, 0.0)))


def run(run: Run) -> None:
    storm = -(-run.options.messages // SHARE // baton.CHUNK) * baton.CHUNK
    backoff = max(LEAST_BACKOFF, min(MOST_BACKOFF, storm // RETRIED_A_SECOND))
    seconds = backoff + storm // FAIL_A_SECOND + min(SLACK, backoff)
    run.need_disk(2 + len(PAYLOAD) * storm * 10 / 1e9)
    calm = one_slice(run, 0, min(30, seconds), backoff)
    done = one_slice(run, storm, seconds, backoff)
    for each in (calm, done):
        if each.error:
            raise SqlError(each.error)
    run.sections.append(section(calm, done, backoff))
    aim(run, storm, done)
