/*
 * cpu/fast_attn_body.h - paged attention with online softmax, once for all instruction sets; included
 * after fast_body.h.
 *
 *   for each tile of 16 positions:            K tile [D][16], V tile [16][Dv]
 *     for each batch of queries (heads of the group, rows of the sequence):
 *       s[q][16]  = scale * q . K             one vector holds 16 positions, no sum across lanes
 *       m, l      = running maximum and sum   tile after tile, in the order of positions
 *       o[q][Dv]  = o * e^(m_old - m) + p . V
 *   out = o / l
 *
 * What a query computes in a tile depends on the query and the tile alone: batches and rows only share
 * the reading of K and V. A tile that a query does not see leaves its state untouched; in a tile
 * that it sees in part only the seen positions of V are read (others may hold anything).
 *
 * Threads: pure functions.  Source: see fast.h; tiles: kv.h.
 */
#ifndef CPU_FAST_ATTN_BODY_H
#define CPU_FAST_ATTN_BODY_H

#include "fast_attn_q8_body.h"

struct attn_state {
    float *o;       /* [queries][dv] */
    float *m;       /* [queries] */
    float *l;       /* [queries] */
    float *q_scale; /* [queries], keys in Q8_0 */
    int16_t *q16;   /* [queries][d], likewise */
    int64_t dv;     /* rounded up to 16 */
    int64_t queries;
};

/* Positions [begin, end) of a tile. */
struct span {
    int begin, end;
};

ALWAYS_INLINE vf load_kv(const uint8_t *base, int64_t i, bool half)
{
    if (half)
        return vf_load_half((const uint16_t *)(const void *)base + i);
    return vf_load((const float *)(const void *)base + i);
}

/* s[q][0..16) = q . K for nb queries; nb and half are constants after inlining. */
ALWAYS_INLINE void scores_of(float (*s)[KV_TILE], const float *const *q, const uint8_t *k,
                             int64_t d, int nb, bool half)
{
    vf sum[ATTN_BATCH_N][TILE_VECS];
    for (int b = 0; b < nb; b++)
        for (int c = 0; c < TILE_VECS; c++)
            sum[b][c] = vf_set1(0.0F);
    for (int64_t i = 0; i < d; i++) {
        vf key[TILE_VECS];
        for (int c = 0; c < TILE_VECS; c++)
            key[c] = load_kv(k, i * KV_TILE + c * VF_N, half);
        for (int b = 0; b < nb; b++)
            for (int c = 0; c < TILE_VECS; c++)
                sum[b][c] = vf_fma(vf_set1(q[b][i]), key[c], sum[b][c]);
    }
    for (int b = 0; b < nb; b++)
        for (int c = 0; c < TILE_VECS; c++)
            vf_store(&s[b][c * VF_N], sum[b][c]);
}

/* o[b] += sum over j of p[b][j] * V[j], positions in their order. */
ALWAYS_INLINE void values_of(float *const *o, float (*p)[KV_TILE], const uint8_t *v, int64_t dv,
                             struct span seen, int nb, int nc, bool half)
{
    for (int64_t i = 0; i < dv; i += nc * VF_N) {
        vf sum[ATTN_BATCH_N][2];
        for (int b = 0; b < nb; b++)
            for (int c = 0; c < nc; c++)
                sum[b][c] = vf_load(o[b] + i + c * VF_N);
        for (int j = seen.begin; j < seen.end; j++) {
            vf value[2];
            for (int c = 0; c < nc; c++)
                value[c] = load_kv(v, j * dv + i + c * VF_N, half);
            for (int b = 0; b < nb; b++)
                for (int c = 0; c < nc; c++)
                    sum[b][c] = vf_fma(vf_set1(p[b][j]), value[c], sum[b][c]);
        }
        for (int b = 0; b < nb; b++)
            for (int c = 0; c < nc; c++)
                vf_store(o[b] + i + c * VF_N, sum[b][c]);
    }
}

/* Two vectors at a time where the head size allows: 16-float vectors and an odd number of them don't. */
ALWAYS_INLINE void values_float(float *const *o, float (*p)[KV_TILE], const uint8_t *v, int64_t dv,
                                struct span seen, int nb, bool half)
{
    if (dv % (int64_t)(2 * VF_N) == 0)
        values_of(o, p, v, dv, seen, nb, 2, half);
    else
        values_of(o, p, v, dv, seen, nb, 1, half);
}

/* Query qi: a head of the group of a row. */
static inline const float *query_of(const struct attn_task *a, int64_t qi)
{
    return a->q + qi / a->group * a->q_stride + qi % a->group * a->kv->head_dim_k;
}

/* The positions of the tile at `base` that row r sees. */
static inline struct span seen_of(const struct attn_task *a, int64_t r, int64_t base)
{
    int64_t pos = a->pos[r];
    int64_t last = a->causal || a->window > 0 ? pos + 1 : a->kv_len;
    int64_t first = a->window > 0 ? pos + 1 - (int64_t)a->window : 0;
    int64_t tile = a->kv->tile_tokens;
    return (struct span){
        .begin = (int)PL_MIN(PL_MAX(first - base, (int64_t)0), tile),
        .end = (int)PL_MIN(PL_MAX(last - base, (int64_t)0), tile),
    };
}

/* Turns scores into weights and rescales the query's state; false if it sees nothing here. */
static inline bool softmax_tile(const struct attn_task *a, const struct attn_state *st, int64_t qi,
                                float *s, struct span seen)
{
    if (seen.begin >= seen.end)
        return false;
    float scaled[KV_TILE];
    for (int c = 0; c < TILE_VECS; c++) {
        vf x = vf_load(s + c * VF_N) * vf_set1(a->scale);
        if (a->softcap > 0.0F)
            x = one_softcap(x, a->softcap);
        vf_store(scaled + c * VF_N, x);
    }
    for (int j = 0; j < KV_TILE; j++)
        if (j < seen.begin || j >= seen.end)
            scaled[j] = -INFINITY;
    float max = st->m[qi];
    for (int c = 0; c < TILE_VECS; c++) {
        float largest = vf_largest(vf_load(scaled + c * VF_N));
        max = largest > max ? largest : max;
    }
    if (max > st->m[qi]) {
        float keep[VF_N];
        vf_store(keep, vf_exp(vf_set1(st->m[qi] - max)));
        st->m[qi] = max;
        st->l[qi] *= keep[0];
        body_scale(st->o + qi * st->dv, st->o + qi * st->dv, keep[0], st->dv);
    }
    float sum = 0.0F;
    for (int c = 0; c < TILE_VECS; c++) {
        vf x = vf_load(scaled + c * VF_N);
        vf p = vf_exp(x - vf_set1(max));
        p = vf_select((vi)(x == vf_set1(-INFINITY)), vf_set1(0.0F), p);
        vf_store(s + c * VF_N, p);
        sum += vf_sum(p);
    }
    st->l[qi] += sum;
    return true;
}

/* s[b] = q . K for queries q0.., in the type of K. */
ALWAYS_INLINE void scores_any(const struct attn_task *a, const struct attn_state *st,
                              float (*s)[KV_TILE], const uint8_t *k, int64_t q0, int nb)
{
    int64_t d = a->kv->head_dim_k;
    if (a->kv->dtype_k == PL_DTYPE_Q8_0) {
        const int16_t *q16[ATTN_BATCH_N];
        for (int b = 0; b < nb; b++)
            q16[b] = st->q16 + (q0 + b) * d;
        scores_q8(s, q16, st->q_scale + q0, k, d, nb);
        return;
    }
    const float *q[ATTN_BATCH_N];
    for (int b = 0; b < nb; b++)
        q[b] = query_of(a, q0 + b);
    if (a->kv->dtype_k == PL_DTYPE_F16)
        scores_of(s, q, k, d, nb, true);
    else
        scores_of(s, q, k, d, nb, false);
}

/* o[b] += p[b] . V over the positions seen by all nb, in the type of V. */
ALWAYS_INLINE void values_any(const struct attn_task *a, float *const *o, float (*p)[KV_TILE],
                              const uint8_t *v, int64_t dv, struct span seen, int nb)
{
    if (a->kv->dtype_v == PL_DTYPE_Q8_0)
        values_q8(o, p, v, dv, nb);
    else if (a->kv->dtype_v == PL_DTYPE_F16)
        values_float(o, p, v, dv, seen, nb, true);
    else
        values_float(o, p, v, dv, seen, nb, false);
}

/* nb queries from q0 over one tile; nb is a constant after inlining. */
ALWAYS_INLINE void batch_of(const struct attn_task *a, const struct attn_state *st,
                            const uint8_t *tile, int64_t base, int64_t q0, int nb)
{
    float s[ATTN_BATCH_N][KV_TILE];
    float *o[ATTN_BATCH_N];
    struct span seen[ATTN_BATCH_N];
    bool any = false;
    bool whole = true;                         /* one pass over V serves all */
    bool q8 = a->kv->dtype_v == PL_DTYPE_Q8_0; /* there unseen positions weigh zero */
    struct span all = {.end = (int)a->kv->tile_tokens};
    const uint8_t *v = tile + a->kv->tile_k_bytes;
    for (int b = 0; b < nb; b++) {
        int64_t r = (q0 + b) / a->group;
        o[b] = st->o + (q0 + b) * st->dv;
        seen[b] = seen_of(a, r, base);
        any = any || seen[b].begin < seen[b].end;
        whole = whole &&
                (q8 ? seen[b].begin < seen[b].end : seen[b].begin == 0 && seen[b].end == all.end);
    }
    if (!any)
        return;
    scores_any(a, st, s, tile, q0, nb);
    for (int b = 0; b < nb; b++) {
        bool some = softmax_tile(a, st, q0 + b, s[b], seen[b]);
        if (some && !whole)
            values_any(a, &o[b], &s[b], v, st->dv, seen[b], 1);
    }
    if (whole)
        values_any(a, o, s, v, st->dv, all, nb);
}

static void attend_tile(const struct attn_task *a, const struct attn_state *st, int64_t base)
{
    const uint8_t *tile = kv_tile(a->kv, a->blocks, a->layer, a->kv_head, base);
    int64_t q = 0;
#if VF_N == 16
    for (; q + 8 <= st->queries; q += 8)
        batch_of(a, st, tile, base, q, 8);
#endif
    for (; q + 4 <= st->queries; q += 4)
        batch_of(a, st, tile, base, q, 4);
    for (; q + 2 <= st->queries; q += 2)
        batch_of(a, st, tile, base, q, 2);
    if (q < st->queries)
        batch_of(a, st, tile, base, q, 1);
}

/* out = o / l, the sink having joined the sum. */
static void finish_query(const struct attn_task *a, const struct attn_state *st, int64_t qi)
{
    int64_t h = qi % a->group;
    float *o = st->o + qi * st->dv;
    float l = st->l[qi];
    float keep = 1.0F;
    if (a->sinks != NULL) {
        float max = a->sinks[h] > st->m[qi] ? a->sinks[h] : st->m[qi];
        float e[VF_N];
        vf_store(e, vf_exp(vf_set1(st->m[qi] - max)));
        keep = e[0];
        vf_store(e, vf_exp(vf_set1(a->sinks[h] - max)));
        l = l * keep + e[0];
    }
    body_scale(o, o, keep / l, st->dv);
    memcpy(a->out + qi / a->group * a->out_stride + h * a->kv->head_dim_v, o,
           a->kv->head_dim_v * sizeof *o);
}

static void body_attend(const struct attn_task *a)
{
    int64_t first = INT64_MAX;
    int64_t last = 0;
    struct attn_state st = {
        .o = a->scratch,
        .dv = (int64_t)kv_v_stride(a->kv),
        .queries = a->rows * a->group,
    };
    st.m = st.o + st.queries * st.dv;
    st.l = st.m + st.queries;
    st.q_scale = st.l + st.queries;
    st.q16 = (int16_t *)(void *)(st.q_scale + st.queries);
    memset(st.o, 0, (size_t)(st.queries * st.dv) * sizeof *st.o);
    for (int64_t q = 0; q < st.queries; q++) {
        st.m[q] = -INFINITY;
        st.l[q] = 0.0F;
        if (a->kv->dtype_k == PL_DTYPE_Q8_0)
            st.q_scale[q] =
                to_q16(st.q16 + q * a->kv->head_dim_k, query_of(a, q), a->kv->head_dim_k);
    }
    for (int64_t r = 0; r < a->rows; r++) {
        int64_t pos = a->pos[r];
        first = PL_MIN(first, a->window > 0 ? pos + 1 - (int64_t)a->window : 0);
        last = PL_MAX(last, a->causal || a->window > 0 ? pos + 1 : a->kv_len);
    }
    first = PL_MAX(first, (int64_t)0) / a->kv->tile_tokens * a->kv->tile_tokens;
    for (int64_t base = first; base < last; base += a->kv->tile_tokens)
        attend_tile(a, &st, base);
    for (int64_t q = 0; q < st.queries; q++)
        finish_query(a, &st, q);
}

#endif
