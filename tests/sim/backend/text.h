/*
 * sim/backend/text.h - what the simulated device computes: the text that follows from a prompt.
 *
 * A position's KV entry is a hash of all token ids up to it. The logits of a position follow from its own entry
 * and from a few others that its attention window holds, picked by the hash: so a block table with a wrong block
 * in its middle, a wrong prefix hit, a lost copy-on-write or a bad restore changes the text within a few tokens, while
 * whatever is right gives the same text in any batch.
 *
 * Pure functions, shared by the plugin and by the harness, which knows by them what each answer must be.
 *
 * Threads: any.  Source: ours; the mixer is SplitMix64's finaliser (Steele, Lea, Flood 2014).
 */
#ifndef SIM_BACKEND_TEXT_H
#define SIM_BACKEND_TEXT_H

#include <polder/base.h>

#define SIM_PROBES     4 /* other entries read per logits row */
#define SIM_CANDIDATES 8 /* ids with a high logit */
#define SIM_LOGIT_TOP  4.0F
#define SIM_LOGIT_STEP 0.5F    /* between candidates: samplers at usual temperatures find several */
#define SIM_LOGIT_REST (-8.0F) /* of all other ids */

static inline uint64_t sim_mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9E3779B97F4A7C15U + b + 0x7F4A7C15U;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
}

/* The entry of a position whose predecessor has `before`; of position 0: before = 0. */
static inline uint64_t sim_entry(uint64_t before, int32_t id)
{
    return sim_mix(before, (uint64_t)(uint32_t)id + 1);
}

/* The i-th position that the row at pos looks at, of those from first on. */
static inline uint32_t sim_probe(uint64_t entry, uint32_t i, uint32_t first, uint32_t pos)
{
    return first + (uint32_t)(sim_mix(entry, 1000 + i) % (pos - first + 1));
}

/* Which ids may be said. */
struct sim_words {
    int32_t first, n;
    int32_t eos_id; /* said instead with probability eos_rate */
    double eos_rate;
};

/* Candidate j of a row; 0 is what greedy sampling says. */
static inline int32_t sim_candidate(const struct sim_words *words, uint64_t key, uint32_t j)
{
    return words->first + (int32_t)(sim_mix(key, 2000 + j) % (uint64_t)words->n);
}

static inline bool sim_ends(const struct sim_words *words, uint64_t key)
{
    return (double)(sim_mix(key, 3000) >> 11) * 0x1p-53 < words->eos_rate;
}

/* Uniform in [0, 1): the n-th number of a stream that a seed names. */
static inline double sim_uniform(uint64_t seed, uint64_t stream, uint64_t n)
{
    return (double)(sim_mix(sim_mix(seed, stream), n) >> 11) * 0x1p-53;
}

#endif
