/*
 * core/heap.c
 *	  A pairing heap of slots on the caller's memory, linked by index.
 *
 * A heap is a tree in which every parent's key is at most its children's.  The
 * children of a node form a list through next, newest first; prev leads back,
 * from the leftmost child to the parent, so that a node can be cut out of the
 * middle without a search.  Which of the two prev means is told by looking
 * there: nodes[prev].child is this node exactly if prev is the parent.
 *
 * The work is in merging the children of a node that goes away.  It is done in
 * two passes, as the paper has it: neighbours are melded in pairs from left to
 * right, then the results are melded into one from right to left.  The first
 * pass threads its results through next in reverse order, which is the order
 * in which the second pass wants them; so there is no recursion and no stack.
 */
#include "core/heap.h"

/* How far heap_some_leaf goes down. */
#define LEAF_STEPS 64

/* ----------------------------------------------------------------
 *		Links
 * ----------------------------------------------------------------
 */

static void
make_single(HeapNode *node)
{
	node->child = HEAP_NIL;
	node->next = HEAP_NIL;
	node->prev = HEAP_NIL;
}

/* Makes child, a root, the leftmost child of parent, another root. */
static void
link_child(HeapNode *nodes, uint32_t parent, uint32_t child)
{
	uint32_t sibling = nodes[parent].child;

	nodes[child].prev = parent;
	nodes[child].next = sibling;
	if (sibling != HEAP_NIL)
		nodes[sibling].prev = child;
	nodes[parent].child = child;
}

/* Joins two trees, neither empty; returns the root, whose next and prev are the caller's to set. */
static uint32_t
meld(HeapNode *nodes, uint32_t a, uint32_t b)
{
	if (nodes[b].key < nodes[a].key)
	{
		link_child(nodes, b, a);
		return b;
	}
	link_child(nodes, a, b);
	return a;
}

/* Cuts i, which is not a root, out of its parent's list of children. */
static void
unlink_child(HeapNode *nodes, uint32_t i)
{
	uint32_t prev = nodes[i].prev;
	uint32_t next = nodes[i].next;

	if (nodes[prev].child == i)
		nodes[prev].child = next;
	else
		nodes[prev].next = next;
	if (next != HEAP_NIL)
		nodes[next].prev = prev;
}

/* ----------------------------------------------------------------
 *		The two passes
 * ----------------------------------------------------------------
 */

/* Melds neighbours in pairs; returns the list of the results, the last pair first. */
static uint32_t
meld_pairs(HeapNode *nodes, uint32_t first)
{
	uint32_t results = HEAP_NIL;

	while (first != HEAP_NIL)
	{
		uint32_t tree = first;
		uint32_t partner = nodes[first].next;

		first = HEAP_NIL;
		if (partner != HEAP_NIL)
		{
			first = nodes[partner].next;
			tree = meld(nodes, tree, partner);
		}
		nodes[tree].next = results;
		results = tree;
	}
	return results;
}

/* Makes one tree of a list of siblings that has lost its parent; HEAP_NIL for none. */
static uint32_t
meld_siblings(HeapNode *nodes, uint32_t first)
{
	uint32_t tree;
	uint32_t rest;

	if (first == HEAP_NIL)
		return HEAP_NIL;

	tree = meld_pairs(nodes, first);
	rest = nodes[tree].next;
	while (rest != HEAP_NIL)
	{
		uint32_t after = nodes[rest].next;

		tree = meld(nodes, tree, rest);
		rest = after;
	}
	nodes[tree].next = HEAP_NIL;
	nodes[tree].prev = HEAP_NIL;
	return tree;
}

/* ----------------------------------------------------------------
 *		Operations
 * ----------------------------------------------------------------
 */

void
heap_push(HeapNode *nodes, HeapRoot *root, uint32_t i, int64_t key)
{
	make_single(&nodes[i]);
	nodes[i].key = key;
	*root = *root == HEAP_NIL ? i : meld(nodes, *root, i);
}

uint32_t
heap_pop(HeapNode *nodes, HeapRoot *root)
{
	uint32_t top = *root;

	if (top != HEAP_NIL)
	{
		*root = meld_siblings(nodes, nodes[top].child);
		make_single(&nodes[top]);
	}
	return top;
}

void
heap_remove(HeapNode *nodes, HeapRoot *root, uint32_t i)
{
	uint32_t orphans;

	if (i == *root)
	{
		(void) heap_pop(nodes, root);
		return;
	}

	unlink_child(nodes, i);
	orphans = meld_siblings(nodes, nodes[i].child);
	if (orphans != HEAP_NIL)
		*root = meld(nodes, *root, orphans);
	make_single(&nodes[i]);
}

uint32_t
heap_some_leaf(const HeapNode *nodes, HeapRoot root)
{
	uint32_t i = root;

	if (i == HEAP_NIL)
		return HEAP_NIL;
	for (int step = 0; step < LEAF_STEPS && nodes[i].child != HEAP_NIL; step++)
		i = nodes[i].child;
	return i;
}

/* ----------------------------------------------------------------
 *		Check
 * ----------------------------------------------------------------
 */

/*
 * Whether all children of i are linked back and none is smaller than i.
 *
 * Every node has one prev, so a node that passes here was reached the only way
 * it can be: from i's list and no other.  Hence a walk over nodes that passed
 * comes to each of them once, whatever the broken ones hold.
 */
static bool
check_children(const HeapNode *nodes, uint32_t i)
{
	uint32_t prev = i;
	uint32_t child = nodes[i].child;

	if (child != HEAP_NIL && child == nodes[i].next)
		return false;
	while (child != HEAP_NIL)
	{
		if (nodes[child].prev != prev || nodes[child].key < nodes[i].key)
			return false;
		prev = child;
		child = nodes[child].next;
	}
	return true;
}

/* The node after i in preorder, given that i and all before it were checked; HEAP_NIL: none. */
static uint32_t
preorder_next(const HeapNode *nodes, uint32_t root, uint32_t i)
{
	if (nodes[i].child != HEAP_NIL)
		return nodes[i].child;

	while (i != root && nodes[i].next == HEAP_NIL)
	{
		while (nodes[nodes[i].prev].child != i)
			i = nodes[i].prev;
		i = nodes[i].prev;
	}
	return i == root ? HEAP_NIL : nodes[i].next;
}

bool
heap_check(const HeapNode *nodes, HeapRoot root, uint32_t max, uint32_t *count)
{
	*count = 0;
	if (root == HEAP_NIL)
		return true;
	if (nodes[root].prev != HEAP_NIL || nodes[root].next != HEAP_NIL)
		return false;

	for (uint32_t i = root; i != HEAP_NIL; i = preorder_next(nodes, root, i))
	{
		if (*count == max)
			return false;
		(*count)++;
		if (!check_children(nodes, i))
			return false;
	}
	return true;
}
