/*
 * commands/doctor.c
 *	  baton doctor: looks for what is wrong, or will be, and says what to do.
 *
 * A check is a statement that returns rows (status, found, what to do), status being ok, warn or fail; one that the server
 * refuses is a finding as well.  They run in the order of the table; after one that
 * the others build on has failed the rest is left out.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/die.h"
#include "base/terminal.h"
#include "base/version.h"
#include "commands/command.h"
#include "pg/connection.h"
#include "pg/print.h"
#include "pg/query.h"

#define GB (1024.0 * 1024.0 * 1024.0)

static struct
{
	bool json;
} asked;

typedef struct Doctor
{
	PGconn *conn;
	int failed;
	int warned;
} Doctor;

typedef struct Check
{
	const char *name;
	const char *sql;     /* $1: the program's version */
	const char *refused; /* what to do when the server refuses it; then it has failed */
	bool needed;         /* by those that follow */
	void (*look)(Doctor *doctor, const struct Check *check); /* in place of sql */
} Check;

/* ---- what is found ---- */

static Colour
status_colour(const char *status)
{
	if (strcmp(status, "ok") == 0)
		return COLOUR_GREEN;
	return strcmp(status, "warn") == 0 ? COLOUR_YELLOW : COLOUR_RED;
}

static void
add_member(Text *line, const char *name, const char *value)
{
	text_addf(line, "\"%s\": ", name);
	if (value)
		text_add_json(line, value);
	else
		text_add(line, "null");
}

static void
show_json(const char *name, const char *status, const char *found, const char *todo)
{
	Text line = {0};

	add_member(&line, "check", name);
	text_add(&line, ", ");
	add_member(&line, "status", status);
	text_add(&line, ", ");
	add_member(&line, "found", found);
	text_add(&line, ", ");
	add_member(&line, "todo", todo);
	printf("{%s}\n", text_str(&line));
	text_free(&line);
}

static void
show_text(const char *name, const char *status, const char *found, const char *todo)
{
	Text line = {0};

	text_addf(&line, "%s%-4s%s  %-12s ", colour(status_colour(status)), status,
	          colour(COLOUR_END), name);
	text_add_line(&line, found, 0);
	if (todo)
	{
		text_addf(&line, "\n      %-12s -> ", "");
		text_add_line(&line, todo, 0);
	}
	puts(text_str(&line));
	text_free(&line);
}

static void
find(Doctor *doctor, const char *name, const char *status, const char *found,
     const char *todo)
{
	bool well = strcmp(status, "ok") == 0;

	doctor->failed += strcmp(status, "fail") == 0;
	doctor->warned += strcmp(status, "warn") == 0;
	if (asked.json)
		show_json(name, status, found, well ? NULL : todo);
	else if (!well || !want_quiet)
		show_text(name, status, found, well ? NULL : todo);
}

/* ---- the checks ---- */

/* The server's data directory, where it is on this machine: by its socket, and visible to us. */
static bool
disk_of(Doctor *doctor, struct statvfs *disk)
{
	PGresult *where =
	    query_try(doctor->conn, QUERY("select current_setting('data_directory') where "
	                                  "inet_server_addr() is null"));
	bool seen = !query_failed(where) && PQntuples(where) == 1 &&
	            statvfs(PQgetvalue(where, 0, 0), disk) == 0 && disk->f_blocks > 0;

	PQclear(where);
	return seen;
}

static void
look_at_disk(Doctor *doctor, const Check *check)
{
	PGresult *size = query_try(doctor->conn, (Query){.sql = check->sql});
	const char *log = query_failed(size) ? "?" : PQgetvalue(size, 0, 0);
	const char *status = "ok";
	struct statvfs disk;
	char *found;

	if (disk_of(doctor, &disk))
	{
		double left = (double) disk.f_bavail * disk.f_frsize;
		double part = (double) disk.f_bavail / disk.f_blocks;

		if (part < 0.10 && left < 100 * GB)
			status = part < 0.03 || left < GB ? "fail" : "warn";
		found = mem_format("the log has %s; %.1f GB of the disk are free (%.0f %%)", log,
		                   left / GB, 100 * part);
	}
	else
		found = mem_format("the log has %s; the disk can't be seen from here", log);
	find(doctor, check->name, status, found,
	     "Make room: a full disk stops the server. Look at retention, WAL that an unused "
	     "replication slot keeps, and the server's log files.");
	free(found);
	PQclear(size);
}

/* clang-format off */
static const Check checks[] = {
	{.name = "server",
	 .sql =
	 "select case when v between 14 and 18 then 'ok' else 'fail' end, "
	 "'PostgreSQL ' || current_setting('server_version') || ', database ' || current_database() || "
	 "coalesce(', at ' || host(inet_server_addr()), ', by socket'), "
	 "'Baton is made for PostgreSQL 14 to 18.' "
	 "from (select current_setting('server_version_num')::int / 10000 as v) x"},

	{.name = "primary",
	 .sql =
	 "select case when pg_is_in_recovery() then 'warn' else 'ok' end, "
	 "case when pg_is_in_recovery() then 'a standby: it shows the log and serves nothing' "
	 "else 'takes writes' end, "
	 "'Connect to the primary: target_session_attrs=read-write and all hosts in the connection string.'"},

	{.name = "preload",
	 .sql =
	 "select case when w is null then 'fail' else 'ok' end, "
	 "coalesce('room for ' || w || ' messages in memory', 'the library is not loaded at start'), "
	 "'Add baton to shared_preload_libraries in postgresql.conf and restart the server.' "
	 "from (select current_setting('baton.window_size', true) as w) x"},

	{.name = "extension", .needed = true,
	 .sql =
	 "select case when e.extversion is null then 'fail' else 'ok' end, "
	 "coalesce('baton ' || e.extversion || ' in this database', 'not in database ' || current_database()), "
	 "'Run CREATE EXTENSION baton in it, or name another database by -d.' "
	 "from (select) x left join pg_extension e on e.extname = 'baton'"},

	{.name = "rights", .needed = true,
	 .sql =
	 "select case when may_use then 'ok' else 'fail' end, "
	 "'role ' || current_user || ' may ' || case when not may_use then 'not use baton' else "
	 "'send and receive' || case when may_look then ', look' else ', not look (pg_monitor)' end || "
	 "case when may_make then ', make queues' else ', not make queues' end end, "
	 "'GRANT USAGE ON SCHEMA baton TO ' || quote_ident(current_user) || ';' "
	 "from (select has_schema_privilege('baton', 'usage') as may_use, "
	 "coalesce(has_table_privilege((select oid from pg_class where relname = 'queue_log' and relnamespace = "
	 "(select oid from pg_namespace where nspname = 'baton')), 'select'), false) as may_look, "
	 "coalesce((select bool_and(has_function_privilege(oid, 'execute')) from pg_proc where proname = 'create_queue' "
	 "and pronamespace = (select oid from pg_namespace where nspname = 'baton')), false) as may_make) x"},

	{.name = "versions",
	 .sql =
	 "select case when l <> e then 'fail' when e <> p then 'warn' else 'ok' end, "
	 "format('library %s, extension %s, program %s', l, e, p), "
	 "case when l <> e then 'Restart the server if the library is the older one; then run ALTER EXTENSION baton UPDATE "
	 "in each database.' else 'Install the same version of the program as of the extension.' end "
	 "from (select baton.library_version() as l, extversion as e, $1::text as p from pg_extension where extname = 'baton') x",
	 .refused = "The extension is older than the program: run ALTER EXTENSION baton UPDATE."},

	{.name = "health",
	 .sql =
	 "select * from (select case when item in ('launcher', 'keeper', 'preloaded') then 'fail' else 'warn' end, "
	 "item || ': ' || value, hint from baton.health where not ok) bad "
	 "union all select 'ok', string_agg(item || ': ' || value, ', ') filter (where item in ('keeper', 'launcher', 'window')), null "
	 "from baton.health having bool_and(ok)"},

	{.name = "workers",
	 .sql =
	 "select case when not seen or free > 0 then 'ok' else 'warn' end, "
	 "case when seen then format('%s of %s worker processes are free', free, most) else "
	 "'only a member of pg_monitor sees them' end, "
	 "'Raise max_worker_processes and restart the server: a keeper for another database, and parallel queries, find no place.' "
	 "from (select m as most, m - (select count(*) from pg_stat_activity where backend_type not in "
	 "('client backend', 'autovacuum launcher', 'autovacuum worker', 'checkpointer', 'background writer', 'walwriter', "
	 "'walsender', 'walreceiver', 'startup', 'archiver', 'logger', 'standalone backend', 'slotsync worker', "
	 "'walsummarizer', 'io worker')) as free, pg_has_role('pg_read_all_stats', 'usage') as seen "
	 "from (select current_setting('max_worker_processes')::int as m) y) x"},

	{.name = "durability",
	 .sql =
	 "select case when f = 'off' or p = 'off' then 'fail' when s = 'off' then 'warn' else 'ok' end, "
	 "format('fsync %s, full_page_writes %s, synchronous_commit %s', f, p, s), "
	 "case when f = 'off' or p = 'off' then 'Switch them on: a crash of the machine may ruin the database.' "
	 "else 'Switch synchronous_commit on where losing the last sends in a crash matters.' end "
	 "from (select current_setting('fsync') as f, current_setting('full_page_writes') as p, "
	 "current_setting('synchronous_commit') as s) x"},

	{.name = "settings",
	 .sql =
	 "select status, found, todo from (values "
	 "('warn', 'statement_timeout is ' || current_setting('statement_timeout') || ' for this role', "
	 "'Set it to 0 for roles that wait for messages: it ends CALL baton.wait().', "
	 "current_setting('statement_timeout') <> '0'), "
	 "('warn', 'idle_session_timeout is ' || current_setting('idle_session_timeout') || ' for this role', "
	 "'Set it to 0 for consumers: one that works for longer loses its session, and its messages with it.', "
	 "current_setting('idle_session_timeout') <> '0'), "
	 "('warn', 'log_min_messages is ' || current_setting('log_min_messages'), "
	 "'Set it to error or lower: why a transaction rolled back is learned from the log, and else it counts as nobody''s fault.', "
	 "current_setting('log_min_messages') in ('log', 'fatal', 'panic')), "
	 "('ok', 'timeouts and log level leave consumers alone', null, "
	 "current_setting('statement_timeout') = '0' and current_setting('idle_session_timeout') = '0' and "
	 "current_setting('log_min_messages') not in ('log', 'fatal', 'panic'))) v (status, found, todo, holds) where holds"},

	{.name = "keepalive",
	 .sql =
	 "select case when tcp and (idle = 0 or idle + pause * tries > 300) then 'warn' else 'ok' end, "
	 "case when not tcp then 'no TCP: listen_addresses is empty' "
	 "when idle = 0 then 'tcp_keepalives_idle is the kernel''s, mostly two hours' "
	 "else format('a client whose machine is gone is noticed after %s s', idle + pause * tries) end, "
	 "'Set tcp_keepalives_idle = 20, tcp_keepalives_interval = 10, tcp_keepalives_count = 3: until then a lost consumer "
	 "keeps its messages for as long as its lease lasts.' "
	 "from (select current_setting('listen_addresses') <> '' as tcp, "
	 /* the session's own value is 0 where it came by a socket */
	 "max(reset_val::int) filter (where name = 'tcp_keepalives_idle') as idle, "
	 "coalesce(nullif(max(reset_val::int) filter (where name = 'tcp_keepalives_interval'), 0), 75) as pause, "
	 "coalesce(nullif(max(reset_val::int) filter (where name = 'tcp_keepalives_count'), 0), 9) as tries "
	 "from pg_settings where name like 'tcp_keepalives%') x"},

	{.name = "snapshots",
	 .sql =
	 "select * from (select 'warn', format('process %s (%s, %s) has had a transaction open for %s', pid, usename, "
	 "coalesce(nullif(application_name, ''), backend_type), date_trunc('second', clock_timestamp() - xact_start)), "
	 "'Queues are not slowed by it, but vacuum and the reuse of old log segments wait for its end: "
	 "select pg_terminate_backend(' || pid || ');' from pg_stat_activity "
	 "where backend_type = 'client backend' and xact_start < clock_timestamp() - interval '5 min' and pid <> pg_backend_pid() "
	 "order by xact_start limit 3) old "
	 "union all select 'warn', format('prepared transaction %s has been open since %s', gid, date_trunc('second', prepared)), "
	 "'COMMIT PREPARED or ROLLBACK PREPARED it.' from pg_prepared_xacts where prepared < clock_timestamp() - interval '5 min' "
	 "union all select 'warn', format('replication slot %s is not used and keeps what it has not read', slot_name), "
	 "'Drop it if its reader is gone: select pg_drop_replication_slot(...).' from pg_replication_slots where not active "
	 "union all select 'ok', case when pg_has_role('pg_read_all_stats', 'usage') then "
	 "'no transaction has been open for more than 5 minutes' else 'only a member of pg_monitor sees transactions of others' end, "
	 "null where not exists (select from "
	 "pg_stat_activity where backend_type = 'client backend' and xact_start < clock_timestamp() - interval '5 min' "
	 "and pid <> pg_backend_pid())"},

	{.name = "disk", .look = look_at_disk,
	 .sql =
	 "select pg_size_pretty(coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)) from pg_inherits i "
	 "join pg_class c on c.oid = i.inhparent join pg_namespace n on n.oid = c.relnamespace "
	 "where n.nspname = 'baton' and c.relname in ('message_log', 'event_log')"},

	{.name = "queues",
	 .sql =
	 "select * from (select 'warn', format('%s: the oldest ready message waits since %s', name, date_trunc('second', oldest)), "
	 "'Nobody receives from it, or not fast enough: baton top.' from baton.queue "
	 "where not paused and oldest < clock_timestamp() - interval '1 hour' order by oldest limit 5) old "
	 "union all select 'warn', format('%s: %s messages have died since the server started', name, dead), "
	 "'Find out why: baton log ' || quote_ident(name) || '.' from baton.queue where dead > 0 "
	 "union all select 'ok', format('%s queues, %s messages ready', count(*), coalesce(sum(ready), 0)), null from baton.queue "
	 "having count(*) filter (where dead > 0 or (not paused and oldest < clock_timestamp() - interval '1 hour')) = 0"},
};
/* clang-format on */

#define CHECKS ((int) (sizeof(checks) / sizeof(checks[0])))

static void
run_check(Doctor *doctor, const Check *check)
{
	const char *values[] = {BATON_VERSION};
	bool parameter = strstr(check->sql, "$1") != NULL;
	PGresult *rows;

	if (check->look)
	{
		check->look(doctor, check);
		return;
	}
	rows = query_try(doctor->conn, (Query){check->sql, parameter, values});
	if (!query_failed(rows))
		for (int row = 0; row < PQntuples(rows); row++)
			find(doctor, check->name, PQgetvalue(rows, row, 0), PQgetvalue(rows, row, 1),
			     query_value(rows, row, 2));
	else if (PQstatus(doctor->conn) != CONNECTION_OK)
		die(EXIT_CONNECTION, "%s", connection_error(doctor->conn));
	else if (strcmp(query_sqlstate(rows), "42501") == 0)
		find(doctor, check->name, "warn", query_message(rows),
		     "Run it as a member of pg_monitor to see this.");
	else
		find(doctor, check->name, "fail", query_message(rows), check->refused);
	PQclear(rows);
}

static int
run_doctor(int argc, char **argv)
{
	Doctor doctor = {.conn = connection_open("baton doctor")};

	(void) argc, (void) argv;
	for (int i = 0; i < CHECKS; i++)
	{
		int failed = doctor.failed;

		run_check(&doctor, &checks[i]);
		if (checks[i].needed && doctor.failed > failed)
			break;
	}
	print_flush();
	PQfinish(doctor.conn);
	if (doctor.failed > 0)
		return EXIT_UNWELL;
	return EXIT_OK;
}

static const Option options[] = {
    {"json", 0, OPTION_FLAG, NULL, &asked.json, 0, 0,
     "an object a finding: check, status, found, todo"},
    {0},
};

static const char *const examples[] = {
    "baton doctor",
    "baton doctor -d 'host=db1 dbname=shop user=watcher' --quiet",
    NULL,
};

const Command command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "look for what is wrong, or will be, and say what to do",
    .description = "Server and rights, versions of library, extension and program, "
                   "settings, worker\n"
                   "processes, TCP keepalive, old transactions, disk, health, queues. "
                   "Each is ok, warn\n"
                   "(it works, but) or fail. Changes nothing. The disk is seen only on "
                   "the server's own\n"
                   "machine, and some of the rest only by a member of pg_monitor. "
                   "--quiet leaves out\n"
                   "what is ok.",
    .options = options,
    .examples = examples,
    .connects = true,
    .run = run_doctor,
};
