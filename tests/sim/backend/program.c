/* What the simulated device takes, and a step on it; see device.h and text.h. */
#include "device.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ENTRY_BYTES sizeof(uint64_t)
#define SPM_WORDS   259 /* first id behind the controls and bytes of a SentencePiece vocabulary */
#define LAST_OP     PL_OP_DELTA_NET

/* ---- planning ------------------------------------------------------------------------------------ */

enum pl_status sim_op_query(struct pl_device *device, const struct pl_program_desc *program,
                            uint32_t op_i, struct pl_op_support *ret, struct pl_error *err)
{
    (void)device;
    const char *ops = (const char *)program->ops;
    const struct pl_op *op = (const void *)(ops + (size_t)op_i * program->op_stride);
    if (pl_op_name(op->opcode) == NULL)
        return pl_error_set(err, PL_ENOTSUP, "sim: op %u is unknown", op->opcode);
    for (size_t i = 0; i < PL_OP_IN_MAX; i++)
        if (op->in[i] != PL_NO_VALUE && (op->in[i] < 0 || (uint32_t)op->in[i] >= program->n_values))
            return pl_error_set(err, PL_ENOTSUP, "sim: operand %zu is no value", i);
    ret->workspace_bytes = 0;
    return PL_OK;
}

enum pl_status sim_weight_query(struct pl_device *device, const struct pl_weight_desc *desc,
                                struct pl_weight_layout *ret, struct pl_error *err)
{
    (void)device;
    size_t row_bytes = 0;
    size_t bytes = 0;
    if (!pl_row_bytes(desc->dtype, desc->col_end - desc->col_begin, &row_bytes) ||
        !pl_mul_size(row_bytes, (size_t)(desc->row_end - desc->row_begin), &bytes))
        return pl_error_set(err, PL_ENOTSUP, "sim: type %u of %" PRId64 " columns", desc->dtype,
                            desc->cols);
    ret->layout = PL_LAYOUT_FILE;
    ret->bytes = bytes;
    ret->in_place = 1;
    return PL_OK;
}

enum pl_status sim_weight_pack(struct pl_device *device, const struct pl_weight_desc *desc,
                               const void *src, size_t src_bytes, struct pl_buffer *dst,
                               uint64_t dst_offset, struct pl_error *err)
{
    (void)device, (void)desc, (void)src, (void)src_bytes, (void)dst, (void)dst_offset, (void)err;
    return PL_OK; /* weights are never read */
}

enum pl_status sim_kv_query(struct pl_device *device, const struct pl_kv_group *group,
                            struct pl_kv_layout *ret, struct pl_error *err)
{
    (void)device;
    if (group->kind != PL_KV_FULL && group->kind != PL_KV_WINDOW)
        return pl_error_set(err, PL_ENOTSUP, "sim: a KV group of kind %u", group->kind);
    ret->layout = 1;
    ret->block_bytes = group->block_tokens * ENTRY_BYTES;
    return PL_OK;
}

/* ---- programs ------------------------------------------------------------------------------------ */

static void read_set(struct sim_set *set, const struct pl_binding_set *from, uint32_t n_groups)
{
    uint8_t *base = from->buffer->data;
    const uint64_t *at = from->offset;
    set->ids = (const void *)(base + at[PL_BINDING_IDS]);
    set->pos = (const void *)(base + at[PL_BINDING_POS]);
    set->row_seq = (const void *)(base + at[PL_BINDING_ROW_SEQ]);
    set->seq_start = (const void *)(base + at[PL_BINDING_SEQ_START]);
    set->kv_len = (const void *)(base + at[PL_BINDING_KV_LEN]);
    set->out_rows = (const void *)(base + at[PL_BINDING_OUT_ROWS]);
    set->logits = (void *)(base + at[PL_BINDING_LOGITS]);
    for (uint32_t g = 0; g < n_groups; g++)
        set->tables[g] = (const void *)(base + at[PL_BINDING_BLOCK_TABLE + g]);
}

static uint32_t find_vocab(const struct pl_program_desc *desc)
{
    for (uint32_t i = 0; i < desc->n_values; i++) {
        const char *values = (const char *)desc->values;
        const struct pl_value *value = (const void *)(values + (size_t)i * desc->value_stride);
        if (value->kind == PL_VALUE_BINDING && value->binding == PL_BINDING_LOGITS)
            return (uint32_t)value->cols;
    }
    return 0;
}

static struct sim_words choose_words(const struct sim_settings *s, uint32_t n_vocab)
{
    int32_t first = n_vocab > SPM_WORDS ? SPM_WORDS : 0;
    int32_t last = (int32_t)n_vocab - 1;
    if (s->word_first >= 0) {
        first = PL_MIN(s->word_first, last);
        last = PL_MIN(s->word_last, last);
    }
    return (struct sim_words){
        .first = first, .n = last - first + 1, .eos_id = s->eos_id, .eos_rate = s->eos_rate};
}

static void read_groups(struct pl_program *program, const struct pl_program_desc *desc)
{
    for (uint32_t g = 0; g < desc->n_groups; g++) {
        const char *groups = (const char *)desc->groups;
        const struct pl_kv_group *from = (const void *)(groups + (size_t)g * desc->group_stride);
        from->buffer->kv = true;
        program->groups[g] = (struct sim_group){
            .entries = (void *)from->buffer->data,
            .n_blocks = from->n_blocks,
            .max_blocks = from->max_blocks,
            .block_tokens = from->block_tokens,
            .window_tokens = from->kind == PL_KV_WINDOW ? from->window_tokens : 0,
        };
    }
}

enum pl_status sim_program_new(struct pl_device *device, const struct pl_program_desc *desc,
                               struct pl_program **ret, struct pl_error *err)
{
    uint32_t n_vocab = find_vocab(desc);
    if (n_vocab == 0 || desc->n_groups < 1 || desc->n_groups > PL_KV_GROUPS_MAX || desc->n_sets < 1)
        return pl_error_set(err, PL_EINVAL, "sim: a program without logits, KV groups or sets");
    struct pl_program *program = calloc(1, sizeof *program);
    struct sim_set *sets = calloc(desc->n_sets, sizeof *sets);
    if (program == NULL || sets == NULL) {
        free(program);
        free(sets);
        return pl_error_set(err, PL_ENOMEM, "sim: no memory for a program");
    }
    *program = (struct pl_program){
        .device = device,
        .n_sets = desc->n_sets,
        .n_groups = desc->n_groups,
        .rows_max = desc->rows_max,
        .seqs_max = desc->seqs_max,
        .outputs_max = desc->outputs_max,
        .n_vocab = n_vocab,
        .sets = sets,
        .words = choose_words(&device->settings, n_vocab),
    };
    read_groups(program, desc);
    for (uint32_t i = 0; i < desc->n_sets; i++) {
        const char *all = (const char *)desc->sets;
        read_set(&sets[i], (const void *)(all + (size_t)i * desc->set_stride), desc->n_groups);
    }
    device->stats.n_compiles++;
    device->stats.n_allocs += 2;
    *ret = program;
    return PL_OK;
}

void sim_program_free(struct pl_program *program)
{
    if (program == NULL)
        return;
    free(program->sets);
    free(program);
}

/* ---- a step -------------------------------------------------------------------------------------- */

/* The entry of a position, or NULL where the table names no block. */
static uint64_t *entry_at(const struct sim_group *group, const int32_t *table, uint32_t seq,
                          uint32_t pos)
{
    uint32_t column = pos / group->block_tokens;
    if (column >= group->max_blocks)
        return NULL;
    int32_t block = table[(size_t)seq * group->max_blocks + column];
    if (block < 0 || (uint32_t)block >= group->n_blocks)
        return NULL;
    return group->entries + (size_t)(uint32_t)block * group->block_tokens +
           pos % group->block_tokens;
}

static enum pl_status bad(struct pl_error *err, const char *what, uint32_t i)
{
    return pl_error_set(err, PL_EINVAL, "sim: the step breaks its contract: %s %u", what, i);
}

/* seq_start, kv_len and the rows of sequence s belong together. */
static enum pl_status check_seq(const struct pl_program *program, const struct sim_set *set,
                                const struct pl_step *step, uint32_t s, struct pl_error *err)
{
    int32_t begin = set->seq_start[s];
    int32_t end = set->seq_start[s + 1];
    if (begin < 0 || end <= begin || (uint32_t)end > step->n_rows)
        return bad(err, "rows of sequence", s);
    for (int32_t row = begin; row < end; row++)
        if (set->row_seq[row] != (int32_t)s || set->pos[row] < 0 ||
            set->pos[row] + (end - row) != set->kv_len[s] || set->ids[row] < 0 ||
            (uint32_t)set->ids[row] >= program->n_vocab)
            return bad(err, "row", (uint32_t)row);
    return PL_OK;
}

static enum pl_status check_step(const struct pl_program *program, const struct sim_set *set,
                                 const struct pl_step *step, struct pl_error *err)
{
    if (set->seq_start[0] != 0 || (uint32_t)set->seq_start[step->n_seqs] != step->n_rows)
        return bad(err, "rows in all:", step->n_rows);
    for (uint32_t s = 0; s < step->n_seqs; s++) {
        enum pl_status status = check_seq(program, set, step, s, err);
        if (status != PL_OK)
            return status;
    }
    for (uint32_t o = 0; o < step->n_outputs; o++)
        if (set->out_rows[o] < 0 || (uint32_t)set->out_rows[o] >= step->n_rows ||
            (o > 0 && set->out_rows[o] <= set->out_rows[o - 1]))
            return bad(err, "output", o);
    return PL_OK;
}

/* Writes the entries of one sequence's rows to one group. */
static enum pl_status write_rows(const struct sim_group *group, const int32_t *table,
                                 const struct sim_set *set, uint32_t s, struct pl_error *err)
{
    uint64_t before = 0;
    for (int32_t row = set->seq_start[s]; row < set->seq_start[s + 1]; row++) {
        uint32_t pos = (uint32_t)set->pos[row];
        if (row == set->seq_start[s] && pos > 0) {
            const uint64_t *last = entry_at(group, table, s, pos - 1);
            if (last == NULL)
                return bad(err, "block table of sequence", s);
            before = *last;
        }
        uint64_t *entry = entry_at(group, table, s, pos);
        if (entry == NULL)
            return bad(err, "block table of sequence", s);
        before = *entry = sim_entry(before, set->ids[row]);
    }
    return PL_OK;
}

/* What the logits of a row follow from: its own entry and a few that it sees. */
static enum pl_status read_key(const struct pl_program *program, const struct sim_set *set,
                               uint32_t row, uint64_t *ret, struct pl_error *err)
{
    uint32_t s = (uint32_t)set->row_seq[row];
    uint32_t pos = (uint32_t)set->pos[row];
    uint64_t key = 0;
    for (uint32_t g = 0; g < program->n_groups; g++) {
        const struct sim_group *group = &program->groups[g];
        const uint64_t *own = entry_at(group, set->tables[g], s, pos);
        uint32_t window = group->window_tokens;
        uint32_t first = window > 0 && pos + 1 > window ? pos + 1 - window : 0;
        if (own == NULL)
            return bad(err, "block table of sequence", s);
        key = sim_mix(key, *own);
        for (uint32_t i = 0; i < SIM_PROBES; i++) {
            const uint64_t *seen =
                entry_at(group, set->tables[g], s, sim_probe(*own, i, first, pos));
            if (seen == NULL)
                return bad(err, "block table of sequence", s);
            key = sim_mix(key, *seen);
        }
    }
    *ret = key;
    return PL_OK;
}

static void write_logits(const struct pl_program *program, uint64_t key, float *logits)
{
    const struct sim_words *words = &program->words;
    for (uint32_t i = 0; i < program->n_vocab; i++)
        logits[i] = SIM_LOGIT_REST;
    for (uint32_t j = SIM_CANDIDATES; j-- > 0;)
        logits[sim_candidate(words, key, j)] = SIM_LOGIT_TOP - SIM_LOGIT_STEP * (float)j;
    if (sim_ends(words, key) && (uint32_t)words->eos_id < program->n_vocab)
        logits[words->eos_id] = 2 * SIM_LOGIT_TOP;
}

/* Of a step with n decodes, without the reading of KV. */
static double base_ns(const struct sim_profile *p, uint32_t n)
{
    if (n == 0 || p->n_knots == 0)
        return p->fixed_ns + n * p->decode_ns;
    if (n <= p->knots[0].n || p->n_knots == 1)
        return p->knots[0].ns;
    uint32_t i = 1;
    while (i + 1 < p->n_knots && n > p->knots[i].n)
        i++;
    const struct sim_knot *a = &p->knots[i - 1];
    const struct sim_knot *b = &p->knots[i]; /* the last line goes on beyond its end */
    return a->ns + (n - a->n) * (b->ns - a->ns) / (b->n - a->n);
}

/* See device.h. */
static double step_ns(const struct sim_profile *p, const struct sim_set *set,
                      const struct pl_step *step)
{
    double ns = 0;
    uint32_t n_decodes = 0;
    for (uint32_t s = 0; s < step->n_seqs; s++) {
        double rows = set->seq_start[s + 1] - set->seq_start[s];
        double len = set->kv_len[s];
        if (rows > 1) {
            ns += rows * p->prefill_ns + rows * (len - (rows - 1) / 2) * p->pair_ns;
        } else {
            ns += len * p->kv_ns;
            n_decodes++;
        }
    }
    return ns + base_ns(p, n_decodes);
}

enum pl_status sim_program_run(struct pl_program *program, const struct pl_step *step,
                               double *ret_ns, struct pl_error *err)
{
    if (step->binding_set >= program->n_sets || step->n_rows < 1 ||
        step->n_rows > program->rows_max || step->n_seqs < 1 || step->n_seqs > program->seqs_max ||
        step->n_outputs > program->outputs_max)
        return bad(err, "counts; rows:", step->n_rows);
    const struct sim_set *set = &program->sets[step->binding_set];
    enum pl_status status = check_step(program, set, step, err);
    for (uint32_t g = 0; g < program->n_groups; g++)
        for (uint32_t s = 0; status == PL_OK && s < step->n_seqs; s++)
            status = write_rows(&program->groups[g], set->tables[g], set, s, err);
    for (uint32_t o = 0; status == PL_OK && o < step->n_outputs; o++) {
        uint64_t key = 0;
        status = read_key(program, set, (uint32_t)set->out_rows[o], &key, err);
        if (status == PL_OK)
            write_logits(program, key, set->logits + (size_t)o * program->n_vocab);
    }
    if (status == PL_OK)
        *ret_ns = step_ns(&program->device->settings.profile, set, step);
    return status;
}
