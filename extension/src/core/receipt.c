/*
 * core/receipt.c
 *	  The opaque proof of one claim, as text.
 */
#include "core/receipt.h"

#define RECEIPT_BYTES 24

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* ----------------------------------------------------------------
 *		Bytes
 * ----------------------------------------------------------------
 */

/* Written out, which compilers make one instruction of. */
static void
put_le32(unsigned char *out, uint32_t value)
{
	out[0] = (unsigned char) value;
	out[1] = (unsigned char) (value >> 8);
	out[2] = (unsigned char) (value >> 16);
	out[3] = (unsigned char) (value >> 24);
}

static void
put_le64(unsigned char *out, uint64_t value)
{
	put_le32(out, (uint32_t) value);
	put_le32(out + 4, (uint32_t) (value >> 32));
}

static uint32_t
get_le32(const unsigned char *in)
{
	return (uint32_t) in[0] | (uint32_t) in[1] << 8 | (uint32_t) in[2] << 16 | (uint32_t) in[3] << 24;
}

static uint64_t
get_le64(const unsigned char *in)
{
	return get_le32(in) | (uint64_t) get_le32(in + 4) << 32;
}

/* The finalizer of SplitMix64: a bijection in which each bit of x moves about half of the result. */
static uint64_t
mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* The epoch goes in at both ends, so that the tag of one receipt doesn't tell that of another. */
static uint64_t
tag_of(const Receipt *receipt, uint64_t epoch)
{
	uint64_t claim = (uint64_t) receipt->generation << 32 | receipt->slot;

	return mix(mix(mix(epoch) ^ claim) + (uint64_t) receipt->id) ^ mix(~epoch);
}

/* ----------------------------------------------------------------
 *		Base64: four characters for three bytes, without remainder
 * ----------------------------------------------------------------
 */

static void
to_text(const unsigned char *bytes, char *out)
{
	for (int i = 0; i < RECEIPT_BYTES; i += 3)
	{
		uint32_t group =
		    (uint32_t) bytes[i] << 16 | (uint32_t) bytes[i + 1] << 8 | bytes[i + 2];

		*out++ = alphabet[group >> 18];
		*out++ = alphabet[group >> 12 & 63];
		*out++ = alphabet[group >> 6 & 63];
		*out++ = alphabet[group & 63];
	}
}

/* One more than the six bits that a character stands for; 0: for none. */
static const unsigned char digit_of[256] = {
    ['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7,
    ['H'] = 8, ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14,
    ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
    ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26,
    ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33,
    ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47,
    ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52,
    ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59,
    ['7'] = 60, ['8'] = 61, ['9'] = 62,
    ['-'] = 63, ['_'] = 64,
};

static bool
from_text(const char *text, unsigned char *bytes)
{
	for (int i = 0; i < RECEIPT_LENGTH; i += 4)
	{
		uint32_t a = digit_of[(unsigned char) text[i]];
		uint32_t b = digit_of[(unsigned char) text[i + 1]];
		uint32_t c = digit_of[(unsigned char) text[i + 2]];
		uint32_t d = digit_of[(unsigned char) text[i + 3]];
		uint32_t group;

		if (a == 0 || b == 0 || c == 0 || d == 0)
			return false;
		group = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
		*bytes++ = (unsigned char) (group >> 16);
		*bytes++ = (unsigned char) (group >> 8);
		*bytes++ = (unsigned char) group;
	}
	return true;
}

/* ----------------------------------------------------------------
 *		Receipts
 * ----------------------------------------------------------------
 */

void
receipt_encode(const Receipt *receipt, uint64_t epoch, char *out)
{
	unsigned char bytes[RECEIPT_BYTES];

	put_le32(bytes, receipt->slot);
	put_le32(bytes + 4, receipt->generation);
	put_le64(bytes + 8, (uint64_t) receipt->id);
	put_le64(bytes + 16, tag_of(receipt, epoch));
	to_text(bytes, out);
}

ReceiptVerdict
receipt_decode(const char *text, size_t length, uint64_t epoch, Receipt *out)
{
	unsigned char bytes[RECEIPT_BYTES];
	Receipt receipt;

	if (length != RECEIPT_LENGTH || !from_text(text, bytes))
		return RECEIPT_MALFORMED;

	receipt.slot = get_le32(bytes);
	receipt.generation = get_le32(bytes + 4);
	receipt.id = (int64_t) get_le64(bytes + 8);
	if (get_le64(bytes + 16) != tag_of(&receipt, epoch))
		return RECEIPT_FOREIGN;

	*out = receipt;
	return RECEIPT_OK;
}
