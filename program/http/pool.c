/*
 * http/pool.c
 *	  A few connections for many requests.
 */
#include "http/pool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/log.h"

static void pool_step(Pool *pool);

/* ---- jobs ---- */

static uint64_t
hash_of(const char *text)
{
	uint64_t hash = 14695981039346656037ULL;

	for (; *text; text++)
		hash = (hash ^ (unsigned char) *text) * 1099511628211ULL;
	return hash;
}

static void
keep_copies(PoolJob *job, Query query)
{
	job->sql = mem_copy(query.sql);
	job->hash = hash_of(query.sql);
	job->count = query.count;
	job->values = mem_alloc(sizeof(char *) * (query.count + 1));
	for (int i = 0; i < query.count; i++)
		job->values[i] = query.values[i] ? mem_copy(query.values[i]) : NULL;
}

static void
free_job(PoolJob *job)
{
	for (int i = 0; job->values && i < job->count; i++)
		free(job->values[i]);
	free(job->values);
	free(job->sql);
	free(job);
}

static PoolLine *
line_of(Pool *pool, const PoolJob *job)
{
	return job->taken ? &pool->takers : &pool->jobs;
}

static void
join_line(PoolLine *line, PoolJob *job)
{
	if (line->last)
		line->last->next = job;
	else
		line->first = job;
	line->last = job;
}

static void
leave_line(PoolLine *line, PoolJob *job)
{
	PoolJob *before = NULL;

	for (PoolJob *j = line->first; j != job; j = j->next)
		before = j;
	if (before)
		before->next = job->next;
	else
		line->first = job->next;
	if (line->last == job)
		line->last = before;
	job->next = NULL;
}

static void
free_line(PoolLine *line)
{
	for (PoolJob *job = line->first, *next; job; job = next)
	{
		next = job->next;
		free_job(job);
	}
}

static void
give_up(PoolJob *job)
{
	if (job->taken)
		job->taken(job->arg, NULL);
	else
		job->answer(job->arg, NULL);
	free_job(job);
}

/* ---- links ---- */

static PoolLink *
free_link(Pool *pool)
{
	for (int i = 0; i < pool->size; i++)
		if (pool->links[i].link.state == LINK_IDLE && !pool->links[i].taken)
			return &pool->links[i];
	return NULL;
}

bool
pool_up(const Pool *pool)
{
	for (int i = 0; i < pool->size; i++)
		if (pool->links[i].link.state >= LINK_IDLE)
			return true;
	return false;
}

/* ---- prepared statements ---- */

#define NAME_SIZE 32

static void
name_of(uint64_t hash, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "baton_%016" PRIx64, hash);
}

static bool
is_prepared(const PoolLink *on, uint64_t hash)
{
	for (int i = 0; i < on->prepared_count; i++)
		if (on->prepared[i] == hash)
			return true;
	return false;
}

static bool
has_sqlstate(const PGresult *result, const char *sqlstate)
{
	return result && strcmp(query_sqlstate(result), sqlstate) == 0;
}

static void
found_pooler(Pool *pool)
{
	pool->pooler = true;
	log_message(LOG_INFO, "pooler",
	            "the database is behind a pooler: statements are not prepared");
}

/* ---- statements ---- */

/* A statement that was just prepared counts in on->prepared already. */
static void
prepared(void *arg, const PGresult *result)
{
	PoolLink *on = arg;

	if (result == NULL || query_failed(result))
		on->prepared_count--;
	if (has_sqlstate(result, "42P05") && !on->pool->pooler)
		found_pooler(on->pool);
	pool_step(on->pool);
}

/* True: the link is busy with that. */
static bool
prepare(PoolLink *on, const PoolJob *job)
{
	char name[NAME_SIZE];

	if (on->pool->pooler || job->named || on->prepared_count == PREPARED_MOST)
		return false;
	name_of(job->hash, name);
	on->prepared[on->prepared_count++] = job->hash;
	return link_prepare(&on->link, name, job->sql, prepared, on);
}

static void answered(void *arg, const PGresult *result);

/* False: the link was lost just now. */
static bool
send_on(PoolLink *on, PoolJob *job)
{
	Query query = {job->sql, job->count, (const char *const *) job->values};
	char name[NAME_SIZE];
	bool sent;

	job->named = !on->pool->pooler && is_prepared(on, job->hash);
	name_of(job->hash, name);
	sent = job->named ? link_send_prepared(&on->link, name, query, answered, on)
	                  : link_send(&on->link, query, answered, on);
	if (!sent)
		return false;
	job->on = on;
	on->job = job;
	return true;
}

/* The link is free again, or busy for others, before the answer is given. */
static void
answered(void *arg, const PGresult *result)
{
	PoolLink *on = arg;
	PoolJob *job = on->job;

	on->job = NULL;
	if (job->named && has_sqlstate(result, "26000"))
	{
		/* Nothing was done. */
		if (!on->pool->pooler)
			found_pooler(on->pool);
		if (send_on(on, job))
			return;
		result = NULL;
	}
	if (result == NULL || query_failed(result) || !prepare(on, job))
		pool_step(on->pool);
	job->answer(job->arg, result);
	free_job(job);
}

/* Who takes a link leaves half of them to others. */
static bool
may_take(const Pool *pool)
{
	return pool->taken == 0 || 2 * pool->taken < pool->size;
}

static void
give_link(PoolLink *on, PoolJob *job)
{
	on->taken = true;
	on->pool->taken++;
	job->taken(job->arg, on);
	free_job(job);
}

/* Without any connection nothing waits. */
static void
give_up_all(PoolLine *line)
{
	PoolJob *job;

	while ((job = line->first) != NULL)
	{
		leave_line(line, job);
		give_up(job);
	}
}

/* Links that are free take what is in line. */
static void
pool_step(Pool *pool)
{
	PoolLink *on;
	PoolJob *job;

	while ((job = pool->jobs.first) != NULL && (on = free_link(pool)) != NULL)
		if (send_on(on, job))
			leave_line(&pool->jobs, job);
	while ((job = pool->takers.first) != NULL && may_take(pool) &&
	       (on = free_link(pool)) != NULL)
	{
		leave_line(&pool->takers, job);
		give_link(on, job);
	}
	if (!pool_up(pool))
	{
		give_up_all(&pool->jobs);
		give_up_all(&pool->takers);
	}
}

static void
look(void *arg)
{
	pool_step(arg);
}

/* Not at once: who is told that there is no connection must not be told while asking. */
static void
look_soon(Pool *pool)
{
	loop_timer(&pool->look, 0, look, pool);
}

static void
link_changed(void *arg)
{
	PoolLink *on = arg;

	if (on->link.state == LINK_DOWN)
		on->prepared_count = 0;
	look_soon(on->pool);
}

void
pool_start(Pool *pool, int size, PGconn *first)
{
	pool->size = size;
	for (int i = 0; i < size; i++)
	{
		PoolLink *on = &pool->links[i];

		on->pool = pool;
		on->link = (Link){.name = "pool",
		                  .application = "baton serve",
		                  .went_up = link_changed,
		                  .went_down = link_changed,
		                  .arg = on};
		if (i == 0)
			link_adopt(&on->link, first);
		else
			link_open(&on->link);
	}
}

void
pool_stop(Pool *pool)
{
	loop_timer_stop(&pool->look);
	for (int i = 0; i < pool->size; i++)
	{
		link_close(&pool->links[i].link);
		if (pool->links[i].job)
			free_job(pool->links[i].job);
	}
	free_line(&pool->jobs);
	free_line(&pool->takers);
}

/* ---- asking ---- */

PoolJob *
pool_run(Pool *pool, Query query, LinkAnswer answer, void *arg)
{
	PoolJob *job = mem_alloc(sizeof(PoolJob));
	PoolLink *on;

	job->answer = answer;
	job->arg = arg;
	keep_copies(job, query);
	while (pool->jobs.first == NULL && (on = free_link(pool)) != NULL)
		if (send_on(on, job))
			return job;
	join_line(&pool->jobs, job);
	if (!pool_up(pool))
		look_soon(pool);
	return job;
}

PoolJob *
pool_take(Pool *pool, PoolTaken taken, void *arg)
{
	PoolJob *job = mem_alloc(sizeof(PoolJob));

	job->taken = taken;
	job->arg = arg;
	join_line(&pool->takers, job);
	look_soon(pool);
	return job;
}

static void
ignore(void *arg, const PGresult *result)
{
	(void) arg, (void) result;
}

void
pool_forget(Pool *pool, PoolJob *job)
{
	if (job->on == NULL)
	{
		leave_line(line_of(pool, job), job);
		free_job(job);
		return;
	}
	job->answer = ignore;
	link_cancel(&job->on->link);
}

void
pool_give(PoolLink *link)
{
	link->taken = false;
	link->pool->taken--;
	pool_step(link->pool);
}
