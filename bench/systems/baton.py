"""Baton, through its public SQL functions only."""

from harness.load import BATCH, Load, System

CHUNK = 1000

EMPTY = """
select baton.drop_queue('bench', if_exists => true);
select baton.create_queue('bench');
"""


def filled(count: int) -> str:
    """So many messages, in transactions of a thousand."""
    return f"""
select format('select count(*) from baton.send_batch(%L, array_fill(%L::jsonb, array[{CHUNK}]))',
              'bench', :'payload')
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

SYSTEM = System(
    key="baton",
    label="Baton",
    setup="create extension baton;",
    loads={"send": SEND, "consume": LOOP, "consume_two_calls": TWO_CALLS,
           "send_batch": SEND_HUNDRED, "consume_batch": LOOP_HUNDRED},
    log_tables="schemaname = 'baton' and relname ~ '^(message|event)_log'",
)
