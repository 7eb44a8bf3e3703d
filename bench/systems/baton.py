"""Baton, through its public SQL functions only."""

from harness.load import BATCH, Load, System

CHUNK = 1000

EMPTY = """
select baton.drop_queue('bench', if_exists => true);
select baton.create_queue('bench');
"""


EMPTY_AT_ONCE = EMPTY.replace("'bench');", "'bench', retention => '0');")

LOG_TABLES = "relnamespace = 'baton'::regnamespace and relname ~ '^(message|event)_log_[0-9]+$'"
# One row; a segment that is opened again has another first_id.
OPEN_SEGMENT = "select first_id, number from baton.segment where state = 'open' and not survivors;"
LOG_BYTES = f"""
select coalesce(sum(pg_total_relation_size(oid)), 0) from pg_class where {LOG_TABLES}
"""
DEPTH = "select coalesce(depth, -1) from baton.queue where name = 'bench'"


def filled(count: int, queue: str = "bench") -> str:
    """So many messages, in transactions of a thousand."""
    return f"""
select format('select count(*) from baton.send_batch(%L, array_fill(%L::jsonb, array[{CHUNK}]))',
              '{queue}', :'payload')
    from generate_series(1, {-(-count // CHUNK)}) \\gexec
"""


SEND = Load(
    key="baton_send",
    label="Baton: send",
    script="select baton.send('bench', :payload::jsonb);\n",
    empty=EMPTY,
)

LOOP = Load(
    key="baton_loop",
    label="Baton: complete_and_receive",
    script="""\
\\if :have
select receipt as r, id as i, payload as p
    from baton.complete_and_receive(array[:r::text], array[:result::jsonb], 'bench', 1) \\gset
\\else
select receipt as r, id as i, payload as p from baton.receive('bench', 1) \\gset
\\set have 1
\\endif
""",
    empty=EMPTY,
    fill=filled,
    first_guess=15_000,
)

TWO_CALLS = Load(
    key="baton_two_calls",
    label="Baton: receive + complete",
    script="""\
select receipt as r, id as i, payload as p from baton.receive('bench', 1) \\gset
select baton.complete(:r, :result::jsonb);
""",
    empty=EMPTY,
    fill=filled,
    first_guess=12_000,
)

SEND_HUNDRED = Load(
    key="baton_send_batch",
    label="Baton: send_batch of 100",
    script="select count(*) from baton.send_batch('bench', :payloads::jsonb[]);\n",
    per_transaction=BATCH,
    empty=EMPTY,
)

# A call may give fewer than 100 while the loader is behind, so messages are counted by Baton.
LOOP_HUNDRED = Load(
    key="baton_loop_100",
    label="Baton: complete 100 and receive 100",
    script=f"""\
select coalesce(array_agg(receipt), '{{}}') as r, count(*) as n, array_agg(payload) as p
    from baton.complete_and_receive(:r::text[], (:results::jsonb[])[1 : :n::int],
                                    'bench', {BATCH}) \\gset
\\if :n = 0
\\sleep 1 ms
\\endif
""",
    per_transaction=BATCH,
    empty=EMPTY,
    fill=filled,
    counter="select coalesce(max(completed), 0) from baton.queue where name = 'bench'",
    first_guess=150_000,
)

# Senders that let the consumers keep up, and consumers that hold nothing between two runs.
FLOW_SEND = Load(
    key="baton_flow_send",
    label="Baton: send_batch of 100, while less than 100,000 wait",
    script="""\
select (coalesce(depth, ready) > 100000)::int as full from baton.queue where name = 'bench' \\gset
\\if :full
\\sleep 2 ms
\\else
select count(*) from baton.send_batch('bench', :payloads::jsonb[]);
\\endif
""",
    per_transaction=BATCH,
    clients=2,
)

FLOW_CONSUME = Load(
    key="baton_flow_consume",
    label="Baton: receive of 100, complete_batch",
    script=f"""\
select coalesce(array_agg(receipt), '{{}}') as r, count(*) as n
    from baton.receive('bench', {BATCH}) \\gset
\\if :n = 0
\\sleep 1 ms
\\else
select count(*) from baton.complete_batch(:r::text[], array[:result::jsonb]);
\\endif
""",
    per_transaction=BATCH,
)

SYSTEM = System(
    key="baton",
    label="Baton",
    setup="create extension baton;",
    loads={"send": SEND, "consume": LOOP, "consume_two_calls": TWO_CALLS,
           "send_batch": SEND_HUNDRED, "consume_batch": LOOP_HUNDRED},
    log_tables="schemaname = 'baton' and relname ~ '^(message|event)_log'",
)
