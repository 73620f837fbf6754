/* What the plain device (one group of full attention, no end of generation) says greedily; see backend/text.h. */
#include "impl.h"
#include "model.h"

#include <stdlib.h>

#include "backend/text.h"
#include "base/check.h"
#include "base/banned.h"

bool sim_expect_init(struct sim_expect *e, const int32_t *ids, uint32_t n_ids, uint32_t n_max)
{
    *e = (struct sim_expect){.capacity = n_ids + n_max};
    e->entries = malloc(((size_t)e->capacity + 1) * sizeof *e->entries);
    if (e->entries == NULL)
        return false;
    uint64_t before = 0;
    for (uint32_t i = 0; i < n_ids; i++)
        e->entries[e->n++] = before = sim_entry(before, ids[i]);
    return true;
}

void sim_expect_deinit(struct sim_expect *e)
{
    free(e->entries);
    e->entries = NULL;
}

int32_t sim_expect_next(struct sim_expect *e)
{
    static const struct sim_words words = {.first = SIM_FIRST_WORD, .n = SIM_N_WORDS};
    PL_CHECK(e->n > 0 && e->n < e->capacity);
    uint64_t own = e->entries[e->n - 1];
    uint64_t key = sim_mix(0, own);
    for (uint32_t i = 0; i < SIM_PROBES; i++)
        key = sim_mix(key, e->entries[sim_probe(own, i, 0, e->n - 1)]);
    int32_t id = sim_candidate(&words, key, 0);
    e->entries[e->n++] = sim_entry(own, id);
    return id;
}
