/*
 * base/sha256.h - SHA-256, so that a digest can be had in every build, with or without OpenSSL.
 *
 * For the integrity of files. It is not written for secrets: use a crypto library where timing matters.
 *
 *     struct sha256 h;
 *     sha256_begin(&h);
 *     sha256_add(&h, bytes, n);       any number of times
 *     sha256_end(&h, digest);
 *
 * Ownership: the caller's storage, nothing inside.  Threads: one owner of each.  Errors: none.
 * Limits: 2^61 - 1 bytes.  Source: FIPS 180-4, sections 4.1.2, 5.1.1, 5.3.3 and 6.2.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <polder/base.h>

#define SHA256_BYTES     32
#define SHA256_HEX_BYTES 65 /* 64 digits and a NUL */

struct sha256 {
    uint32_t state[8];
    uint64_t n_bytes;        /* added so far */
    unsigned char block[64]; /* the last n_bytes % 64 of them */
};

void sha256_begin(struct sha256 *h);
void sha256_add(struct sha256 *h, const void *bytes, size_t n);

/* Ends with the digest; h must begin again before further use. */
void sha256_end(struct sha256 *h, unsigned char ret[SHA256_BYTES]);

/* As 64 lower-case digits and a NUL. */
void sha256_hex(const unsigned char digest[SHA256_BYTES], char ret[SHA256_HEX_BYTES]);

/* For tests: plain C also where the CPU has instructions for it. */
void sha256_use_plain(bool plain);

#endif
