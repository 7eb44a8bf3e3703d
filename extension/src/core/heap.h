/*
 * core/heap.h
 *	  A pairing heap of slots on the caller's memory, linked by index.
 *
 * Many heaps share one array of nodes; an element is its index in that array
 * and is in at most one heap at a time.  Nothing is allocated, so no operation
 * can fail; that is what lets commit and abort callbacks use it.  The smallest
 * key is on top; equal keys come in no particular order.
 *
 * Fredman, Sedgewick, Sleator, Tarjan: "The pairing heap: a new form of
 * self-adjusting heap", Algorithmica 1 (1986).  push and meld are O(1), pop and
 * remove O(log n) amortized.  All of it is iterative: a heap of a million
 * elements must not use a deep stack.
 *
 * Locking: none; the caller holds the lock that guards the heap.
 */
#ifndef BATON_CORE_HEAP_H
#define BATON_CORE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#define HEAP_NIL UINT32_MAX

typedef struct HeapNode
{
	int64_t		key;			/* set by heap_push */
	uint32_t	child;			/* leftmost child, or HEAP_NIL */
	uint32_t	next;			/* right sibling, or HEAP_NIL */
	uint32_t	prev;			/* left sibling; for a leftmost child its parent; HEAP_NIL: root
								 * or in no heap */
} HeapNode;

/* Root of one heap: HEAP_NIL when it is empty.  Lives wherever the caller likes. */
typedef uint32_t HeapRoot;

/* Adds element i, which must be in no heap, under the given key. */
extern void heap_push(HeapNode *nodes, HeapRoot *root, uint32_t i, int64_t key);

/* Takes the smallest element off and returns it; HEAP_NIL when empty. */
extern uint32_t heap_pop(HeapNode *nodes, HeapRoot *root);

/* Takes element i off, which must be in this heap. */
extern void heap_remove(HeapNode *nodes, HeapRoot *root, uint32_t i);

/* An element without children, or, where none is found in 64 steps down, the one reached: never
 * the smallest, unless that is the only one; HEAP_NIL when empty.  A good victim for eviction,
 * because its way to the top is long; heap_remove takes it off like any other. */
extern uint32_t heap_some_leaf(const HeapNode *nodes, HeapRoot root);

/* Number of elements, and whether order and links hold; for the checks of test builds.
 * Visits every element; returns false, with *count what was seen so far, on a broken link or
 * more than max elements (a cycle). */
extern bool heap_check(const HeapNode *nodes, HeapRoot root, uint32_t max, uint32_t *count);

#endif
