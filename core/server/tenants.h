/*
 * server/tenants.h - figures per tenant, under a bounded number of names.
 *
 * The first TENANTS_MAX names that are seen get a row of their own, for good, so that counters never go
 * back; all later ones are summed up in the row "other". Requests without a tenant are "default". A name is
 * a label value: a tenant that is really called "default" or "other" shares that row, as two series of
 * one name would cost a scraper the whole page.
 *
 * Ownership: a plain struct.  Threads: loop thread.  Limits: TENANTS_MAX, TENANTS_NAME_BYTES.
 */
#ifndef SERVER_TENANTS_H
#define SERVER_TENANTS_H

#include "engine.h"

#define TENANTS_MAX        ENGINE_TENANTS_MAX
#define TENANTS_NAME_BYTES 64 /* with NUL; as the engine cuts them */

struct tenant {
    char name[TENANTS_NAME_BYTES];
    uint64_t requests, refused;
    uint64_t prompt_tokens, cached_tokens, output_tokens; /* of finished requests */
};

/* Row 0 is "default", row 1 "other". Zero-initialised is empty. */
struct tenants {
    struct tenant rows[TENANTS_MAX + 2];
    uint32_t n; /* 0: tenants_row has not been called */
};

/* The row of a name, made if there is room: below TENANTS_MAX + 2. */
uint32_t tenants_row(struct tenants *tenants, const char *name, size_t n);

/* The row of a name if it has one, else that of "other". */
uint32_t tenants_find(const struct tenants *tenants, const char *name, size_t n);

#endif
