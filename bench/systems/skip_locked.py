"""The classic table with FOR UPDATE SKIP LOCKED, well indexed, with aggressive autovacuum.

Two forms. The UPDATE form claims in one transaction and completes in another, and keeps status
and result. The DELETE form takes the row out in a transaction that stays open while the message
is worked on, and keeps nothing.
"""

from harness.load import BATCH, Load, System

STORAGE = """with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0)"""

NEXT = """\
select id from {table} where queue_id = 1 and status = 'pending'
    order by priority desc, id limit {count} for update skip locked"""


def next_of(table: str, count: int) -> str:
    return NEXT.format(table=table, count=count)


def filled(table: str, count: int) -> str:
    return (f"insert into {table} (queue_id, payload) "
            f"select 1, :'payload'::jsonb from generate_series(1, {count})")


SEND = Load(
    key="skip_locked_send",
    label="SKIP LOCKED table: INSERT",
    script="insert into jobs (queue_id, payload) values (1, :payload::jsonb);\n",
    empty="truncate jobs",
)

UPDATE_ONE = Load(
    key="skip_locked_update",
    label="SKIP LOCKED: claim, complete by UPDATE",
    script=f"""\
update jobs set status = 'running', attempt = attempt + 1, claimed_at = now(),
        claimed_by = pg_backend_pid()
    where id = ({next_of("jobs", 1)})
    returning id as i, payload as p \\gset
update jobs set status = 'completed', result = :result::jsonb, finished_at = now()
    where id = :i;
""",
    empty="truncate jobs",
    fill=lambda count: filled("jobs", count),
    ready="vacuum (analyze) jobs",
    first_guess=6_000,
)

DELETE_ONE = Load(
    key="skip_locked_delete",
    label="SKIP LOCKED: DELETE, keeps nothing",
    script=f"""\
begin;
delete from passing_jobs where id = ({next_of("passing_jobs", 1)})
    returning id as i, payload as p \\gset
commit;
""",
    empty="truncate passing_jobs",
    fill=lambda count: filled("passing_jobs", count),
    ready="vacuum (analyze) passing_jobs",
    first_guess=12_000,
)

UPDATE_HUNDRED = Load(
    key="skip_locked_update_100",
    label="SKIP LOCKED: claim, complete 100 by UPDATE",
    script=f"""\
with claimed as (
    update jobs set status = 'running', attempt = attempt + 1, claimed_at = now(),
            claimed_by = pg_backend_pid()
        where id = any (array({next_of("jobs", BATCH)}))
        returning id, payload)
select array_agg(id) as i, array_agg(payload) as p, count(*) as n from claimed \\gset
\\if :n < {BATCH}
select 1/0 as dry;
\\endif
update jobs set status = 'completed', result = done.result, finished_at = now()
    from unnest(:i::bigint[], :results::jsonb[]) as done (id, result)
    where jobs.id = done.id;
""",
    per_transaction=BATCH,
    empty="truncate jobs",
    fill=lambda count: filled("jobs", count),
    ready="vacuum (analyze) jobs",
    first_guess=70_000,
)

DELETE_HUNDRED = Load(
    key="skip_locked_delete_100",
    label="SKIP LOCKED: DELETE of 100, keeps nothing",
    script=f"""\
begin;
with taken as (
    delete from passing_jobs
        where id = any (array({next_of("passing_jobs", BATCH)}))
        returning id, payload)
select array_agg(id) as i, array_agg(payload) as p, count(*) as n from taken \\gset
\\if :n < {BATCH}
select 1/0 as dry;
\\endif
commit;
""",
    per_transaction=BATCH,
    empty="truncate passing_jobs",
    fill=lambda count: filled("passing_jobs", count),
    ready="vacuum (analyze) passing_jobs",
    first_guess=140_000,
)

SYSTEM = System(
    key="skip_locked",
    label="SKIP LOCKED",
    setup=f"""
create table jobs (
    id bigint generated always as identity primary key,
    queue_id int not null,
    priority smallint not null default 0,
    status text not null default 'pending',
    attempt int not null default 0,
    claimed_by int,
    created_at timestamptz not null default now(),
    claimed_at timestamptz,
    finished_at timestamptz,
    payload jsonb not null,
    result jsonb
) {STORAGE};
create index on jobs (queue_id, priority desc, id) where status = 'pending';
create table passing_jobs (
    id bigint generated always as identity primary key,
    queue_id int not null,
    priority smallint not null default 0,
    status text not null default 'pending',
    created_at timestamptz not null default now(),
    payload jsonb not null
) {STORAGE};
create index on passing_jobs (queue_id, priority desc, id) where status = 'pending';
""",
    loads={"send": SEND, "consume": UPDATE_ONE, "consume_delete": DELETE_ONE,
           "consume_batch": UPDATE_HUNDRED, "consume_batch_delete": DELETE_HUNDRED},
    log_tables="relname = 'jobs'",
)
