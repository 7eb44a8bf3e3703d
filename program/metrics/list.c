/*
 * metrics/list.c
 *	  Every metric there is.
 */
#include "metrics/list.h"

#include <stddef.h>

/*
 * No query here may cost more when there are more messages: queues, tables and
 * sessions are what is counted.
 */
const Source sources[SOURCE_COUNT] = {
    [SOURCE_QUEUE] = {"baton.queue",
                      {"queue"},
                      "select *, name as queue from baton.queue"},

    [SOURCE_COUNTERS] = {"baton.queue_counters()",
                         {"queue"},
                         "select * from baton.queue_counters()"},

    [SOURCE_WINDOW] = {"baton.window_use()", {NULL}, "select * from baton.window_use()"},

    [SOURCE_SLOTS] = {"baton.window_use()",
                      {"state"},
                      "select v.* from baton.window_use() w, lateral (values"
                      " ('free', free), ('arriving', arriving), ('ready', ready),"
                      " ('blocked', blocked), ('delayed', delayed), ('claimed', claimed),"
                      " ('settling', settling), ('moving', moving), ('condemned', "
                      "condemned)) v(state, slots)"},

    /* The rest of the view is in the numbers of segments, tables and snapshots. */
    [SOURCE_HEALTH] = {"baton.health", {"item"}, "select item, ok from baton._health()"},

    [SOURCE_SEGMENT] =
        {"baton.segment_status",
         {"state", "waits_for"},
         "select state, waits_for, count(*) as segments, sum(bytes) as bytes,"
         " min(sealed_at) as sealed"
         " from baton.segment_status group by state, waits_for"},

    /*
     * What counts for a table counts for its TOAST table too.  The functions behind
     * pg_stat_all_tables, since the view goes through the indexes of all tables.
     */
    [SOURCE_TABLE] =
        {"pg_class, pg_stat_get_...()",
         {"table"},
         "select c.relname as table, pg_stat_get_live_tuples(c.oid) as live,"
         " pg_stat_get_dead_tuples(c.oid)"
         " + coalesce(pg_stat_get_dead_tuples(t.oid), 0) as dead,"
         " greatest(pg_stat_get_last_vacuum_time(c.oid),"
         " pg_stat_get_last_autovacuum_time(c.oid)) as vacuumed,"
         " greatest(age(c.relfrozenxid), age(t.relfrozenxid)) as freeze_age"
         " from pg_class c left join pg_class t on t.oid = c.reltoastrelid"
         " where c.relnamespace = 'baton'::regnamespace and c.relkind = 'r'"},

    [SOURCE_DATABASE] =
        {"pg_database",
         {NULL},
         "select age(datfrozenxid) as freeze_age, pg_postmaster_start_time() as started,"
         " current_setting('autovacuum_freeze_max_age') as freeze_max_age"
         " from pg_database where datname = current_database()"},

    /* The oldest of each kind that holds back this database; our own transaction is none. */
    [SOURCE_SNAPSHOT] =
        {"pg_stat_activity, pg_prepared_xacts, pg_replication_slots",
         {"kind", "role", "name"},
         "select distinct on (kind) * from ("
         "select 'session' as kind, usename as role, application_name as name,"
         " age(backend_xmin) as xids, clock_timestamp() - xact_start as age"
         " from pg_stat_activity where backend_xmin is not null"
         " and datname = current_database() and pid <> pg_backend_pid()"
         " union all select 'prepared', owner, gid, age(transaction),"
         " clock_timestamp() - prepared from pg_prepared_xacts"
         " where database = current_database()"
         " union all select 'standby', usename, application_name, age(backend_xmin), null"
         " from pg_stat_replication where backend_xmin is not null"
         " union all select 'slot', null, slot_name,"
         " greatest(age(xmin), age(catalog_xmin)), null from pg_replication_slots"
         " where xmin is not null or catalog_xmin is not null"
         " union all select 'session', null, null, 0, interval '0'"
         ") holder order by kind, xids desc, age desc"},

    [SOURCE_PROGRAM] = {"the program", {NULL}, NULL},
    [SOURCE_SERVE] = {"`baton serve`", {NULL}, NULL},
    [SOURCE_REQUESTS] = {"`baton serve`", {"method", "route", "code"}, NULL},
    [SOURCE_TIMES] = {"`baton serve`", {"method", "route"}, NULL},
};

const char metric_bounds[] = "histogram_bounds";

#define COUNTER(name, source, column, unit, help)                                        \
	{                                                                                    \
		name, METRIC_COUNTER, source, column, unit, help                                 \
	}
#define GAUGE(name, source, column, unit, help)                                          \
	{                                                                                    \
		name, METRIC_GAUGE, source, column, unit, help                                   \
	}
#define HISTOGRAM(name, source, column, unit, help)                                      \
	{                                                                                    \
		name, METRIC_HISTOGRAM, source, column, unit, help                               \
	}

/* clang-format off */
const Metric metrics[] = {
	/* what waits, what is worked on */
	GAUGE("baton_queue_depth", SOURCE_QUEUE, "depth", "messages",
		"Messages that are not finished."),
	GAUGE("baton_queue_ready", SOURCE_QUEUE, "ready", "messages",
		"Messages in memory that could be received now."),
	GAUGE("baton_queue_delayed", SOURCE_QUEUE, "delayed", "messages",
		"Messages in memory whose time is still to come: scheduled, or to be tried again."),
	GAUGE("baton_queue_blocked", SOURCE_QUEUE, "blocked", "messages",
		"Messages in memory that wait for another one of their key."),
	GAUGE("baton_queue_in_flight", SOURCE_QUEUE, "in_flight", "messages",
		"Messages that a consumer holds."),
	GAUGE("baton_queue_oldest_age_seconds", SOURCE_QUEUE,
		"coalesce(extract(epoch from clock_timestamp() - oldest), 0)", "seconds",
		"How long ago the oldest message that could be received was sent; 0: there is none."),
	GAUGE("baton_queue_paused", SOURCE_QUEUE, "paused::int", "0 or 1",
		"Whether the queue hands out nothing, by pause_queue()."),
	GAUGE("baton_queue_waiters", SOURCE_COUNTERS, "waiters", "sessions",
		"Sessions that wait for a message of the queue."),
	GAUGE("baton_queue_spilled_lanes", SOURCE_COUNTERS, "spilled_lanes", "priorities",
		"Priorities of which some messages are in the log only, until there is room in memory."),

	/* what happened */
	COUNTER("baton_messages_sent_total", SOURCE_COUNTERS, "sent", "messages",
		"Messages sent, by transactions that have committed."),
	COUNTER("baton_messages_delivered_total", SOURCE_COUNTERS, "delivered", "claims",
		"Messages handed to consumers; each attempt counts."),
	COUNTER("baton_messages_completed_total", SOURCE_COUNTERS, "completed", "messages",
		"Messages completed."),
	COUNTER("baton_messages_failed_total", SOURCE_COUNTERS, "failed", "attempts",
		"Attempts that ended with fail, or with an error of the transaction that received."),
	COUNTER("baton_messages_vanished_total", SOURCE_COUNTERS, "vanished", "attempts",
		"Attempts whose holder was lost: its session ended, or the server crashed."),
	COUNTER("baton_messages_lease_expired_total", SOURCE_COUNTERS, "lease_expired", "attempts",
		"Attempts whose lease ran out."),
	COUNTER("baton_messages_released_total", SOURCE_COUNTERS, "released", "attempts",
		"Attempts given back, or rolled back by nobody's fault."),
	COUNTER("baton_messages_dead_total", SOURCE_COUNTERS, "dead", "messages",
		"Messages given up on, as a budget of attempts was used up."),
	COUNTER("baton_messages_loaded_total", SOURCE_COUNTERS, "loaded", "messages",
		"Messages brought into memory from the log: after a start, or when there is room again."),
	COUNTER("baton_claims_settled_elsewhere_total", SOURCE_COUNTERS, "settled_elsewhere", "claims",
		"Claims settled by another session than the one they were bound to, as through a pooler in transaction mode."),
	HISTOGRAM("baton_queue_seconds", SOURCE_COUNTERS, "queue_seconds", "seconds",
		"Time in queue: from when a message could be received to its delivery."),
	HISTOGRAM("baton_work_seconds", SOURCE_COUNTERS, "work_seconds", "seconds",
		"Time in work of completed messages: from delivery to completion."),

	/* memory */
	GAUGE("baton_window_size_slots", SOURCE_WINDOW, "slots", "slots",
		"Messages that fit into memory: baton.window_size.  All databases share them."),
	GAUGE("baton_window_slots", SOURCE_SLOTS, "slots", "slots",
		"Slots of the window by state, of all databases."),
	GAUGE("baton_outcomes_pending", SOURCE_WINDOW, "outcomes_pending", "events",
		"Ends of claims that the keeper has still to write to queue_log."),
	COUNTER("baton_outcomes_dropped_total", SOURCE_WINDOW, "outcomes_dropped", "events",
		"Ends of claims that will have no row in queue_log: there were too many at once."),
	GAUGE("baton_launcher_running", SOURCE_WINDOW, "launcher::int", "0 or 1",
		"Whether the server's launcher runs."),
	GAUGE("baton_keeper_running", SOURCE_WINDOW, "keeper::int", "0 or 1",
		"Whether the keeper of this database runs."),
	GAUGE("baton_quarantine", SOURCE_WINDOW, "quarantine::int", "0 or 1",
		"Whether messages that may have crashed the server are handed out one at a time."),

	/* the database */
	GAUGE("baton_health_ok", SOURCE_HEALTH, "ok::int", "0 or 1",
		"Items of baton.health that memory knows; the view has a hint where one is not ok."),
	GAUGE("baton_segments", SOURCE_SEGMENT, "segments", "segments",
		"Segments of the log, by state and by what keeps them from being closed or emptied."),
	GAUGE("baton_segments_bytes", SOURCE_SEGMENT, "bytes", "bytes",
		"Size of these segments with indexes and TOAST."),
	GAUGE("baton_segments_oldest_age_seconds", SOURCE_SEGMENT,
		"extract(epoch from clock_timestamp() - sealed)", "seconds",
		"How long ago the oldest of these segments was full."),
	GAUGE("baton_table_live_rows", SOURCE_TABLE, "live", "rows",
		"Rows of each of Baton's tables, by the statistics."),
	GAUGE("baton_table_dead_rows", SOURCE_TABLE, "dead", "rows",
		"Dead rows of each of Baton's tables and its TOAST table; the log should have none."),
	GAUGE("baton_table_last_vacuum_timestamp_seconds", SOURCE_TABLE,
		"coalesce(extract(epoch from vacuumed), 0)", "seconds",
		"When each of Baton's tables was last vacuumed, since 1970; 0: never."),
	GAUGE("baton_table_freeze_age_transactions", SOURCE_TABLE, "freeze_age", "transactions",
		"Age of the oldest transaction id in each of Baton's tables and its TOAST table."),
	GAUGE("baton_database_freeze_age_transactions", SOURCE_DATABASE, "freeze_age", "transactions",
		"Age of the oldest transaction id in the database."),
	GAUGE("baton_freeze_max_age_transactions", SOURCE_DATABASE, "freeze_max_age", "transactions",
		"The age at which PostgreSQL vacuums a table whatever else: autovacuum_freeze_max_age."),
	GAUGE("baton_server_start_timestamp_seconds", SOURCE_DATABASE, "extract(epoch from started)", "seconds",
		"When PostgreSQL was started, since 1970."),
	GAUGE("baton_oldest_snapshot_age_seconds", SOURCE_SNAPSHOT, "extract(epoch from age)", "seconds",
		"For how long the transaction with the oldest snapshot has been open, by kind of holder; role and name say whose it is."),
	GAUGE("baton_oldest_snapshot_age_transactions", SOURCE_SNAPSHOT, "xids", "transactions",
		"How many transactions ago the oldest snapshot was taken, by kind of holder."),

	/* the exporter */
	GAUGE("baton_up", SOURCE_PROGRAM, "up", "0 or 1",
		"Whether PostgreSQL answered."),
	GAUGE("baton_scrape_duration_seconds", SOURCE_PROGRAM, "scrape", "seconds",
		"How long PostgreSQL took to answer."),
	GAUGE("baton_http_connections", SOURCE_SERVE, "connections", "connections",
		"Connections of HTTP clients."),
	GAUGE("baton_http_requests_in_progress", SOURCE_SERVE, "requests", "requests",
		"Requests that have no answer yet; those that wait for a message among them."),
	COUNTER("baton_http_requests_total", SOURCE_REQUESTS, "count", "requests",
		"Requests answered, by route and status; code 0: the client left before."),
	HISTOGRAM("baton_http_request_seconds", SOURCE_TIMES, "seconds", "seconds",
		"Time from the headers of a request to the end of the answer; a long poll's waiting is part of it."),
	{0},
};
/* clang-format on */

int
source_labels(const Source *source)
{
	int n = 0;

	while (n < SOURCE_LABELS_MAX && source->labels[n])
		n++;
	return n;
}

const char *
metric_type_name(MetricType type)
{
	static const char *const names[] = {"counter", "gauge", "histogram"};

	return names[type];
}
