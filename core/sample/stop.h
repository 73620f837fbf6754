/*
 * sample/stop.h - ends a text at the first stop string, and holds back what might become one.
 *
 * Bytes go in as they come; bytes come out once they can no longer be part of a match. A match is complete at
 * the first byte where any stop string ends; if several end there the longest counts. So the result does
 * not depend on how the text was cut into pieces. The text before the match comes out, the match doesn't.
 *
 *   stops "\n\nUser", "###"      in: "ok\n" "\nUs" "e it"      out: "ok" "" "\n\nUse it"
 *
 * Ownership: the caller's memory for all of it; strings are not copied.  Threads: one owner.
 * Errors: none.  Limits: STOP_BYTES_MAX per string.
 * Source: Knuth, Morris, Pratt 1977, one automaton per string: what is held back is the longest state.
 */
#ifndef SAMPLE_STOP_H
#define SAMPLE_STOP_H

#include <polder/base.h>

#define STOP_BYTES_MAX 65535 /* states are 16 bits */

struct stop_string {
    const char *text;
    uint16_t n;      /* bytes, >= 1 */
    uint16_t state;  /* bytes matched at the end of the input */
    uint16_t *links; /* [n] longest border of the prefix of i+1 bytes */
};

struct stop {
    struct stop_string *strings; /* [n_strings] */
    uint32_t n_strings;
    char *held;    /* [max n] bytes that may begin a match */
    size_t n_held; /* the longest state */
};

/* Fills links and state of one string; text, n and the room of links are set. */
void stop_string_init(struct stop_string *string);

/* Takes n bytes; writes to out (n + stop->n_held bytes at most) what is certain now; *ret_n its length.
 * Returns the index of the string that matched, or -1. After a match it takes no more. */
int stop_push(struct stop *stop, const char *bytes, size_t n, char *out, size_t *ret_n);

/* End of text without a match: what is held comes out (stop->n_held bytes at most). */
size_t stop_end(struct stop *stop, char *out);

#endif
