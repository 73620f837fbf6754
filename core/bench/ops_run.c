/*
 * bench/ops_run.c - the runs of a case: whole, again, row by row, in chunks; and the verdict.
 */
#include "ops_run.h"

#include "ops_tolerance.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

#include "base/banned.h"

/* Outputs of one run, [rows, cols] each; NULL where a value is not compared. */
struct outputs {
    float *rows[OPS_VALUES_MAX];
    size_t n[OPS_VALUES_MAX];
};

static int64_t rows_of(const struct ops_case *c, const struct pl_value *v, int64_t n_rows)
{
    return v->row_kind == PL_ROWS_TOKENS    ? n_rows
           : v->row_kind == PL_ROWS_OUTPUTS ? (int64_t)c->n_outputs
                                            : v->rows;
}

static void outputs_free(struct outputs *out)
{
    for (size_t i = 0; i < OPS_VALUES_MAX; i++)
        free(out->rows[i]);
    *out = (struct outputs){0};
}

static enum pl_status outputs_alloc(const struct ops_case *c, struct outputs *out,
                                    struct pl_error *err)
{
    for (uint32_t i = 0; i < c->n_values; i++) {
        if (!c->values[i].compared)
            continue;
        const struct pl_value *v = &c->values[i].value;
        out->n[i] = (size_t)(rows_of(c, v, (int64_t)c->n_rows) * v->cols);
        out->rows[i] = calloc(out->n[i] + 1, sizeof(float));
        if (out->rows[i] == NULL)
            return pl_error_set(err, PL_ENOMEM, "no memory for outputs");
    }
    return PL_OK;
}

/* A submit must neither allocate nor compile. */
static enum pl_status run_counted(struct ops_rig *rig, const struct pl_step *step,
                                  struct pl_error *err)
{
    const struct ops_device *d = rig->device;
    struct pl_device_stats before = {.struct_size = sizeof before};
    struct pl_device_stats after = {.struct_size = sizeof after};
    d->table->device_stats(d->device, &before);
    enum pl_status status = rig_run(rig, step, err);
    d->table->device_stats(d->device, &after);
    if (status == PL_OK &&
        (after.n_allocs != before.n_allocs || after.n_compiles != before.n_compiles))
        status =
            pl_error_set(err, PL_EINTERNAL, "the submit allocated %llu and compiled %llu times",
                         (unsigned long long)(after.n_allocs - before.n_allocs),
                         (unsigned long long)(after.n_compiles - before.n_compiles));
    return status;
}

/* ---- ops without KV -------------------------------------------------------------------------- */

/* Writes the inputs, rows from `first` on, and clears pure outputs. */
static enum pl_status write_inputs(struct ops_rig *rig, int64_t first, int64_t n_rows,
                                   struct pl_error *err)
{
    const struct ops_case *c = rig->c;
    enum pl_status status = PL_OK;
    for (uint32_t i = 0; status == PL_OK && i < c->n_values; i++) {
        const struct ops_value *v = &c->values[i];
        if (v->value.kind != PL_VALUE_ACT)
            continue;
        const float *data = v->data;
        int64_t n = data == NULL ? 0 : rows_of(c, &v->value, n_rows);
        status = rig_write(rig, i, data == NULL ? NULL : data + first * v->value.cols, n, err);
    }
    return status;
}

static void bind_single(struct ops_rig *rig, uint32_t set, int64_t first, int64_t n_rows)
{
    const struct ops_case *c = rig->c;
    for (int64_t i = 0; i < n_rows; i++) {
        rig_binding(rig, set, PL_BINDING_IDS)[i] = c->ids == NULL ? 0 : c->ids[first + i];
        rig_binding(rig, set, PL_BINDING_POS)[i] = (int32_t)i;
        rig_binding(rig, set, PL_BINDING_ROW_SEQ)[i] = 0;
    }
    rig_binding(rig, set, PL_BINDING_SEQ_START)[0] = 0;
    rig_binding(rig, set, PL_BINDING_SEQ_START)[1] = (int32_t)n_rows;
    rig_binding(rig, set, PL_BINDING_KV_LEN)[0] = (int32_t)n_rows;
    int32_t *out_rows = rig_binding(rig, set, PL_BINDING_OUT_ROWS);
    for (uint32_t o = 0; o < c->n_outputs; o++) /* increasing, ends with the last row */
        out_rows[o] = (int32_t)((o + 1) * (uint64_t)n_rows / c->n_outputs) - 1;
}

/* Rows [first, first + n_rows) of the case as rows [0, n_rows) of a step. */
static enum pl_status run_rows(struct ops_rig *rig, uint32_t set, int64_t first, int64_t n_rows,
                               struct outputs *out, struct pl_error *err)
{
    const struct ops_case *c = rig->c;
    enum pl_status status = write_inputs(rig, first, n_rows, err);
    if (status != PL_OK)
        return status;
    bind_single(rig, set, first, n_rows);
    const struct pl_step step = {
        .struct_size = sizeof step,
        .binding_set = set,
        .n_rows = (uint32_t)n_rows,
        .n_seqs = 1,
        .n_outputs = c->n_outputs,
        .query_tokens_max = (uint32_t)n_rows,
        .kv_tokens_max = (uint32_t)n_rows,
    };
    status = run_counted(rig, &step, err);
    for (uint32_t i = 0; status == PL_OK && i < c->n_values; i++)
        if (out->rows[i] != NULL)
            status = rig_read(rig, i, out->rows[i], rows_of(c, &c->values[i].value, n_rows), err);
    return status;
}

/* ---- ops on KV ------------------------------------------------------------------------------- */

/* How sequences are fed: all at once, or in three kinds of chunks, last sequence first. */
enum schedule { SCHEDULE_WHOLE, SCHEDULE_CHUNKS };

static uint32_t chunk_tokens(enum schedule schedule, uint32_t step_i, uint32_t len, uint32_t done)
{
    if (schedule == SCHEDULE_WHOLE)
        return len;
    uint32_t rest = len - done;
    uint32_t want = step_i == 0 ? len / 2 : step_i == 1 ? (rest > 2 ? rest - 2 : 0) : 1;
    return PL_MIN(want, rest);
}

/* block_of[s * max_blocks + j]: a shuffle of all block numbers, the first ones given away. */
static void deal_blocks(const struct ops_case *c, uint64_t stream, int32_t *block_of, bool *used)
{
    uint32_t n = c->group.n_blocks;
    int32_t *deck = calloc(n, sizeof *deck);
    if (deck == NULL)
        return;
    for (uint32_t i = 0; i < n; i++)
        deck[i] = (int32_t)i;
    for (uint32_t i = n - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(rng_uniform(c->seed, stream, i) * (float)(i + 1));
        int32_t swap = deck[i];
        deck[i] = deck[j];
        deck[j] = swap;
    }
    uint32_t next = 0;
    for (uint32_t s = 0; s < c->n_seqs; s++) {
        uint32_t blocks = (uint32_t)pl_div_up(c->lens[s], c->group.block_tokens);
        for (uint32_t j = 0; j < c->group.max_blocks; j++) {
            int32_t block = j < blocks ? deck[next++] : 0;
            block_of[s * c->group.max_blocks + j] = block;
            used[block] = used[block] || j < blocks;
        }
    }
    free(deck);
}

struct feed {
    struct ops_rig *rig;
    enum schedule schedule;
    uint32_t done[OPS_SEQS_MAX]; /* tokens of each sequence already in the cache */
    int32_t *block_of;
    int64_t *row_of; /* [n_rows]: which row of the case a row of the step is */
};

/* First row of a sequence in the case's own order. */
static int64_t seq_base(const struct ops_case *c, uint32_t seq)
{
    int64_t base = 0;
    for (uint32_t s = 0; s < seq; s++)
        base += c->lens[s];
    return base;
}

/* Writes bindings of the next step; step->n_rows is 0 when all has been fed. */
static void bind_step(struct feed *f, uint32_t step_i, struct pl_step *step)
{
    struct ops_rig *rig = f->rig;
    const struct ops_case *c = rig->c;
    uint32_t set = step_i % RIG_SETS;
    *step = (struct pl_step){.struct_size = sizeof *step, .binding_set = set};
    for (uint32_t k = 0; k < c->n_seqs; k++) {
        uint32_t s = f->schedule == SCHEDULE_WHOLE ? k : c->n_seqs - 1 - k;
        uint32_t n = chunk_tokens(f->schedule, step_i, c->lens[s], f->done[s]);
        if (n == 0)
            continue;
        uint32_t q = step->n_seqs++;
        rig_binding(rig, set, PL_BINDING_SEQ_START)[q] = (int32_t)step->n_rows;
        rig_binding(rig, set, PL_BINDING_KV_LEN)[q] = (int32_t)(f->done[s] + n);
        size_t width = c->group.max_blocks;
        memcpy(rig_binding(rig, set, PL_BINDING_BLOCK_TABLE) + q * width, f->block_of + s * width,
               width * sizeof(int32_t));
        for (uint32_t t = 0; t < n; t++, step->n_rows++) {
            rig_binding(rig, set, PL_BINDING_IDS)[step->n_rows] = 0;
            rig_binding(rig, set, PL_BINDING_POS)[step->n_rows] = (int32_t)(f->done[s] + t);
            rig_binding(rig, set, PL_BINDING_ROW_SEQ)[step->n_rows] = (int32_t)q;
            f->row_of[step->n_rows] = seq_base(c, s) + f->done[s] + t;
        }
        f->done[s] += n;
        step->query_tokens_max = PL_MAX(step->query_tokens_max, n);
        step->kv_tokens_max = PL_MAX(step->kv_tokens_max, f->done[s]);
    }
    rig_binding(rig, set, PL_BINDING_SEQ_START)[step->n_seqs] = (int32_t)step->n_rows;
}

/* Moves rows between the case's order and the step's through row_of. */
static enum pl_status move_rows(struct feed *f, const struct pl_step *step, struct outputs *out,
                                struct pl_error *err)
{
    const struct ops_case *c = f->rig->c;
    enum pl_status status = PL_OK;
    for (uint32_t i = 0; status == PL_OK && i < c->n_values; i++) {
        const struct ops_value *v = &c->values[i];
        bool reading = out != NULL;
        if (v->value.kind != PL_VALUE_ACT || (reading && out->rows[i] == NULL))
            continue;
        size_t cols = (size_t)v->value.cols;
        float *rows = calloc((size_t)step->n_rows * cols, sizeof *rows);
        if (rows == NULL)
            return pl_error_set(err, PL_ENOMEM, "no memory for rows");
        if (reading)
            status = rig_read(f->rig, i, rows, step->n_rows, err);
        for (uint32_t r = 0; status == PL_OK && r < step->n_rows; r++) {
            size_t at = (size_t)f->row_of[r] * cols;
            if (reading)
                memcpy(out->rows[i] + at, rows + r * cols, cols * sizeof *rows);
            else if (v->data != NULL)
                memcpy(rows + r * cols, (const float *)v->data + at, cols * sizeof *rows);
        }
        if (!reading)
            status = rig_write(f->rig, i, rows, v->data == NULL ? 0 : step->n_rows, err);
        free(rows);
    }
    return status;
}

static enum pl_status feed_all(struct feed *f, struct outputs *out, struct pl_error *err)
{
    for (uint32_t step_i = 0;; step_i++) {
        struct pl_step step;
        bind_step(f, step_i, &step);
        if (step.n_rows == 0 && step_i > 1)
            return PL_OK;
        if (step.n_rows == 0)
            continue;
        enum pl_status status = move_rows(f, &step, NULL, err);
        if (status == PL_OK)
            status = run_counted(f->rig, &step, err);
        if (status == PL_OK)
            status = move_rows(f, &step, out, err);
        if (status != PL_OK || f->schedule == SCHEDULE_WHOLE)
            return status;
    }
}

static enum pl_status run_kv(struct ops_rig *rig, enum schedule schedule, uint64_t shuffle,
                             struct outputs *out, struct pl_error *err)
{
    const struct ops_case *c = rig->c;
    struct feed f = {.rig = rig, .schedule = schedule};
    bool *used = calloc(c->group.n_blocks, sizeof *used);
    f.block_of = calloc((size_t)c->n_seqs * c->group.max_blocks, sizeof *f.block_of);
    f.row_of = calloc(c->n_rows, sizeof *f.row_of);
    enum pl_status status = PL_OK;
    if (used == NULL || f.block_of == NULL || f.row_of == NULL) {
        status = pl_error_set(err, PL_ENOMEM, "no memory for a block table");
    } else {
        deal_blocks(c, shuffle, f.block_of, used);
        status = feed_all(&f, out, err);
        if (status == PL_OK && shuffle == 0) /* the first run on this KV */
            status = rig_check_blocks(rig, used, err);
    }
    free(used);
    free(f.block_of);
    free(f.row_of);
    return status;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

PL_PRINTF(2, 3) static bool fail(struct ops_verdict *v, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->why, sizeof v->why, fmt, args);
    va_end(args);
    v->outcome = OPS_FAIL;
    return false;
}

static enum pl_status run_whole(struct ops_rig *rig, uint32_t set, struct outputs *out,
                                struct pl_error *err)
{
    const struct ops_case *c = rig->c;
    return c->has_kv ? run_kv(rig, SCHEDULE_WHOLE, set, out, err)
                     : run_rows(rig, set, 0, (int64_t)c->n_rows, out, err);
}

/* Builds the case on a device and runs it whole. The rig stays for further runs. */
static enum pl_status first_run(const struct ops_device *device, const struct ops_case *c,
                                struct ops_rig *rig, struct outputs *out, struct pl_error *err)
{
    enum pl_status status = rig_init(rig, device, c, err);
    if (status == PL_OK)
        status = outputs_alloc(c, out, err);
    if (status != PL_OK)
        return status;
    status = run_whole(rig, 0, out, err);
    if (status != PL_ENOTSUP)
        return status;
    (void)pl_error_set(err, PL_EINTERNAL, "the submit says not supported");
    return PL_EINTERNAL;
}

static bool judge_distance(const struct ops_case *c, const struct outputs *got,
                           const struct outputs *want, struct ops_verdict *v)
{
    struct ops_tolerance limit = ops_tolerance_of(c->opcode, c->dtype);
    for (uint32_t i = 0; i < c->n_values; i++) {
        if (got->rows[i] == NULL || want->rows[i] == NULL)
            continue;
        struct ops_distance d = ops_compare(got->rows[i], want->rows[i], got->n[i]);
        size_t cols = (size_t)c->values[i].value.cols;
        v->nmse = PL_MAX(v->nmse, d.nmse);
        v->max = PL_MAX(v->max, d.max);
        if (d.not_finite || !(d.nmse <= limit.nmse) || !(d.max <= limit.max))
            return fail(v,
                        "value %u [%zu, %zu]: got %g, reference %g; nmse %.2e (limit %.0e), max "
                        "%.2e (limit %.0e)",
                        i, d.worst_i / cols, d.worst_i % cols, (double)got->rows[i][d.worst_i],
                        (double)want->rows[i][d.worst_i], d.nmse, limit.nmse, d.max, limit.max);
    }
    return true;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static bool judge_equal(const struct ops_case *c, const struct outputs *a, const struct outputs *b,
                        const char *what, struct ops_verdict *v)
{
    for (uint32_t i = 0; i < c->n_values; i++) {
        for (size_t k = 0; a->rows[i] != NULL && b->rows[i] != NULL && k < a->n[i]; k++)
            if (bits_of(a->rows[i][k]) != bits_of(b->rows[i][k])) {
                size_t cols = (size_t)c->values[i].value.cols;
                return fail(v, "%s: value %u [%zu, %zu] is %.9g, was %.9g", what, i, k / cols,
                            k % cols, (double)b->rows[i][k], (double)a->rows[i][k]);
            }
    }
    return true;
}

/* Some rows, each alone in a step, against the same rows of the whole. */
static bool judge_rows_alone(struct ops_rig *rig, const struct outputs *whole,
                             struct ops_verdict *v)
{
    const struct ops_case *c = rig->c;
    struct outputs one = {0};
    struct pl_error err = {{0}};
    bool ok = outputs_alloc(c, &one, &err) == PL_OK || fail(v, "%s", err.msg);
    const int64_t picks[] = {0, (int64_t)c->n_rows / 2, (int64_t)c->n_rows - 1};
    for (size_t p = 0; ok && p < PL_ARRAY_LEN(picks); p++) {
        int64_t row = picks[p];
        if (run_rows(rig, 1, row, 1, &one, &err) != PL_OK)
            ok = fail(v, "row %lld alone: %s", (long long)row, err.msg);
        for (uint32_t i = 0; ok && i < c->n_values; i++) {
            size_t cols = (size_t)c->values[i].value.cols;
            const float *alone = one.rows[i];
            const float *among = whole->rows[i];
            if (alone == NULL || among == NULL)
                continue;
            if (memcmp(alone, among + (size_t)row * cols, cols * sizeof(float)) != 0)
                ok = fail(v, "row %lld alone differs from the same row among %u", (long long)row,
                          c->n_rows);
        }
    }
    outputs_free(&one);
    return ok;
}

static bool judge_chunks(struct ops_rig *rig, const struct outputs *whole,
                         const struct outputs *want, bool exact, struct ops_verdict *v)
{
    const struct ops_case *c = rig->c;
    struct outputs chunks = {0};
    struct pl_error err = {{0}};
    bool ok = true;
    if (outputs_alloc(c, &chunks, &err) != PL_OK ||
        run_kv(rig, SCHEDULE_CHUNKS, 5, &chunks, &err) != PL_OK)
        ok = fail(v, "in chunks: %s", err.msg);
    if (ok)
        ok = exact ? judge_equal(c, whole, &chunks, "in chunks", v)
                   : judge_distance(c, &chunks, want, v);
    outputs_free(&chunks);
    return ok;
}

static bool judge_one_thread(const struct ops_bench *bench, const struct ops_case *c,
                             const struct outputs *whole, struct ops_verdict *v)
{
    struct ops_rig rig = {0};
    struct outputs out = {0};
    struct pl_error err = {{0}};
    bool ok = first_run(&bench->one_thread, c, &rig, &out, &err) == PL_OK ||
              fail(v, "with one thread: %s", err.msg);
    ok = ok && judge_equal(c, whole, &out, "with one thread", v);
    outputs_free(&out);
    rig_deinit(&rig);
    return ok;
}

static bool judge_again(struct ops_rig *rig, const struct outputs *whole, struct ops_verdict *v)
{
    struct outputs again = {0};
    struct pl_error err = {{0}};
    bool ok = true;
    if (outputs_alloc(rig->c, &again, &err) != PL_OK || run_whole(rig, 1, &again, &err) != PL_OK)
        ok = fail(v, "run again: %s", err.msg);
    ok = ok && judge_equal(rig->c, whole, &again, "run again", v);
    outputs_free(&again);
    return ok;
}

static void judge(const struct ops_bench *bench, const struct ops_case *c, struct ops_rig *rig,
                  const struct outputs *got, const struct outputs *want, struct ops_verdict *v)
{
    bool ok = judge_distance(c, got, want, v) && judge_again(rig, got, v);
    if (ok && bench->exact && c->row_wise)
        ok = judge_rows_alone(rig, got, v);
    if (ok && c->has_kv && c->chunkable)
        ok = judge_chunks(rig, got, want, bench->exact, v);
    if (ok && bench->one_thread.table != NULL)
        judge_one_thread(bench, c, got, v);
}

void ops_run_case(const struct ops_bench *bench, const struct ops_case *c, struct ops_verdict *ret)
{
    *ret = (struct ops_verdict){.outcome = OPS_PASS};
    if (c->failed) {
        fail(ret, "no memory for the case");
        return;
    }
    struct ops_rig rig = {0};
    struct ops_rig oracle_rig = {0};
    struct outputs got = {0};
    struct outputs want = {0};
    struct pl_error err = {{0}};
    enum pl_status status = first_run(&bench->tested, c, &rig, &got, &err);
    if (status == PL_ENOTSUP) {
        ret->outcome = OPS_UNSUPPORTED;
        memcpy(ret->why, err.msg, sizeof ret->why);
    } else if (status != PL_OK) {
        fail(ret, "%s", err.msg);
    } else {
        status = first_run(&bench->oracle, c, &oracle_rig, &want, &err);
        if (status == PL_ENOTSUP)
            ret->outcome = OPS_UNCHECKED;
        else if (status != PL_OK)
            fail(ret, "the reference failed: %s", err.msg);
        else
            judge(bench, c, &rig, &got, &want, ret);
    }
    outputs_free(&got);
    outputs_free(&want);
    rig_deinit(&rig);
    rig_deinit(&oracle_rig);
}
