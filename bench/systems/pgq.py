"""PgQ, from Debian's packages, for contrast: it has no acknowledgement of single messages and
no competing consumers, so its one consumer takes whole batches, as it is meant to."""

from harness.load import Load, System

CHUNK = 500  # PgQ's own default for the events of a tick

EMPTY = f"""
select pgq.unregister_consumer('bench', 'worker')
    from pgq.queue where queue_name = 'bench';
select pgq.drop_queue('bench', true) from pgq.queue where queue_name = 'bench';
select pgq.create_queue('bench');
select pgq.set_queue_config('bench', 'ticker_max_count', '{CHUNK}');
select pgq.register_consumer('bench', 'worker');
"""

SEND = Load(
    key="pgq_send",
    label="PgQ: insert_event",
    script="select pgq.insert_event('bench', 'order', :payload);\n",
    empty=EMPTY,
)

CONSUME = Load(
    key="pgq_consume",
    label="PgQ: batches, one consumer",
    script="""\
select coalesce(pgq.next_batch('bench', 'worker'), 0) as b \\gset
\\if :b = 0
select 1/0 as dry;
\\endif
select ev_id, ev_data from pgq.get_batch_events(:b);
select pgq.finish_batch(:b);
""",
    clients=1,
    empty=EMPTY,
    fill=lambda count: f"""
select format('insert into %s (ev_time, ev_type, ev_data) select now(), %L, %L'
              ' from generate_series(1, {CHUNK})',
              pgq.current_event_table('bench'), 'order', :'payload'),
       'select pgq.ticker(''bench'')'
    from generate_series(1, {-(-count // CHUNK)}) \\gexec
""",
    counter="""
select coalesce(max(tick_event_seq), 0)
    from pgq.queue
    join pgq.subscription on sub_queue = queue_id
    join pgq.tick on tick_queue = queue_id and tick_id = sub_last_tick
    where queue_name = 'bench'""",
    first_guess=250_000,
)

SYSTEM = System(
    key="pgq",
    label="PgQ",
    setup="create extension pgq;",
    loads={"send": SEND, "consume": CONSUME},
    log_tables="schemaname = 'pgq'",
    missing=lambda tools: tools.pgq_missing,
    daemon=True,
)
