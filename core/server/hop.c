/* See hop.h. */
#include "hop.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "engine.h"
#include "base/banned.h"

#define NUMBER_MAX 32 /* bytes of a number's text */

/* Takes as long for a wrong key as for the right one; the time tells the length of given only. */
static bool same_secret(const char *key, struct http_slice given)
{
    size_t n = strlen(key);
    unsigned differ = n == given.n ? 0 : 1;
    for (size_t i = 0; i < given.n; i++)
        differ |= (unsigned)((unsigned char)given.data[i] ^ (unsigned char)key[n > 0 ? i % n : 0]);
    return differ == 0 && n > 0;
}

/* The field's value; false if it is absent, or there twice, which is an error. */
static bool only_field(const struct http_exchange *x, const char *name, struct http_slice *ret,
                       struct api_error *error)
{
    size_t found = 0;
    for (size_t i = 0; i < http_exchange_n_headers(x); i++) {
        struct http_slice field, value;
        http_exchange_header_at(x, i, &field, &value);
        if (field.n != strlen(name) || strncasecmp(field.data, name, field.n) != 0)
            continue;
        *ret = value;
        found++;
    }
    if (found > 1)
        api_error_param(error, name, "%s: given %zu times", name, found);
    return found == 1 && error->status == 0;
}

static void read_name(const struct http_exchange *x, const char *name, struct http_slice *ret,
                      struct api_error *error)
{
    struct http_slice value;
    if (!only_field(x, name, &value, error))
        return;
    bool usable = value.n <= ENGINE_NAME_MAX;
    for (size_t i = 0; usable && i < value.n; i++)
        usable = value.data[i] >= 0x20 && value.data[i] < 0x7f;
    if (usable)
        *ret = value;
    else
        api_error_param(error, name, "%s: expected at most %d printable ASCII characters", name,
                        ENGINE_NAME_MAX);
}

/* The value as a string that the parsers of base take; empty if it is too long for a number. */
static bool number_field(const struct http_exchange *x, const char *name, char ret[NUMBER_MAX],
                         struct api_error *error)
{
    struct http_slice value;
    ret[0] = '\0';
    if (!only_field(x, name, &value, error))
        return false;
    if (value.n < NUMBER_MAX) {
        memcpy(ret, value.data, value.n);
        ret[value.n] = '\0';
    }
    return true;
}

static void read_numbers(const struct http_exchange *x, int64_t arrived_ns, struct hop *hop,
                         struct api_error *error)
{
    char text[NUMBER_MAX];
    double weight = 0;
    int64_t number = 0;
    if (number_field(x, "x-polder-weight", text, error)) {
        if (!parse_f64(text, HOP_WEIGHT_MIN, HOP_WEIGHT_MAX, &weight))
            api_error_param(error, "x-polder-weight",
                            "x-polder-weight: expected a number from %g to %g", HOP_WEIGHT_MIN,
                            HOP_WEIGHT_MAX);
        hop->weight = (float)weight;
    }
    if (number_field(x, "x-polder-priority", text, error)) {
        if (!parse_i64(text, -HOP_PRIORITY_MAX, HOP_PRIORITY_MAX, &number))
            api_error_param(error, "x-polder-priority",
                            "x-polder-priority: expected a whole number from %d to %d",
                            -HOP_PRIORITY_MAX, HOP_PRIORITY_MAX);
        hop->priority = (int32_t)number;
        hop->has_priority = true;
    }
    if (number_field(x, "x-polder-deadline-ms", text, error)) {
        number = 1;
        if (!parse_i64(text, 1, HOP_DEADLINE_MAX_MS, &number))
            api_error_param(error, "x-polder-deadline-ms",
                            "x-polder-deadline-ms: expected a whole number from 1 to %d",
                            HOP_DEADLINE_MAX_MS);
        hop->deadline_ns = arrived_ns + number * CLOCK_NS_PER_MS;
    }
}

/* Whether the connection or the key makes the hop a trusted one; a key that is wrong is an error. */
static bool authenticate(const struct hop_trust *trust, const struct http_exchange *x,
                         struct api_error *error)
{
    struct http_slice given;
    if (!only_field(x, "x-polder-hop", &given, error))
        return error->status == 0 && trust->unix_socket && http_exchange_peer_is_unix(x);
    if (trust->key != NULL && same_secret(trust->key, given))
        return true;
    api_error_set(error, 401, "hop_refused",
                  trust->key != NULL
                      ? "x-polder-hop: not the key of this worker"
                      : "x-polder-hop: this worker was started without a key of its gateway");
    return false;
}

bool hop_read(const struct hop_trust *trust, const struct http_exchange *x, int64_t arrived_ns,
              struct hop *ret, struct api_error *error)
{
    struct hop hop = {.trusted = authenticate(trust, x, error)};
    if (hop.trusted) {
        read_name(x, "x-polder-org", &hop.org, error);
        read_name(x, "x-polder-tenant", &hop.tenant, error);
        read_numbers(x, arrived_ns, &hop, error);
        if (hop.tenant.n == 0)
            hop.tenant = hop.org;
    }
    if (error->status != 0)
        return false;
    *ret = hop;
    return true;
}
