/* Stop strings; see stop.h. */
#include "stop.h"

#include <string.h>

#include "base/check.h"
#include "base/banned.h"

void stop_string_init(struct stop_string *string)
{
    PL_CHECK(string->n > 0);
    string->state = 0;
    string->links[0] = 0;
    uint16_t border = 0;
    for (uint16_t i = 1; i < string->n; i++) {
        while (border > 0 && string->text[i] != string->text[border])
            border = string->links[border - 1];
        if (string->text[i] == string->text[border])
            border++;
        string->links[i] = border;
    }
}

static void advance(struct stop_string *string, char byte)
{
    uint16_t state = string->state;
    while (state > 0 && string->text[state] != byte)
        state = string->links[state - 1];
    if (string->text[state] == byte)
        state++;
    string->state = state;
}

/* Takes one byte: the string that ends with it (the longest), or -1. *ret_held: the longest state. */
static int step(struct stop *stop, char byte, size_t *ret_held)
{
    int matched = -1;
    size_t held = 0;
    for (uint32_t i = 0; i < stop->n_strings; i++) {
        struct stop_string *string = &stop->strings[i];
        advance(string, byte);
        if (string->state == string->n && (matched < 0 || string->n > stop->strings[matched].n))
            matched = (int)i;
        held = PL_MAX(held, string->state);
    }
    *ret_held = held;
    return matched;
}

int stop_push(struct stop *stop, const char *bytes, size_t n, char *out, size_t *ret_n)
{
    /* out collects held + bytes; what stays held is its tail. */
    size_t n_out = stop->n_held;
    if (n_out > 0)
        memcpy(out, stop->held, n_out);
    size_t held = stop->n_held;
    for (size_t i = 0; i < n; i++) {
        out[n_out++] = bytes[i];
        int matched = step(stop, bytes[i], &held);
        if (matched >= 0) {
            stop->n_held = 0;
            *ret_n = n_out - stop->strings[matched].n;
            return matched;
        }
    }
    n_out -= held;
    if (held > 0)
        memcpy(stop->held, out + n_out, held);
    stop->n_held = held;
    *ret_n = n_out;
    return -1;
}

size_t stop_end(struct stop *stop, char *out)
{
    size_t n = stop->n_held;
    if (n > 0)
        memcpy(out, stop->held, n);
    stop->n_held = 0;
    return n;
}
