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
 * Segments of ATTN_SEGMENT positions are summed from nothing each and joined in their order: so threads may
 * share one long row, and the bits are the same when one thread does it all.
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

enum kv_kind { KV_FLOAT, KV_HALF, KV_BYTE };

ALWAYS_INLINE vf load_kv(const uint8_t *base, int64_t i, enum kv_kind kind)
{
    if (kind == KV_BYTE)
        return vf_load_bytes((const int8_t *)base + i);
    if (kind == KV_HALF)
        return vf_load_half((const uint16_t *)(const void *)base + i);
    return vf_load((const float *)(const void *)base + i);
}

/* s[q][0..16) = q . K for nb queries; nb and kind are constants after inlining. */
ALWAYS_INLINE void scores_of(float (*s)[KV_TILE], const float *const *q, const uint8_t *k,
                             int64_t d, int nb, enum kv_kind kind)
{
    vf sum[ATTN_BATCH_N][TILE_VECS];
    for (int b = 0; b < nb; b++)
        for (int c = 0; c < TILE_VECS; c++)
            sum[b][c] = vf_set1(0.0F);
    for (int64_t i = 0; i < d; i++) {
        vf key[TILE_VECS];
        for (int c = 0; c < TILE_VECS; c++)
            key[c] = load_kv(k, i * KV_TILE + c * VF_N, kind);
        for (int b = 0; b < nb; b++)
            for (int c = 0; c < TILE_VECS; c++)
                sum[b][c] = vf_fma(vf_set1(q[b][i]), key[c], sum[b][c]);
    }
    for (int b = 0; b < nb; b++)
        for (int c = 0; c < TILE_VECS; c++)
            vf_store(&s[b][c * VF_N], sum[b][c]);
}

/* Rows of V of a tile, and which of its positions count. */
struct values {
    const uint8_t *v; /* [KV_TILE][dv] */
    int64_t dv;
    struct span seen;
};

/* o[b][i..] += sum over j of p[b][j] * V[j][i..], positions in their order, nc vectors. */
ALWAYS_INLINE void values_at(float *const *o, float (*p)[KV_TILE], const struct values *v,
                             int64_t i, int nb, int nc, enum kv_kind kind)
{
    vf sum[ATTN_BATCH_N][2];
    for (int b = 0; b < nb; b++)
        for (int c = 0; c < nc; c++)
            sum[b][c] = vf_load(o[b] + i + c * VF_N);
    for (int j = v->seen.begin; j < v->seen.end; j++) {
        vf value[2];
        for (int c = 0; c < nc; c++)
            value[c] = load_kv(v->v, j * v->dv + i + c * VF_N, kind);
        for (int b = 0; b < nb; b++)
            for (int c = 0; c < nc; c++)
                sum[b][c] = vf_fma(vf_set1(p[b][j]), value[c], sum[b][c]);
    }
    for (int b = 0; b < nb; b++)
        for (int c = 0; c < nc; c++)
            vf_store(o[b] + i + c * VF_N, sum[b][c]);
}

/* Two vectors at a time where the head size allows: 16-float vectors and an odd number of them don't. */
ALWAYS_INLINE void values_float(float *const *o, float (*p)[KV_TILE], const struct values *v,
                                int nb, enum kv_kind kind)
{
    if (v->dv % (int64_t)(2 * VF_N) == 0)
        for (int64_t i = 0; i < v->dv; i += 2 * VF_N)
            values_at(o, p, v, i, nb, 2, kind);
    else
        for (int64_t i = 0; i < v->dv; i += VF_N)
            values_at(o, p, v, i, nb, 1, kind);
}

/* Q8_0: the scales of a block join the weights. */
ALWAYS_INLINE void values_q8(float *const *o, float (*p)[KV_TILE], const struct values *v, int nb)
{
    const uint16_t *scales = (const uint16_t *)(const void *)(v->v + v->dv * KV_TILE);
    for (int64_t block = 0; block < v->dv; block += KV_Q8_BLOCK) {
        float w[ATTN_BATCH_N][KV_TILE];
        for (int b = 0; b < nb; b++)
            block_weights(w[b], p[b], scales + block / KV_Q8_BLOCK * KV_TILE);
        for (int64_t i = block; i < block + KV_Q8_BLOCK; i += 2 * VF_N)
            values_at(o, w, v, i, nb, 2, KV_BYTE);
    }
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

static inline vf score_vector(const struct attn_task *a, const float *s, int c, struct span seen)
{
    static const int32_t lanes[KV_TILE] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf x = vf_load(s + c * VF_N) * vf_set1(a->scale);
    if (a->softcap > 0.0F)
        x = one_softcap(x, a->softcap);
    if (seen.begin == 0 && seen.end == KV_TILE)
        return x;
    vi lane;
    memcpy(&lane, lanes + c * VF_N, sizeof lane);
    vi mask = (vi)(lane >= seen.begin) & (vi)(lane < seen.end);
    return vf_select(mask, x, vf_set1(-INFINITY));
}

static inline float exp_of(float x)
{
    float e[VF_N];
    vf_store(e, vf_exp(vf_set1(x)));
    return e[0];
}

/* A larger maximum: what was summed before counts for less. */
static void raise_max(const struct attn_state *st, int64_t qi, float max)
{
    float keep = exp_of(st->m[qi] - max);
    st->m[qi] = max;
    body_scale(st->l + qi * KV_TILE, st->l + qi * KV_TILE, keep, VF_N);
    body_scale(st->o + qi * st->dv, st->o + qi * st->dv, keep, st->dv);
}

/* Turns scores into weights and rescales the query's state; false if it sees nothing here. */
static inline bool softmax_tile(const struct attn_task *a, const struct attn_state *st, int64_t qi,
                                float *s, struct span seen)
{
    if (seen.begin >= seen.end)
        return false;
    vf x[TILE_VECS];
    bool above = false;
    for (int c = 0; c < TILE_VECS; c++) {
        x[c] = score_vector(a, s, c, seen);
        above = vf_any_above(x[c], vf_set1(st->m[qi])) || above;
    }
    if (above) {
        float max = st->m[qi];
        for (int c = 0; c < TILE_VECS; c++)
            max = vf_largest(x[c]) > max ? vf_largest(x[c]) : max;
        raise_max(st, qi, max);
    }
    vf sum = vf_load(st->l + qi * KV_TILE);
    for (int c = 0; c < TILE_VECS; c++) {
        vf p = vf_exp(x[c] - vf_set1(st->m[qi]));
        p = vf_select((vi)(x[c] == vf_set1(-INFINITY)), vf_set1(0.0F), p);
        vf_store(s + c * VF_N, p);
        sum += p;
    }
    vf_store(st->l + qi * KV_TILE, sum);
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
        scores_of(s, q, k, d, nb, KV_HALF);
    else
        scores_of(s, q, k, d, nb, KV_FLOAT);
}

/* o[b] += p[b] . V over the positions seen by all nb, in the type of V. */
ALWAYS_INLINE void values_any(const struct attn_task *a, float *const *o, float (*p)[KV_TILE],
                              const struct values *v, int nb)
{
    if (a->kv->dtype_v == PL_DTYPE_Q8_0)
        values_q8(o, p, v, nb);
    else if (a->kv->dtype_v == PL_DTYPE_F16)
        values_float(o, p, v, nb, KV_HALF);
    else
        values_float(o, p, v, nb, KV_FLOAT);
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
    struct values v = {tile + a->kv->tile_k_bytes, st->dv, all};
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
        if (!some || whole)
            continue;
        v.seen = q8 ? all : seen[b];
        values_any(a, &o[b], &s[b], &v, 1);
    }
    if (whole)
        values_any(a, o, s, &v, nb);
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
    float l = vf_sum(vf_load(st->l + qi * KV_TILE));
    float keep = 1.0F;
    if (a->sinks != NULL) {
        float max = a->sinks[h] > st->m[qi] ? a->sinks[h] : st->m[qi];
        keep = exp_of(st->m[qi] - max);
        l = l * keep + exp_of(a->sinks[h] - max);
    }
    body_scale(o, o, keep / l, st->dv);
    memcpy(a->out + qi / a->group * a->out_stride + h * a->kv->head_dim_v, o,
           a->kv->head_dim_v * sizeof *o);
}

/* ---- segments -------------------------------------------------------------------------------- */

static void place_state(struct attn_state *st, float *memory)
{
    st->o = memory;
    st->l = st->o + st->queries * st->dv;
    st->m = st->l + st->queries * KV_TILE;
}

/* A state over the task's scratch: states at the front, q in 16 bits behind both. */
static struct attn_state scratch_state(const struct attn_task *a)
{
    struct attn_state st = {
        .dv = (int64_t)kv_v_stride(a->kv),
        .queries = a->rows * a->group,
    };
    st.q_scale = a->scratch + 2 * attn_state_floats(st.queries, a->kv->head_dim_v);
    st.q16 = (int16_t *)(void *)(st.q_scale + st.queries);
    place_state(&st, a->scratch);
    return st;
}

static void prepare_queries(const struct attn_task *a, const struct attn_state *st)
{
    int64_t d = a->kv->head_dim_k;
    for (int64_t q = 0; a->kv->dtype_k == PL_DTYPE_Q8_0 && q < st->queries; q++)
        st->q_scale[q] = to_q16(st->q16 + q * d, query_of(a, q), d);
}

/* Positions [begin, end) that some row sees. */
struct range {
    int64_t begin, end;
};

static struct range range_of(const struct attn_task *a)
{
    struct range range = {INT64_MAX, 0};
    for (int64_t r = 0; r < a->rows; r++) {
        int64_t pos = a->pos[r];
        int64_t first = a->window > 0 ? PL_MAX(pos + 1 - (int64_t)a->window, (int64_t)0) : 0;
        range.begin = PL_MIN(range.begin, first);
        range.end = PL_MAX(range.end, a->causal || a->window > 0 ? pos + 1 : a->kv_len);
    }
    return range;
}

/* The state of one segment, from nothing. */
static void sum_segment(const struct attn_task *a, const struct attn_state *st, int64_t segment,
                        struct range seen)
{
    int64_t tile = a->kv->tile_tokens;
    int64_t begin = PL_MAX(seen.begin / tile * tile, segment * ATTN_SEGMENT);
    int64_t end = PL_MIN(seen.end, (segment + 1) * ATTN_SEGMENT);
    memset(st->o, 0, (size_t)(st->queries * (st->dv + KV_TILE)) * sizeof *st->o);
    for (int64_t q = 0; q < st->queries; q++)
        st->m[q] = -INFINITY;
    for (int64_t base = begin; base < end; base += tile)
        attend_tile(a, st, base);
}

/* total += part. A part that the query saw nothing of leaves the bits of the total, and the first part
 * that it saw becomes the total: whether other rows saw an earlier one doesn't show. */
static void join_query(const struct attn_state *total, const struct attn_state *part, int64_t qi)
{
    float *o = total->o + qi * total->dv;
    float *l = total->l + qi * KV_TILE;
    const float *part_o = part->o + qi * total->dv;
    const float *part_l = part->l + qi * KV_TILE;
    if (vf_sum(vf_load(part_l)) == 0.0F)
        return;
    if (vf_sum(vf_load(l)) == 0.0F) {
        memcpy(o, part_o, (size_t)total->dv * sizeof *o);
        memcpy(l, part_l, KV_TILE * sizeof *l);
        total->m[qi] = part->m[qi];
        return;
    }
    float max = part->m[qi] > total->m[qi] ? part->m[qi] : total->m[qi];
    vf keep = vf_set1(exp_of(total->m[qi] - max));
    vf more = vf_set1(exp_of(part->m[qi] - max));
    total->m[qi] = max;
    vf_store(l, vf_fma(vf_load(part_l), more, vf_load(l) * keep));
    for (int64_t i = 0; i < total->dv; i += VF_N)
        vf_store(o + i, vf_fma(vf_load(part_o + i), more, vf_load(o + i) * keep));
}

static void finish_rows(const struct attn_task *a, const struct attn_state *st)
{
    for (int64_t q = 0; q < st->queries; q++)
        finish_query(a, st, q);
}

static void body_attend(const struct attn_task *a)
{
    struct attn_state total = scratch_state(a);
    struct attn_state part = total;
    struct range seen = range_of(a);
    int64_t first = seen.begin / ATTN_SEGMENT;
    place_state(&part, a->scratch + attn_state_floats(total.queries, a->kv->head_dim_v));
    prepare_queries(a, &total);
    sum_segment(a, &total, first, seen);
    for (int64_t i = first + 1; i * ATTN_SEGMENT < seen.end; i++) {
        sum_segment(a, &part, i, seen);
        for (int64_t q = 0; q < total.queries; q++)
            join_query(&total, &part, q);
    }
    finish_rows(a, &total);
}

static void body_attend_part(const struct attn_task *a, int64_t segment, float *state)
{
    struct attn_state part = scratch_state(a);
    struct range seen = range_of(a);
    if (segment < seen.begin / ATTN_SEGMENT || segment * ATTN_SEGMENT >= seen.end)
        return;
    prepare_queries(a, &part);
    place_state(&part, state);
    sum_segment(a, &part, segment, seen);
}

static void body_attend_join(const struct attn_task *a, float *states)
{
    struct attn_state total = scratch_state(a);
    struct attn_state part = total;
    struct range seen = range_of(a);
    size_t floats = attn_state_floats(total.queries, a->kv->head_dim_v);
    int64_t first = seen.begin / ATTN_SEGMENT;
    place_state(&total, states + (size_t)first * floats);
    for (int64_t i = first + 1; i * ATTN_SEGMENT < seen.end; i++) {
        place_state(&part, states + (size_t)i * floats);
        for (int64_t q = 0; q < total.queries; q++)
            join_query(&total, &part, q);
    }
    finish_rows(a, &total);
}

#endif
