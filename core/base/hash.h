/*
 * base/hash.h - a keyed hash for tables that hold untrusted strings.
 *
 * SipHash-1-3 under a key drawn once per process: an attacker cannot choose colliding keys. Not for
 * storage (values differ between runs) and not a MAC.
 *
 * Threads: any.  Source: Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Hash of n bytes under the process key. */
uint64_t hash_bytes(const void *bytes, size_t n);

/* Under a given key: for tests and for values that must repeat. */
uint64_t hash_siphash13(const uint64_t key[2], const void *bytes, size_t n);

#endif
