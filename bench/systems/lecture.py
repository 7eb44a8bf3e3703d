"""The lecture's own SQL, as the brief tells it: status, process_id and result in one table.

In its favour: neither its log nor its look for hung messages is on the measured path.
"""

from harness.load import Load, System

SEND = Load(
    key="lecture_send",
    label="lecture: INSERT",
    script="insert into lecture_queue (payload) values (:payload::jsonb);\n",
    empty="truncate lecture_queue",
)

CONSUME = Load(
    key="lecture_consume",
    label="lecture: take, then complete",
    script="""\
update lecture_queue set process_id = pg_backend_pid()
    where id = (select id from lecture_queue
                where status = 'pending' and process_id is null
                order by id limit 1 for update skip locked)
    returning id as i, payload as p \\gset
update lecture_queue
    set status = 'completed', result = :result::jsonb, completed_at = now(), process_id = null
    where id = :i;
""",
    empty="truncate lecture_queue",
    fill=lambda count: f"insert into lecture_queue (payload) "
                       f"select :'payload'::jsonb from generate_series(1, {count})",
    ready="vacuum (analyze) lecture_queue",
    first_guess=3_000,
)

SYSTEM = System(
    key="lecture",
    label="the lecture's SQL",
    setup="""
create table lecture_queue (
    id bigint generated always as identity primary key,
    payload jsonb not null,
    status text not null default 'pending',
    process_id int,
    result jsonb,
    created_at timestamptz not null default now(),
    completed_at timestamptz
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
""",
    loads={"send": SEND, "consume": CONSUME},
    log_tables="relname = 'lecture_queue'",
)
