/*
 * test_heap.c
 *	  The pairing heap: order, links, removal from the middle, depth, and random
 *	  operations on several heaps in one array against plain sets as a model.
 *
 * What it would catch: a link not answered after a removal (an element lost, or
 * in two places), the smallest not on top, recursion over a long chain.
 */
#include "unit.h"

#include "core/heap.h"

#include <string.h>

#define MANY 1000000

static HeapNode *
new_nodes(uint32_t count)
{
	HeapNode *nodes = malloc(count * sizeof(HeapNode));

	assert_non_null(nodes);
	memset(nodes, 0xA5, count * sizeof(HeapNode));
	return nodes;
}

static void
assert_size(const HeapNode *nodes, HeapRoot root, uint32_t expected)
{
	uint32_t count;

	assert_true(heap_check(nodes, root, expected, &count));
	assert_int_equal(count, expected);
}

static void
assert_in_no_heap(const HeapNode *node)
{
	assert_int_equal(node->child, HEAP_NIL);
	assert_int_equal(node->next, HEAP_NIL);
	assert_int_equal(node->prev, HEAP_NIL);
}

/* ----------------------------------------------------------------
 *		Small cases
 * ----------------------------------------------------------------
 */

static void
empty_heap_has_nothing(void **state)
{
	HeapRoot root = HEAP_NIL;

	(void) state;
	assert_int_equal(heap_pop(NULL, &root), HEAP_NIL);
	assert_int_equal(heap_some_leaf(NULL, root), HEAP_NIL);
	assert_size(NULL, root, 0);
}

static void
single_element(void **state)
{
	HeapNode *nodes = new_nodes(8);
	HeapRoot root = HEAP_NIL;

	(void) state;
	heap_push(nodes, &root, 7, -5);
	assert_int_equal(root, 7);
	assert_int_equal(nodes[7].key, -5);
	assert_int_equal(heap_some_leaf(nodes, root), 7);
	assert_size(nodes, root, 1);

	heap_remove(nodes, &root, 7);
	assert_int_equal(root, HEAP_NIL);
	assert_in_no_heap(&nodes[7]);

	heap_push(nodes, &root, 7, INT64_MIN);
	assert_int_equal(heap_pop(nodes, &root), 7);
	assert_int_equal(root, HEAP_NIL);
	assert_in_no_heap(&nodes[7]);
	free(nodes);
}

static void
pops_in_order_with_extreme_and_equal_keys(void **state)
{
	static const int64_t keys[] = {3,  INT64_MAX, 0, INT64_MIN, 3,
	                               -1, INT64_MAX, 3, INT64_MIN};
	enum
	{
		N = sizeof(keys) / sizeof(keys[0])
	};
	HeapNode *nodes = new_nodes(N);
	HeapRoot root = HEAP_NIL;
	bool seen[N] = {false};
	int64_t last = INT64_MIN;

	(void) state;
	for (uint32_t i = 0; i < N; i++)
		heap_push(nodes, &root, i, keys[i]);
	for (uint32_t left = N; left > 0; left--)
	{
		uint32_t i;

		assert_size(nodes, root, left);
		i = heap_pop(nodes, &root);
		assert_false(seen[i]);
		seen[i] = true;
		assert_true(keys[i] >= last);
		last = keys[i];
	}
	assert_int_equal(heap_pop(nodes, &root), HEAP_NIL);
	free(nodes);
}

/* Heaps of up to eight after pops, in many orders: any element can be taken out of the middle. */
static void
every_element_can_be_removed(void **state)
{
	HeapNode nodes[8];

	(void) state;
	for (uint32_t size = 1; size <= 8; size++)
		for (uint32_t pops = 0; pops < size; pops++)
			for (uint32_t order = 0; order < 64; order++)
				for (uint32_t victim = 0; victim < size; victim++)
				{
					HeapRoot root = HEAP_NIL;
					uint32_t left = size - pops;
					bool popped = false;

					for (uint32_t i = 0; i < size; i++)
						heap_push(nodes, &root, i, (i * 5 + order) % 8 ^ order >> 3);
					for (uint32_t k = 0; k < pops; k++)
						popped |= heap_pop(nodes, &root) == victim;
					if (popped)
						continue;

					heap_remove(nodes, &root, victim);
					assert_in_no_heap(&nodes[victim]);
					assert_size(nodes, root, left - 1);
				}
}

/* ----------------------------------------------------------------
 *		Shapes
 * ----------------------------------------------------------------
 */

/* Falling keys make a chain, rising keys a star: the deepest and the widest tree. */
static void
chain_and_star_of_a_million(void **state)
{
	HeapNode *nodes = new_nodes(MANY);

	(void) state;
	for (int falling = 0; falling <= 1; falling++)
	{
		HeapRoot root = HEAP_NIL;

		for (uint32_t i = 0; i < MANY; i++)
			heap_push(nodes, &root, i, falling ? -(int64_t) i : i);
		assert_size(nodes, root, MANY);
		for (uint32_t i = 0; i < MANY; i++)
			assert_int_equal(heap_pop(nodes, &root), falling ? MANY - 1 - i : i);
		assert_int_equal(root, HEAP_NIL);
	}
	free(nodes);
}

/* The way a backlog of leases is settled: pushed in order of time, taken off in any order. */
static void
a_million_removed_at_random(void **state)
{
	HeapNode *nodes = new_nodes(MANY);
	uint32_t *order = malloc(MANY * sizeof(uint32_t));
	HeapRoot root = HEAP_NIL;

	(void) state;
	random_seed(2);
	assert_non_null(order);
	for (uint32_t i = 0; i < MANY; i++)
	{
		uint32_t k = random_below(i + 1);

		heap_push(nodes, &root, i, i);
		order[i] = order[k];
		order[k] = i;
	}
	for (uint32_t i = 0; i < MANY; i++)
	{
		heap_remove(nodes, &root, order[i]);
		if (i % 100000 == 0)
			assert_size(nodes, root, MANY - 1 - i);
	}
	assert_int_equal(root, HEAP_NIL);
	free(order);
	free(nodes);
}

static void
leaf_is_never_the_top_of_several(void **state)
{
	HeapNode *nodes = new_nodes(1000);
	HeapRoot root = HEAP_NIL;

	(void) state;
	random_seed(3);
	for (uint32_t i = 0; i < 1000; i++)
		heap_push(nodes, &root, i, random_below(50));
	for (uint32_t left = 1000; left > 0; left--)
	{
		uint32_t leaf = heap_some_leaf(nodes, root);

		assert_true(leaf != root || left == 1);
		heap_remove(nodes, &root, leaf);
		if (left % 7 == 0)
		{
			heap_push(nodes, &root, leaf, random_below(50));
			assert_int_not_equal(heap_pop(nodes, &root), HEAP_NIL);
		}
		assert_size(nodes, root, left - 1);
	}

	/* A chain deeper than the search goes. */
	for (uint32_t i = 0; i < 1000; i++)
		heap_push(nodes, &root, i, -(int64_t) i);
	assert_int_not_equal(heap_some_leaf(nodes, root), root);
	free(nodes);
}

/* ----------------------------------------------------------------
 *		The check itself
 * ----------------------------------------------------------------
 */

/* Breaks each link and each key of a heap in turn: heap_check says so, or all is as it was. */
static void
check_finds_what_is_broken(void **state)
{
	enum
	{
		N = 20
	};
	HeapNode nodes[N];
	HeapRoot root = HEAP_NIL;
	uint32_t count;

	(void) state;
	random_seed(4);
	for (uint32_t i = 0; i < N; i++)
		heap_push(nodes, &root, i, random_below(100));
	heap_push(nodes, &root, heap_pop(nodes, &root), 0);
	assert_size(nodes, root, N);
	assert_false(heap_check(nodes, root, N - 1, &count));

	for (uint32_t i = 0; i < N; i++)
	{
		uint32_t *links[] = {&nodes[i].child, &nodes[i].next, &nodes[i].prev};

		for (int k = 0; k < 3; k++)
			for (uint32_t target = 0; target <= N; target++)
			{
				uint32_t saved = *links[k];
				bool whole;

				*links[k] = target == N ? HEAP_NIL : target;
				whole = heap_check(nodes, root, N, &count) && count == N;
				assert_true(whole == (*links[k] == saved));
				*links[k] = saved;
			}

		if (i != root)
		{
			int64_t key = nodes[i].key;

			nodes[i].key = -1;
			assert_false(heap_check(nodes, root, N, &count));
			nodes[i].key = key;
		}
	}
	assert_size(nodes, root, N);
}

/* ----------------------------------------------------------------
 *		Against a model
 * ----------------------------------------------------------------
 */

#define ELEMENTS 300
#define HEAPS 4

typedef struct Model
{
	HeapNode *nodes;
	HeapRoot root[HEAPS];
	int heap_of[ELEMENTS]; /* -1: in none */
	int64_t key[ELEMENTS];
} Model;

static int64_t
model_min(const Model *model, int heap)
{
	int64_t min = INT64_MAX;

	for (int i = 0; i < ELEMENTS; i++)
		if (model->heap_of[i] == heap && model->key[i] < min)
			min = model->key[i];
	return min;
}

static uint32_t
model_size(const Model *model, int heap)
{
	uint32_t size = 0;

	for (int i = 0; i < ELEMENTS; i++)
		size += model->heap_of[i] == heap;
	return size;
}

static void
model_taken(Model *model, uint32_t i)
{
	model->heap_of[i] = -1;
	assert_in_no_heap(&model->nodes[i]);
}

static void
model_pop(Model *model, int heap)
{
	int64_t min = model_min(model, heap);
	uint32_t size = model_size(model, heap);
	uint32_t i = heap_pop(model->nodes, &model->root[heap]);

	assert_true((i == HEAP_NIL) == (size == 0));
	if (i == HEAP_NIL)
		return;
	assert_int_equal(model->heap_of[i], heap);
	assert_true(model->key[i] == min);
	model_taken(model, i);
}

/* Pushes element i if it is in no heap, else removes it. */
static void
model_toggle(Model *model, uint32_t i, uint32_t keys)
{
	int heap = model->heap_of[i];

	if (heap >= 0)
	{
		heap_remove(model->nodes, &model->root[heap], i);
		model_taken(model, i);
		return;
	}
	heap = (int) random_below(HEAPS);
	model->heap_of[i] = heap;
	model->key[i] = (int64_t) random_below(keys) - keys / 2;
	heap_push(model->nodes, &model->root[heap], i, model->key[i]);
}

static void
model_evict(Model *model, int heap)
{
	uint32_t leaf = heap_some_leaf(model->nodes, model->root[heap]);

	if (leaf == HEAP_NIL)
		return;
	assert_int_equal(model->heap_of[leaf], heap);
	heap_remove(model->nodes, &model->root[heap], leaf);
	model_taken(model, leaf);
}

static void
random_operations_agree_with_a_model(void **state)
{
	Model model;

	(void) state;
	random_seed(1);
	model.nodes = new_nodes(ELEMENTS);
	for (int i = 0; i < ELEMENTS; i++)
		model.heap_of[i] = -1;
	for (int heap = 0; heap < HEAPS; heap++)
		model.root[heap] = HEAP_NIL;

	for (int step = 0; step < 200000; step++)
	{
		/* Phases of many and of few equal keys, of growth and of decline. */
		uint32_t keys = step / 1000 % 2 ? 10 : 1000000;
		uint32_t toggles = step / 5000 % 2 ? 6 : 9;
		uint32_t what = random_below(10);
		int heap = (int) random_below(HEAPS);

		if (what < toggles)
			model_toggle(&model, random_below(ELEMENTS), keys);
		else if (what < 9)
			model_pop(&model, heap);
		else
			model_evict(&model, heap);

		if (step % 16 == 0)
			assert_size(model.nodes, model.root[heap], model_size(&model, heap));
	}

	for (int heap = 0; heap < HEAPS; heap++)
	{
		assert_size(model.nodes, model.root[heap], model_size(&model, heap));
		while (model.root[heap] != HEAP_NIL)
			model_pop(&model, heap);
	}
	for (int i = 0; i < ELEMENTS; i++)
		assert_int_equal(model.heap_of[i], -1);
	free(model.nodes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(empty_heap_has_nothing),
	    cmocka_unit_test(single_element),
	    cmocka_unit_test(pops_in_order_with_extreme_and_equal_keys),
	    cmocka_unit_test(every_element_can_be_removed),
	    cmocka_unit_test(chain_and_star_of_a_million),
	    cmocka_unit_test(a_million_removed_at_random),
	    cmocka_unit_test(leaf_is_never_the_top_of_several),
	    cmocka_unit_test(check_finds_what_is_broken),
	    cmocka_unit_test(random_operations_agree_with_a_model),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
