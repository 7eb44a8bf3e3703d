/*
 * test_receipt.c
 *	  Receipts as text: there and back, the format byte by byte, and what is refused.
 *
 * What it would catch: a receipt of before a restart, one with a changed
 * character, or one of another claim that is taken for valid; a read past the
 * end of the text.
 */
#include "unit.h"

#include "core/receipt.h"

#include <string.h>

#define EPOCH UINT64_C(0x0123456789abcdef)

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static Receipt
random_receipt(void)
{
	Receipt receipt = {.slot = (uint32_t) random_bits(),
	                   .generation = (uint32_t) random_bits(),
	                   .id = (int64_t) random_bits()};

	return receipt;
}

static void
assert_there_and_back(Receipt receipt, uint64_t epoch)
{
	char text[RECEIPT_LENGTH];
	Receipt back;

	receipt_encode(&receipt, epoch, text);
	for (int i = 0; i < RECEIPT_LENGTH; i++)
		assert_non_null(memchr(alphabet, text[i], 64));
	assert_int_equal(receipt_decode(text, RECEIPT_LENGTH, epoch, &back), RECEIPT_OK);
	assert_int_equal(back.slot, receipt.slot);
	assert_int_equal(back.generation, receipt.generation);
	assert_true(back.id == receipt.id);
}

static void
comes_back_as_it_was(void **state)
{
	(void) state;
	random_seed(1);
	assert_there_and_back((Receipt){0, 0, 0}, 0);
	assert_there_and_back((Receipt){UINT32_MAX, UINT32_MAX, INT64_MAX}, UINT64_MAX);
	assert_there_and_back((Receipt){0, 0, INT64_MIN}, 1);
	for (int i = 0; i < 100000; i++)
		assert_there_and_back(random_receipt(), random_bits());
}

/* No terminator, and nothing after the 32 characters. */
static void
writes_and_reads_its_length_only(void **state)
{
	char *text = malloc(RECEIPT_LENGTH);
	char longer[RECEIPT_LENGTH + 2];
	Receipt receipt = {1, 2, 3};
	Receipt out;

	(void) state;
	assert_non_null(text);
	receipt_encode(&receipt, EPOCH, text);
	assert_int_equal(receipt_decode(text, RECEIPT_LENGTH, EPOCH, &out), RECEIPT_OK);

	memset(longer, 'x', sizeof(longer));
	receipt_encode(&receipt, EPOCH, longer);
	assert_int_equal(longer[RECEIPT_LENGTH], 'x');
	assert_int_equal(receipt_decode(longer, RECEIPT_LENGTH + 1, EPOCH, &out),
	                 RECEIPT_MALFORMED);
	for (size_t length = 0; length < RECEIPT_LENGTH; length++)
		assert_int_equal(receipt_decode(text, length, EPOCH, &out), RECEIPT_MALFORMED);
	free(text);
}

/* The table in receipt.h, spelled out: slot, generation, id, little endian, in base64. */
static void
format_is_as_documented(void **state)
{
	Receipt receipt = {
	    .slot = 0x03020100, .generation = 0x07060504, .id = 0x0f0e0d0c0b0a0908};
	char text[RECEIPT_LENGTH];

	(void) state;
	receipt_encode(&receipt, EPOCH, text);
	assert_memory_equal(text, "AAECAwQFBgcICQoLDA0OD", 21);

	/* All ones: the last two characters of the alphabet are of the URL-safe kind. */
	receipt = (Receipt){UINT32_MAX, UINT32_MAX, -1};
	receipt_encode(&receipt, EPOCH, text);
	assert_memory_equal(text, "_____________________", 21);
}

static void
other_characters_are_malformed(void **state)
{
	Receipt receipt = {4, 5, 6};
	Receipt out;
	char text[RECEIPT_LENGTH];

	(void) state;
	for (int at = 0; at < RECEIPT_LENGTH; at++)
		for (int c = 0; c < 256; c++)
		{
			if (c != 0 && strchr(alphabet, c) != NULL)
				continue;
			receipt_encode(&receipt, EPOCH, text);
			text[at] = (char) c;
			assert_int_equal(receipt_decode(text, RECEIPT_LENGTH, EPOCH, &out),
			                 RECEIPT_MALFORMED);
		}
}

static void
any_changed_character_is_foreign(void **state)
{
	Receipt receipt = {7, 8, 9};
	Receipt out = {1, 1, 1};
	char text[RECEIPT_LENGTH];

	(void) state;
	for (int at = 0; at < RECEIPT_LENGTH; at++)
		for (int c = 0; c < 64; c++)
		{
			receipt_encode(&receipt, EPOCH, text);
			if (text[at] == alphabet[c])
				continue;
			text[at] = alphabet[c];
			assert_int_equal(receipt_decode(text, RECEIPT_LENGTH, EPOCH, &out),
			                 RECEIPT_FOREIGN);
		}

	/* And out was not touched. */
	assert_int_equal(out.slot, 1);
	assert_int_equal(out.generation, 1);
	assert_int_equal(out.id, 1);
}

static void
another_epoch_is_foreign(void **state)
{
	char text[RECEIPT_LENGTH];
	Receipt out;

	(void) state;
	random_seed(2);
	for (int i = 0; i < 100000; i++)
	{
		Receipt receipt = random_receipt();
		uint64_t epoch = random_bits();
		uint64_t other = i % 2 ? random_bits() : epoch ^ UINT64_C(1) << random_below(64);

		receipt_encode(&receipt, epoch, text);
		assert_int_equal(receipt_decode(text, RECEIPT_LENGTH, other, &out),
		                 RECEIPT_FOREIGN);
	}
}

/* The tag of one claim put to the fields of the next, as a buggy client might mix them. */
static void
tag_of_another_claim_is_foreign(void **state)
{
	Receipt out;

	(void) state;
	random_seed(3);
	for (int i = 0; i < 100000; i++)
	{
		Receipt one = random_receipt();
		Receipt other = one;
		char text[RECEIPT_LENGTH];
		char mixed[RECEIPT_LENGTH];

		switch (i % 3)
		{
			case 0:
				other.generation++;
				break;
			case 1:
				other.id = (int64_t) ((uint64_t) other.id + 1);
				break;
			default:
				other.slot ^= 1;
				break;
		}
		receipt_encode(&one, EPOCH, text);
		receipt_encode(&other, EPOCH, mixed);
		memcpy(mixed + 22, text + 22, RECEIPT_LENGTH - 22);
		assert_int_equal(receipt_decode(mixed, RECEIPT_LENGTH, EPOCH, &out),
		                 RECEIPT_FOREIGN);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(comes_back_as_it_was),
	    cmocka_unit_test(writes_and_reads_its_length_only),
	    cmocka_unit_test(format_is_as_documented),
	    cmocka_unit_test(other_characters_are_malformed),
	    cmocka_unit_test(any_changed_character_is_foreign),
	    cmocka_unit_test(another_epoch_is_foreign),
	    cmocka_unit_test(tag_of_another_claim_is_foreign),
	};

	return cmocka_run_group_tests_name("receipt", tests, NULL, NULL);
}
