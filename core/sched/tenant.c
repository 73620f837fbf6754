/* Accounts of tenants: virtual token counters; see impl.h and docs/internals/sched.md. */
#include "impl.h"

#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/banned.h"

/* How far below the others a tenant may be when it enters the queue, in virtual tokens: one that uses less than its
 * share has its next prompt computed at once. It is no income: counters only rise, so that whoever enters a
 * thousand times is ahead by that much in all. */
#define CREDIT 512.0

/* ---- accounts -------------------------------------------------------------------------------- */

static int compare(const struct sched_tenant *a, const struct sched_tenant *b)
{
    int order = strcmp(a->name, b->name);
    if (order != 0)
        return order;
    if (a->name_bytes != b->name_bytes)
        return a->name_bytes < b->name_bytes ? -1 : 1;
    return a->hash == b->hash ? 0 : a->hash < b->hash ? -1 : 1;
}

/* Index in by_name of the first account that isn't before key. */
static uint32_t position(const struct sched *sched, const struct sched_tenant *key)
{
    uint32_t low = 0;
    uint32_t high = sched->n_tenants;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(sched->by_name[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Forgets the account that has been served least of those that nobody uses; NULL if there is none. */
static struct sched_tenant *recycle(struct sched *sched)
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < sched->n_tenants; i++) {
        const struct sched_tenant *t = sched->by_name[i];
        if (t->users == 0 && (found == UINT32_MAX || t->counter < sched->by_name[found]->counter))
            found = i;
    }
    if (found == UINT32_MAX)
        return NULL;
    struct sched_tenant *tenant = sched->by_name[found];
    sched->n_tenants--;
    memmove(&sched->by_name[found], &sched->by_name[found + 1],
            (sched->n_tenants - found) * sizeof(struct sched_tenant *));
    if (sched->admitted == tenant)
        sched->admitted = NULL;
    return tenant;
}

/* A place in `tenants`: they are taken in order until all have been used once. */
static struct sched_tenant *account_place(struct sched *sched)
{
    if (sched->n_tenants == sched->options.tenants_max)
        return recycle(sched);
    return &sched->tenants[sched->n_tenants];
}

struct sched_tenant *sched_tenant_enter(struct sched *sched, const char *name, size_t n,
                                        float weight)
{
    PL_CHECK(weight > 0);
    struct sched_tenant key = {.hash = hash_bytes(name, n), .name_bytes = n};
    memcpy(key.name, name, PL_MIN(n, sizeof key.name - 1));
    uint32_t i = position(sched, &key);
    bool found = i < sched->n_tenants && compare(sched->by_name[i], &key) == 0;
    struct sched_tenant *tenant = found ? sched->by_name[i] : account_place(sched);
    if (tenant == NULL)
        return NULL;
    if (!found) {
        *tenant = key;
        i = position(sched, &key); /* a forgotten one may have stood before it */
        memmove(&sched->by_name[i + 1], &sched->by_name[i],
                (sched->n_tenants - i) * sizeof(struct sched_tenant *));
        sched->by_name[i] = tenant;
        sched->n_tenants++;
    }
    tenant->users++;
    tenant->weight = (double)weight;
    return tenant;
}

void sched_tenant_leave(struct sched *sched, struct sched_tenant *tenant)
{
    (void)sched;
    PL_CHECK(tenant->users > 0);
    tenant->users--;
    PL_CHECK(tenant->users > 0 || tenant->n_running + tenant->n_waiting == 0);
}

uint32_t sched_tenants(const struct sched *sched, struct sched_tenant_stats *ret, uint32_t n_max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < sched->n_tenants; i++) {
        const struct sched_tenant *t = sched->by_name[i];
        if (t->users == 0)
            continue;
        if (n < n_max) {
            ret[n] = (struct sched_tenant_stats){
                .weight = (float)t->weight,
                .counter = t->counter,
                .prompt_tokens = t->prompt_tokens,
                .output_tokens = t->output_tokens,
                .running = t->n_running,
                .waiting = t->n_waiting,
            };
            memcpy(ret[n].name, t->name, sizeof ret[n].name);
        }
        n++;
    }
    return n;
}

/* ---- counters -------------------------------------------------------------------------------- */

double sched_tenant_served(const struct sched_tenant *tenant)
{
    return tenant->counter + tenant->planned;
}

void sched_tenant_charge(struct sched_tenant *tenant, uint32_t n_prompt, uint32_t n_output)
{
    tenant->counter +=
        (SCHED_PROMPT_COST * n_prompt + SCHED_OUTPUT_COST * n_output) / tenant->weight;
    tenant->prompt_tokens += n_prompt;
    tenant->output_tokens += n_output;
}

/* What a tenant that enters the queue is lifted to: the least of those that wait, else what the tenant that
 * left the queue last has now, else what was there before everyone left. */
static double entry_level(const struct sched *sched, const struct sched_tenant *tenant)
{
    bool found = false;
    double least = 0;
    for (const struct sched_tenant *t = sched->active; t != NULL; t = t->next) {
        if (t == tenant || t->n_waiting == 0 || (found && t->counter >= least))
            continue;
        found = true;
        least = t->counter;
    }
    if (found)
        return least;
    if (sched->active != NULL && sched->admitted != NULL)
        return sched->admitted->counter;
    return sched->idle_counter;
}

void sched_tenant_arrive(struct sched *sched, struct sched_tenant *tenant, int32_t priority)
{
    /* Waiting on a lower level must not save up service for this one. */
    const struct sched_seq *first = sched_tree_first(&tenant->waiting);
    if (first == NULL || first->priority > priority)
        tenant->counter =
            PL_MAX(tenant->counter, entry_level(sched, tenant) - CREDIT / tenant->weight);
    if (tenant->n_running + tenant->n_waiting > 0)
        return;
    tenant->planned = 0;
    tenant->prev = NULL;
    tenant->next = sched->active;
    if (tenant->next != NULL)
        tenant->next->prev = tenant;
    sched->active = tenant;
}

void sched_tenant_depart(struct sched *sched, struct sched_tenant *tenant)
{
    if (tenant->n_running + tenant->n_waiting > 0)
        return;
    if (tenant->prev != NULL)
        tenant->prev->next = tenant->next;
    else
        sched->active = tenant->next;
    if (tenant->next != NULL)
        tenant->next->prev = tenant->prev;
    tenant->prev = tenant->next = NULL;
    sched->idle_counter = PL_MAX(sched->idle_counter, tenant->counter);
}
