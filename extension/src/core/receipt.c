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

static void
put_le(unsigned char *out, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		out[i] = (unsigned char) (value >> (8 * i));
}

static uint64_t
get_le(const unsigned char *in, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value |= (uint64_t) in[i] << (8 * i);
	return value;
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

/* The six bits that c stands for; -1: none. */
static int
digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

static bool
from_text(const char *text, unsigned char *bytes)
{
	for (int i = 0; i < RECEIPT_LENGTH; i += 4)
	{
		uint32_t group = 0;

		for (int k = 0; k < 4; k++)
		{
			int digit = digit_of(text[i + k]);

			if (digit < 0)
				return false;
			group = group << 6 | (uint32_t) digit;
		}
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

	put_le(bytes, receipt->slot, 4);
	put_le(bytes + 4, receipt->generation, 4);
	put_le(bytes + 8, (uint64_t) receipt->id, 8);
	put_le(bytes + 16, tag_of(receipt, epoch), 8);
	to_text(bytes, out);
}

ReceiptVerdict
receipt_decode(const char *text, size_t length, uint64_t epoch, Receipt *out)
{
	unsigned char bytes[RECEIPT_BYTES];
	Receipt receipt;

	if (length != RECEIPT_LENGTH || !from_text(text, bytes))
		return RECEIPT_MALFORMED;

	receipt.slot = (uint32_t) get_le(bytes, 4);
	receipt.generation = (uint32_t) get_le(bytes + 4, 4);
	receipt.id = (int64_t) get_le(bytes + 8, 8);
	if (get_le(bytes + 16, 8) != tag_of(&receipt, epoch))
		return RECEIPT_FOREIGN;

	*out = receipt;
	return RECEIPT_OK;
}
