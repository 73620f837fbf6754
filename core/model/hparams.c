/* See hparams.h. */
#include "hparams.h"
#include "arch.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

#define KEY_MAX 128 /* architecture name and the longest suffix */

/* Reads "<arch>.<suffix>" keys; the first failure sticks. */
struct reader {
    const struct gguf *file;
    const char *arch;
    enum pl_status status;
    struct pl_error *err;
};

static void make_key(const struct reader *r, const char *suffix, char key[KEY_MAX])
{
    (void)snprintf(key, KEY_MAX, "%s.%s", r->arch, suffix);
}

static bool has(const struct reader *r, const char *suffix)
{
    char key[KEY_MAX];
    make_key(r, suffix, key);
    return gguf_find(r->file, key) != NULL;
}

/* A required number in [1, max]. */
static uint32_t need_u32(struct reader *r, const char *suffix, uint32_t max)
{
    char key[KEY_MAX];
    uint32_t value = 1;
    if (r->status != PL_OK)
        return value;
    make_key(r, suffix, key);
    r->status = gguf_get_u32(r->file, key, &value, r->err);
    if (r->status == PL_OK && (value < 1 || value > max)) {
        r->status = pl_error_set(r->err, PL_EFORMAT, "model: key '%s': %u, expected 1..%u", key,
                                 value, max);
        value = 1;
    }
    return value;
}

static uint32_t get_u32(struct reader *r, const char *suffix, uint32_t max, uint32_t otherwise)
{
    return has(r, suffix) ? need_u32(r, suffix, max) : otherwise;
}

/* An optional count: 0 when absent. */
static uint32_t get_count(struct reader *r, const char *suffix)
{
    char key[KEY_MAX];
    uint32_t value = 0;
    make_key(r, suffix, key);
    if (r->status == PL_OK && gguf_find(r->file, key) != NULL)
        r->status = gguf_get_u32(r->file, key, &value, r->err);
    return r->status == PL_OK ? value : 0;
}

/* A number that may be stored per layer: accepted if it is the same for all. */
static uint32_t get_u32_uniform(struct reader *r, const char *suffix, uint32_t max,
                                uint32_t otherwise)
{
    char key[KEY_MAX];
    make_key(r, suffix, key);
    const struct gguf_kv *kv = gguf_find(r->file, key);
    if (kv == NULL || kv->type != GGUF_ARRAY)
        return get_u32(r, suffix, max, otherwise);
    if (r->status != PL_OK)
        return 1;
    bool numeric = kv->elem_type != GGUF_STRING && kv->elem_type != GGUF_BOOL &&
                   kv->elem_type != GGUF_F32 && kv->elem_type != GGUF_F64 && kv->n_elems > 0;
    int64_t value = numeric ? gguf_elem_i64(kv, 0) : 0;
    for (uint64_t i = 1; numeric && i < kv->n_elems; i++)
        if (gguf_elem_i64(kv, i) != value)
            numeric = false;
    if (!numeric || value < 1 || value > max) {
        r->status = pl_error_set(r->err, numeric ? PL_EFORMAT : PL_ENOTSUP,
                                 "model: key '%s': differs by layer or is out of 1..%u", key, max);
        return 1;
    }
    return (uint32_t)value;
}

static float get_f32(struct reader *r, const char *suffix, double min, double max, double otherwise)
{
    char key[KEY_MAX];
    double value = otherwise;
    if (r->status != PL_OK || !has(r, suffix))
        return (float)otherwise;
    make_key(r, suffix, key);
    r->status = gguf_get_f64(r->file, key, &value, r->err);
    if (r->status == PL_OK && !(value >= min && value <= max)) { /* NaN fails too */
        r->status = pl_error_set(r->err, PL_EFORMAT, "model: key '%s': %g, expected %g..%g", key,
                                 value, min, max);
        return (float)otherwise;
    }
    return (float)value;
}

static void read_rope_switch(struct reader *r, struct hparams *hp)
{
    char key[KEY_MAX];
    bool rotates = true;
    make_key(r, "rope.scaling.finetuned", key);
    if (r->status == PL_OK && hp->arch->rope_switch && gguf_find(r->file, key) != NULL)
        r->status = gguf_get_bool(r->file, key, &rotates, r->err);
    hp->rope = rotates ? hp->arch->rope : PL_ROPE_NONE;
}

static void read_rope_scaling(struct reader *r, struct hparams *hp)
{
    char key[KEY_MAX];
    struct gguf_str type = {"none", 4};
    hp->freq_scale = 1.0f;
    hp->attn_factor = 1.0f;
    make_key(r, "rope.scaling.type", key);
    if (r->status == PL_OK && gguf_find(r->file, key) != NULL)
        r->status = gguf_get_str(r->file, key, &type, r->err);
    /* Older files state a linear factor only. */
    float factor = get_f32(r, "rope.scale_linear", 1e-6, 1e6, 1.0);
    factor = get_f32(r, "rope.scaling.factor", 0.0, 1e6, (double)factor);
    if (factor == 0.0f) /* some converters write 0 for "none" */
        factor = 1.0f;
    bool yarn = type.len == 4 && memcmp(type.data, "yarn", 4) == 0;
    bool linear = type.len == 6 && memcmp(type.data, "linear", 6) == 0;
    bool none = (type.len == 4 && memcmp(type.data, "none", 4) == 0) ||
                (type.len == 8 && memcmp(type.data, "longrope", 8) == 0); /* only by factors */
    if (r->status == PL_OK && !yarn && !linear && !none) {
        r->status = pl_error_set(r->err, PL_ENOTSUP, "model: key '%s': scaling '%.*s' unknown", key,
                                 (int)PL_MIN(type.len, (size_t)32), type.data);
        return;
    }
    bool legacy_linear = none && has(r, "rope.scale_linear");
    if (yarn || linear || legacy_linear)
        hp->freq_scale = 1.0f / factor;
    hp->attn_factor = get_f32(r, "rope.scaling.attn_factor", 0.0, 1e6, 1.0);
    hp->rope_orig_ctx =
        get_u32(r, "rope.scaling.original_context_length", HPARAMS_CTX_MAX, hp->ctx_train_tokens);
    if (yarn) {
        hp->ext_factor = 1.0f;
        hp->beta_fast = get_f32(r, "rope.scaling.yarn_beta_fast", 0.0, 1e6, 32.0);
        hp->beta_slow = get_f32(r, "rope.scaling.yarn_beta_slow", 0.0, 1e6, 1.0);
    }
}

/* Which layers have a window: a key with the period or with one number per layer, else the row's period. */
static void read_window_layers(struct reader *r, struct hparams *hp)
{
    char key[KEY_MAX];
    make_key(r, "attention.sliding_window_pattern", key);
    const struct gguf_kv *kv = gguf_find(r->file, key);
    uint32_t period = hp->arch->window_period;
    if (kv != NULL && kv->type == GGUF_ARRAY) {
        bool numbers =
            kv->elem_type != GGUF_STRING && kv->elem_type != GGUF_F32 && kv->elem_type != GGUF_F64;
        if (!numbers || kv->n_elems != hp->n_layers) {
            r->status =
                pl_error_set(r->err, PL_EFORMAT, "model: key '%s': expected %u numbers or booleans",
                             key, hp->n_layers);
            return;
        }
        for (uint32_t i = 0; i < hp->n_layers; i++)
            hp->windowed[i] = gguf_elem_i64(kv, i) != 0;
        return;
    }
    if (kv != NULL)
        r->status = gguf_get_u32(r->file, key, &period, r->err);
    for (uint32_t i = 0; i < hp->n_layers; i++) /* a period of 0: all of them */
        hp->windowed[i] = period == 0 || i % period + 1 < period;
}

static void read_window(struct reader *r, struct hparams *hp)
{
    const struct model_arch *arch = hp->arch;
    if (arch->window_period == 0)
        return;
    hp->window = arch->window_tokens;
    if (has(r, "attention.sliding_window"))
        hp->window = get_count(r, "attention.sliding_window");
    if (r->status != PL_OK || hp->window == 0)
        return;
    if (hp->window > HPARAMS_CTX_MAX) {
        r->status = pl_error_set(r->err, PL_EFORMAT,
                                 "model: key '%s.attention.sliding_window': %u, expected 0..%u",
                                 arch->name, hp->window, HPARAMS_CTX_MAX);
        return;
    }
    read_window_layers(r, hp);
    float base = arch->window_freq_base != 0.0f ? arch->window_freq_base : hp->freq_base;
    hp->window_freq_base = get_f32(r, "rope.freq_base_swa", 1e-3, 1e12, (double)base);
    hp->window_freq_scale = arch->window_unscaled ? 1.0f : hp->freq_scale;
}

/* A factor that may be given as a key and is 1 without, or where the key says 0. */
static float get_multiplier(struct reader *r, const char *suffix)
{
    float value = r->status == PL_OK ? get_f32(r, suffix, 0.0, 1e6, 1.0) : 1.0f;
    return value != 0.0f ? value : 1.0f;
}

static void read_scales(struct reader *r, struct hparams *hp)
{
    const struct model_arch *arch = hp->arch;
    bool wide = arch->wide_layers != 0 && hp->n_layers == arch->wide_layers;
    if (r->status != PL_OK)
        return;
    hp->attn_scale = 1.0f / sqrtf((float)(wide ? hp->n_embd / hp->n_heads : hp->head_dim));
    hp->attn_softcap = get_f32(r, "attn_logit_softcapping", 0.0, 1e6, (double)arch->attn_softcap);
    hp->final_softcap =
        get_f32(r, "final_logit_softcapping", 0.0, 1e6, (double)arch->final_softcap);
    hp->embd_scale = arch->embd_sqrt ? sqrtf((float)hp->n_embd) : 1.0f;
    hp->residual_scale = 1.0f;
    hp->logit_scale = 1.0f;
    if (!arch->multipliers)
        return;
    hp->embd_scale = get_multiplier(r, "embedding_scale");
    hp->residual_scale = get_multiplier(r, "residual_scale");
    hp->logit_scale = 1.0f / get_multiplier(r, "logit_scale");
    if (has(r, "attention.scale"))
        hp->attn_scale = get_multiplier(r, "attention.scale");
}

static void read_attention(struct reader *r, struct hparams *hp)
{
    hp->n_heads = get_u32_uniform(r, "attention.head_count", HPARAMS_HEADS_MAX, 0);
    if (r->status == PL_OK && hp->n_heads == 0)
        hp->n_heads = need_u32(r, "attention.head_count", HPARAMS_HEADS_MAX); /* says "absent" */
    if (r->status != PL_OK)
        return;
    hp->n_kv_heads = get_u32_uniform(r, "attention.head_count_kv", HPARAMS_HEADS_MAX, hp->n_heads);
    if (r->status == PL_OK && hp->n_heads % hp->n_kv_heads != 0) {
        r->status =
            pl_error_set(r->err, PL_EFORMAT,
                         "model: key '%s.attention.head_count_kv': %u does not divide %u heads",
                         r->arch, hp->n_kv_heads, hp->n_heads);
        return;
    }
    uint32_t whole = hp->n_embd % hp->n_heads == 0 ? hp->n_embd / hp->n_heads : 0;
    hp->head_dim = get_u32(r, "attention.key_length", HPARAMS_HEAD_MAX, whole);
    hp->head_dim_v = get_u32(r, "attention.value_length", HPARAMS_HEAD_MAX, whole);
    if (r->status == PL_OK &&
        (hp->head_dim == 0 || hp->head_dim > HPARAMS_HEAD_MAX || hp->head_dim_v == 0)) {
        r->status = pl_error_set(r->err, PL_EFORMAT,
                                 "model: key '%s.attention.head_count': %u heads do not fit an "
                                 "embedding of %u",
                                 r->arch, hp->n_heads, hp->n_embd);
        return;
    }
    hp->rot_dim = get_u32(r, "rope.dimension_count", HPARAMS_HEAD_MAX, hp->head_dim);
    if (r->status == PL_OK && (hp->rot_dim % 2 != 0 || hp->rot_dim > hp->head_dim))
        r->status =
            pl_error_set(r->err, PL_EFORMAT,
                         "model: key '%s.rope.dimension_count': %u, expected an even number "
                         "up to %u",
                         r->arch, hp->rot_dim, hp->head_dim);
}

static enum pl_status find_arch(const struct gguf *file, const struct model_arch **ret,
                                struct pl_error *err)
{
    struct gguf_str name;
    enum pl_status status = gguf_get_str(file, "general.architecture", &name, err);
    if (status != PL_OK)
        return status;
    *ret = arch_find(name);
    if (*ret == NULL) {
        char shown[48];
        size_t n = PL_MIN(name.len, sizeof shown - 1);
        for (size_t i = 0; i < n; i++) {
            shown[i] = name.data[i];
            if (shown[i] <= 0x20 || shown[i] >= 0x7f)
                shown[i] = '?';
        }
        shown[n] = '\0';
        return pl_error_set(err, PL_ENOTSUP,
                            "model: key 'general.architecture': '%s' is not supported (%s are)",
                            shown, model_architectures());
    }
    return PL_OK;
}

/* The table's rows are the vocabulary; where the file carries a tokenizer both must agree. */
static enum pl_status read_vocab(const struct gguf *file, struct hparams *hp, struct pl_error *err)
{
    const struct gguf_tensor *table = gguf_find_tensor(file, "token_embd.weight");
    const struct gguf_kv *tokens = gguf_find(file, "tokenizer.ggml.tokens");
    if (table == NULL)
        return pl_error_set(err, PL_EFORMAT, "model: tensor 'token_embd.weight': absent");
    if (table->dims[1] < 1 || table->dims[1] > HPARAMS_VOCAB_MAX)
        return pl_error_set(err, PL_EFORMAT, "model: tensor 'token_embd.weight': %lld rows",
                            (long long)table->dims[1]);
    if (tokens != NULL && tokens->n_elems != (uint64_t)table->dims[1])
        return pl_error_set(err, PL_EFORMAT,
                            "model: tensor 'token_embd.weight': %lld rows, but key "
                            "'tokenizer.ggml.tokens' holds %llu",
                            (long long)table->dims[1], (unsigned long long)tokens->n_elems);
    hp->n_vocab = (uint32_t)table->dims[1];
    return PL_OK;
}

enum pl_status hparams_read(const struct gguf *file, struct hparams *ret, struct pl_error *err)
{
    struct hparams hp = {0};
    enum pl_status status = find_arch(file, &hp.arch, err);
    if (status != PL_OK)
        return status;
    struct reader r = {.file = file, .arch = hp.arch->name, .err = err};
    hp.n_layers = need_u32(&r, "block_count", HPARAMS_LAYERS_MAX);
    hp.ctx_train_tokens = need_u32(&r, "context_length", HPARAMS_CTX_MAX);
    hp.n_embd = need_u32(&r, "embedding_length", HPARAMS_EMBD_MAX);
    hp.n_ff = get_u32_uniform(&r, "feed_forward_length", HPARAMS_FF_MAX, 0);
    if (hp.n_ff == 0)
        hp.n_ff = need_u32(&r, "feed_forward_length", HPARAMS_FF_MAX);
    read_attention(&r, &hp);
    hp.norm_eps = get_f32(&r, "attention.layer_norm_rms_epsilon", 0.0, 1.0, 1e-5);
    hp.freq_base = get_f32(&r, "rope.freq_base", 1e-3, 1e12, 10000.0);
    read_rope_switch(&r, &hp);
    read_rope_scaling(&r, &hp);
    read_window(&r, &hp);
    read_scales(&r, &hp);
    if (get_count(&r, "expert_count") > 0)
        r.status = pl_error_set(err, PL_ENOTSUP,
                                "model: key '%s.expert_count': mixtures of experts are not "
                                "supported yet",
                                hp.arch->name);
    if (r.status != PL_OK)
        return r.status;
    status = read_vocab(file, &hp, err);
    if (status != PL_OK)
        return status;
    *ret = hp;
    return PL_OK;
}
