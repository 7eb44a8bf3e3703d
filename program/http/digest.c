/*
 * http/digest.c
 *	  SHA-256, of bytes that come in parts.
 */
#include "http/digest.h"

#include <openssl/evp.h>

#include "base/die.h"

static void
check(int done)
{
	if (!done)
		die(EXIT_ERROR, "SHA-256 is not available");
}

Digest *
digest_begin(void)
{
	Digest *digest = EVP_MD_CTX_new();

	check(digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL));
	return digest;
}

void
digest_add(Digest *digest, const void *bytes, size_t length)
{
	check(EVP_DigestUpdate(digest, bytes, length));
}

void
digest_end(Digest *digest, unsigned char out[DIGEST_SIZE])
{
	if (out)
		check(EVP_DigestFinal_ex(digest, out, NULL));
	EVP_MD_CTX_free(digest);
}

void
digest_of(const void *bytes, size_t length, unsigned char out[DIGEST_SIZE])
{
	check(EVP_Digest(bytes, length, out, NULL, EVP_sha256(), NULL));
}

void
digest_text(const unsigned char digest[DIGEST_SIZE], char out[DIGEST_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	*out++ = '\\';
	*out++ = 'x';
	for (int i = 0; i < DIGEST_SIZE; i++)
	{
		*out++ = digits[digest[i] >> 4];
		*out++ = digits[digest[i] & 15];
	}
	*out = '\0';
}
