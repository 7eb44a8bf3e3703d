/*
 * memory/inflight.c
 *	  Which messages are in flight, where a crash of the server doesn't clear it.
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#include "memory/inflight.h"

#define INFLIGHT_FILE PG_STAT_TMP_DIR "/baton.inflight"
#define INFLIGHT_MAGIC 0x6261746f6e303031	/* "baton001" */
#define QUARANTINE_SPAN (INT64CONST(600) * USECS_PER_SEC)

/* A slot that is claimed; id 0: none.  Under its queue's lock. */
typedef struct InFlight
{
	int64		id;
	Oid			database;
	Oid			extension;
	uint8		suspicion;
	bool		alone;			/* handed out in quarantine */
} InFlight;

/* The mapping; suspects and in-flight entries follow, `size` of each. */
typedef struct InFlightTable
{
	uint64		magic;
	uint64		system;			/* whose file it is */
	uint32		size;
	uint32		suspects;
	bool		lived;			/* a life of the server has begun on this mapping */
	TimestampTz last_crash;
} InFlightTable;

static InFlightTable *table;

static Suspect *
suspects(void)
{
	return (Suspect *) ((char *) table + MAXALIGN(sizeof(InFlightTable)));
}

static InFlight *
inflight(void)
{
	return (InFlight *) (suspects() + table->size);
}

static Size
table_size(void)
{
	return MAXALIGN(sizeof(InFlightTable)) +
		   (Size) baton_window_size * (sizeof(Suspect) + sizeof(InFlight));
}

/*
 * The postmaster goes down.  With claims in the table it does so after a crash, since sessions
 * that end take theirs back.
 */
static void
write_file(int code, Datum arg)
{
	FILE	   *file;

	if (!IsPostmasterEnvironment || IsUnderPostmaster || code == 0 || !table->lived)
		return;
	file = AllocateFile(INFLIGHT_FILE, PG_BINARY_W);
	if (file == NULL)
		return;
	if (fwrite(table, table_size(), 1, file) != 1)
	{
		FreeFile(file);
		unlink(INFLIGHT_FILE);
		return;
	}
	FreeFile(file);
}

static void
read_file(void)
{
	FILE	   *file = AllocateFile(INFLIGHT_FILE, PG_BINARY_R);
	uint32		size = table->size;
	bool		good;

	if (file == NULL)
		return;
	good = fread(table, table_size(), 1, file) == 1 && table->magic == INFLIGHT_MAGIC &&
		   table->size == size && table->system == GetSystemIdentifier();
	FreeFile(file);
	unlink(INFLIGHT_FILE);
	if (!good)
	{
		memset(table, 0, table_size());
		table->magic = INFLIGHT_MAGIC;
		table->size = size;
	}
}

void
inflight_define(void)
{
	table = mmap(NULL, table_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED)
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY),
						errmsg("could not map memory for messages in flight: %m")));
	table->magic = INFLIGHT_MAGIC;
	table->size = baton_window_size;
	on_proc_exit(write_file, 0);
}

static int
compare_suspects(const void *a, const void *b)
{
	const Suspect *x = a;
	const Suspect *y = b;

	if (x->database != y->database)
		return x->database < y->database ? -1 : 1;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return 0;
}

static Suspect *
find_suspect(Oid database, int64 id)
{
	Suspect		wanted = {.database = database, .id = id};

	if (table->suspects == 0)
		return NULL;
	return bsearch(&wanted, suspects(), table->suspects, sizeof(Suspect), compare_suspects);
}

static void
suspect_from(const InFlight *entry, bool alone, Suspect *fresh, uint32 *added)
{
	Suspect    *s = find_suspect(entry->database, entry->id);

	if (s == NULL)
	{
		if (table->suspects + *added >= table->size)
			return;
		s = &fresh[(*added)++];
		memset(s, 0, sizeof(Suspect));
		s->database = entry->database;
		s->extension = entry->extension;
		s->id = entry->id;
	}
	s->gone = false;
	s->unlogged = true;
	s->suspicion = Min(s->suspicion + 1, 200);
	if (alone || entry->alone)
		s->crashes++;
}

static void
forget_acquitted(void)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < table->suspects; i++)
	{
		if (suspects()[i].gone)
			continue;
		suspects()[kept] = suspects()[i];
		suspects()[kept++].posted = false;
	}
	table->suspects = kept;
}

bool
inflight_begin_life(void)
{
	uint32		added = 0;
	uint32		claims = 0;
	bool		quarantine;
	TimestampTz now = baton_now();

	if (!table->lived)
		read_file();
	table->system = GetSystemIdentifier();	/* out of reach when the postmaster goes down */
	forget_acquitted();
	for (uint32 i = 0; i < table->size; i++)
		claims += inflight()[i].id != 0;
	for (uint32 i = 0; i < table->size; i++)
	{
		if (inflight()[i].id != 0)
			suspect_from(&inflight()[i], claims == 1, suspects() + table->suspects, &added);
	}
	table->suspects += added;
	qsort(suspects(), table->suspects, sizeof(Suspect), compare_suspects);
	memset(inflight(), 0, table->size * sizeof(InFlight));

	quarantine = table->lived && table->last_crash != 0 &&
				 now - table->last_crash < QUARANTINE_SPAN;
	if (table->lived)
		table->last_crash = now;
	table->lived = true;
	return quarantine && table->suspects > 0;
}

void
inflight_set(uint32 slot)
{
	const Slot *s = &slots[slot];
	const Database *d = &shared->databases[s->database];
	InFlight   *entry = &inflight()[slot];

	entry->database = d->oid;
	entry->extension = d->extension;
	entry->suspicion = s->suspicion;
	entry->alone = shared->quarantine && s->suspicion > 0;
	entry->id = s->id;
}

void
inflight_clear(uint32 slot)
{
	inflight()[slot].id = 0;
}

static Suspect *
find_unsettled(uint32 database, int64 id)
{
	const Database *d = &shared->databases[database];
	Suspect    *s = find_suspect(d->oid, id);

	return s == NULL || s->gone || s->extension != d->extension ? NULL : s;
}

bool
inflight_is_suspect(uint32 database, int64 id)
{
	return find_unsettled(database, id) != NULL;
}

bool
inflight_suspect(uint32 database, int64 id, Suspect *out)
{
	Suspect    *s = find_unsettled(database, id);

	if (s == NULL)
		return false;
	*out = *s;
	s->posted = true;
	return true;
}

void
inflight_logged(uint32 database, int64 id)
{
	Suspect    *s = find_suspect(shared->databases[database].oid, id);

	if (s == NULL || s->extension != shared->databases[database].extension)
		return;
	s->crashes = 0;
	s->unlogged = s->posted = false;
}

void
inflight_acquit(uint32 slot)
{
	Suspect    *s;

	s = find_suspect(shared->databases[slots[slot].database].oid, slots[slot].id);
	if (s != NULL)
		s->gone = true;
}

bool
suspect_begin(uint32 slot)
{
	bool		mine;

	if (!shared->quarantine || slots[slot].suspicion == 0)
		return true;
	SpinLockAcquire(&shared->suspect_mutex);
	mine = shared->suspect == NONE;
	if (mine)
		shared->suspect = slot;
	SpinLockRelease(&shared->suspect_mutex);
	return mine;
}

void
suspect_end(uint32 slot)
{
	if (!shared->quarantine || slots[slot].suspicion == 0)
		return;
	SpinLockAcquire(&shared->suspect_mutex);
	if (shared->suspect == slot)
		shared->suspect = NONE;
	SpinLockRelease(&shared->suspect_mutex);
}
