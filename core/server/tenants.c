/* See tenants.h. Names are few and short: a walk is as fast as a table. */
#include "tenants.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define ROW_DEFAULT 0
#define ROW_OTHER   1
#define ROW_FIRST   2

static uint32_t find(const struct tenants *tenants, const char *name, size_t n)
{
    if (n == 0 || (n == 7 && memcmp(name, "default", 7) == 0))
        return ROW_DEFAULT;
    n = PL_MIN(n, (size_t)TENANTS_NAME_BYTES - 1);
    for (uint32_t i = ROW_FIRST; i < tenants->n; i++) {
        if (strlen(tenants->rows[i].name) == n && memcmp(tenants->rows[i].name, name, n) == 0)
            return i;
    }
    return ROW_OTHER;
}

uint32_t tenants_find(const struct tenants *tenants, const char *name, size_t n)
{
    return find(tenants, name, n);
}

uint32_t tenants_row(struct tenants *tenants, const char *name, size_t n)
{
    if (tenants->n == 0) {
        (void)snprintf(tenants->rows[ROW_DEFAULT].name, TENANTS_NAME_BYTES, "default");
        (void)snprintf(tenants->rows[ROW_OTHER].name, TENANTS_NAME_BYTES, "other");
        tenants->n = ROW_FIRST;
    }
    uint32_t row = find(tenants, name, n);
    bool full = tenants->n == PL_ARRAY_LEN(tenants->rows);
    if (row != ROW_OTHER || full || (n == 5 && memcmp(name, "other", 5) == 0))
        return row;
    row = tenants->n++;
    (void)snprintf(tenants->rows[row].name, TENANTS_NAME_BYTES, "%.*s",
                   (int)PL_MIN(n, (size_t)TENANTS_NAME_BYTES), name);
    return row;
}
