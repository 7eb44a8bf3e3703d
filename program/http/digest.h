/*
 * http/digest.h
 *	  SHA-256, of bytes that come in parts.
 */
#ifndef HTTP_DIGEST_H
#define HTTP_DIGEST_H

#include <stddef.h>

#define DIGEST_SIZE 32
#define DIGEST_TEXT_SIZE (2 * DIGEST_SIZE + 3)

typedef struct evp_md_ctx_st Digest;

extern Digest *digest_begin(void);
extern void digest_add(Digest *digest, const void *bytes, size_t length);

/* Ends it, and frees it; out may be NULL. */
extern void digest_end(Digest *digest, unsigned char out[DIGEST_SIZE]);

/* All at once. */
extern void digest_of(const void *bytes, size_t length, unsigned char out[DIGEST_SIZE]);

/* As a bytea parameter: "\x...". */
extern void digest_text(const unsigned char digest[DIGEST_SIZE],
                        char out[DIGEST_TEXT_SIZE]);

#endif
