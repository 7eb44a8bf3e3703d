/*
 * core/receipt.h
 *	  The opaque proof of one claim, as text.
 *
 * 24 bytes in URL-safe base64 (RFC 4648, section 5, no padding): 32 characters.
 *
 *	  bytes 0-3    slot, little endian
 *	  bytes 4-7    claim generation of the slot
 *	  bytes 8-15   message id
 *	  bytes 16-23  tag: a hash of the above keyed with the epoch
 *
 * The epoch is 64 random bits drawn at each start of the server, so a receipt
 * from before a restart, or one made up, has a wrong tag.  The tag guards
 * against accident; it is not a signature.
 */
#ifndef BATON_CORE_RECEIPT_H
#define BATON_CORE_RECEIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECEIPT_LENGTH 32

typedef struct Receipt
{
	uint32_t	slot;
	uint32_t	generation;
	int64_t		id;
} Receipt;

typedef enum ReceiptVerdict
{
	RECEIPT_OK,
	RECEIPT_MALFORMED,			/* wrong length or alphabet */
	RECEIPT_FOREIGN				/* well formed, but its tag is of another epoch */
} ReceiptVerdict;

/* Writes RECEIPT_LENGTH characters and no terminator. */
extern void receipt_encode(const Receipt *receipt, uint64_t epoch, char *out);

/* *out is filled only for RECEIPT_OK. */
extern ReceiptVerdict receipt_decode(const char *text, size_t length, uint64_t epoch,
									 Receipt *out);

#endif
