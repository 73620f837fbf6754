/*
 * fetch/get.h - one file: tries, resumes, waits, and checks the digest.
 *
 *   found bytes --whole and digest as expected--> done, without a request
 *        |
 *        v         TAKE, RESTART            all bytes        digest
 *     request ------------------> receive ----------> check ---------> done
 *      ^  ^ |                        |                  | wrong: pieces of different files? once more
 *      |  | +-- WHOLE ---------------|----------------->|        as one whole, else fail
 *      |  +---- AGAIN (from 0) ------|
 *      +------- wait <-- RETRY, broken, unreachable
 *
 * Tries in a row that gain no byte beyond the furthest are counted; too many end it. All failing paths
 * keep the part, but for an empty one and for a wrong digest of a file that came in one piece.
 *
 * Ownership: the caller's storage; get_end closes the part.  Threads: one owner.  Errors: see fetch.h.
 * Source: ours.
 */
#ifndef FETCH_GET_H
#define FETCH_GET_H

#include "fetch.h"
#include "part.h"
#include "request.h"

struct get {
    /* set by the caller */
    const struct fetch_options *options;
    struct transfer *transfer;
    const struct url *url;
    const char *path;   /* of the file to be */
    const char *token;  /* NULL none */
    const char *sha256; /* expected, from the command line; "" none */
    uint32_t no, n_files;

    /* the part: whole, synced and checked after PL_OK */
    struct part part;
    char commit[65]; /* of the Hub's repository, "" not said */
    bool expected;   /* the digest was known beforehand */

    /* of the tries */
    char known[SHA256_HEX_BYTES]; /* the digest to come, "" unknown */
    bool known_size;
    uint64_t size;     /* told by the Hub */
    uint64_t furthest; /* bytes, ever */
    uint32_t n_fails;  /* in a row without gain */
    bool pieces;       /* put together from more than one answer */
    bool second_whole; /* the one new start after a wrong digest was made */
    bool reached;      /* an answer has come */
    enum answer_verdict verdict;
    enum pl_status failed; /* by a callback; PL_OK none */
    struct pl_error why;
};

PL_NODISCARD enum pl_status get_run(struct get *g, struct pl_error *err);

/* Closes the part, keeping it. */
void get_end(struct get *g);

/* What the server says of the file, without its body: name and size. Same tries. The part is not used. */
PL_NODISCARD enum pl_status get_probe(struct get *g, struct answer *ret, struct pl_error *err);

#endif
