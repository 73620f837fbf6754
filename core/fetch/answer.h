/*
 * fetch/answer.h - what a server's answer says, and what follows from it for a file of which some bytes
 * are here already.
 *
 *   asked from byte 0       200              TAKE
 *   asked from byte n       206, first = n   TAKE        the rest of the same file
 *                           206, otherwise   AGAIN       a server that is confused: the whole, please
 *                           200              RESTART     changed since (If-Range), or knows no ranges
 *                           416, total = n   WHOLE       everything is here
 *                           416, otherwise   AGAIN
 *   any                     429, 5xx, 408    RETRY       later; Retry-After says when
 *                           401, 403         DENIED
 *                           404, 410         ABSENT
 *                           others           FAIL
 *
 * Ownership: the caller's storage.  Threads: pure functions.
 * Source: RFC 9110 (13.1.5 If-Range, 14 Range, 15), the Hub's public download headers (X-Linked-*).
 */
#ifndef FETCH_ANSWER_H
#define FETCH_ANSWER_H

#include <polder/base.h>

#include "base/sha256.h"

#define ANSWER_TAG_MAX 192

struct answer {
    int status;
    bool has_length, has_range, has_total; /* whether the three below are said */
    uint64_t length;                       /* Content-Length, bytes */
    uint64_t first, total;                 /* Content-Range: first byte; bytes of the whole file */
    char etag[ANSWER_TAG_MAX];             /* as sent, with quotes; "" none */
    char modified[64];                     /* Last-Modified, "" none */
    char disposition[512];                 /* Content-Disposition, "" none */
    char sha256[SHA256_HEX_BYTES];         /* X-Linked-ETag, if it is a SHA-256; "" none */
    bool has_linked_size;
    uint64_t linked_size; /* X-Linked-Size, bytes */
    char commit[65];      /* X-Repo-Commit: hex; "" none */
};

enum answer_verdict {
    ANSWER_TAKE,
    ANSWER_RESTART,
    ANSWER_WHOLE,
    ANSWER_AGAIN,
    ANSWER_RETRY,
    ANSWER_DENIED,
    ANSWER_ABSENT,
    ANSWER_FAIL,
};

/* What is known of the file, and which part of it was asked for. */
struct answer_request {
    uint64_t offset;  /* first byte asked for; 0: no Range was sent */
    bool has_size;    /* size is known from before */
    uint64_t size;    /* bytes of the whole file */
    const char *etag; /* of what is here; "" none */
};

/* Takes one header line of n bytes, line end included or not. A status line begins a new answer. */
void answer_take_line(struct answer *answer, const char *line, size_t n);

enum answer_verdict answer_judge(const struct answer *answer, const struct answer_request *request);

/* Bytes of the whole file, from an answer whose body is TAKEn or RESTARTed; false where it isn't said. */
bool answer_size(const struct answer *answer, uint64_t *ret);

/* An entity tag that promises equal bytes: quoted and not weak. */
bool answer_tag_is_strong(const char *etag);

/* 64 hexadecimal digits, quotes around them allowed; ret in lower case. */
bool answer_parse_sha256(const char *text, size_t n, char ret[SHA256_HEX_BYTES]);

#endif
