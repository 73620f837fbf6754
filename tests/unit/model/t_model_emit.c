/* core/model: what a file must hold to be a model, and what it is emitted as. */
#include "gguf_make.h"
#include "model/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/banned.h"

static const struct model_limits limits = {
    .rows_max = 64, .seqs_max = 8, .outputs_max = 8, .dtype_kv = PL_DTYPE_F16, .block_tokens = 16};

static char path[64];

static void write_model(const struct gguf_make_model *spec, void (*more)(struct gguf_make *))
{
    struct gguf_make m;
    gguf_make_begin(&m);
    gguf_make_add_model(&m, spec);
    if (more != NULL)
        more(&m);
    gguf_make_write(&m, path);
}

/* Opens path and emits it; the status. */
static enum pl_status emit(struct graph *graph, struct pl_error *err)
{
    struct gguf *file = NULL;
    assert_int_equal(gguf_open(path, &file, err), PL_OK);
    enum pl_status status = model_emit(file, &limits, graph, err);
    gguf_close(file);
    return status;
}

static void emits_six_ops_per_llama_layer(void **state)
{
    (void)state;
    static const uint32_t layer[] = {PL_OP_LINEAR, PL_OP_QKV_POST, PL_OP_ATTN,
                                     PL_OP_LINEAR, PL_OP_LINEAR,   PL_OP_LINEAR};
    struct graph graph;
    struct pl_error err = {{0}};
    write_model(&(struct gguf_make_model){.arch = "llama", .n_layers = 3, .untied = true}, NULL);
    assert_int_equal(emit(&graph, &err), PL_OK);
    /* embed, layers, two gathers in the last, head */
    assert_int_equal(graph.n_ops, 1 + 3 * 6 + 2 + 1);
    assert_int_equal(graph.ops[0].opcode, PL_OP_EMBED);
    for (uint32_t i = 0; i < 12; i++)
        assert_int_equal(graph.ops[1 + i].opcode, layer[i % 6]);
    assert_int_equal(graph.ops[graph.n_ops - 1].opcode, PL_OP_LINEAR);
    assert_int_equal(graph.n_groups, 1);
    assert_int_equal(graph.groups[0].n_layers, 3);
    assert_int_equal(graph.n_weights, 2 + 1 + 3 * 9);
    graph_deinit(&graph);
}

static void ties_the_output_to_the_table_where_there_is_no_output_weight(void **state)
{
    (void)state;
    struct graph graph;
    struct pl_error err = {{0}};
    write_model(&(struct gguf_make_model){.arch = "llama", .n_layers = 1}, NULL);
    assert_int_equal(emit(&graph, &err), PL_OK);
    const struct pl_op *head = &graph.ops[graph.n_ops - 1];
    assert_int_equal(head->in[PL_LINEAR_W], graph.ops[0].in[0]);
    assert_int_equal(graph.values[head->out[0]].binding, PL_BINDING_LOGITS);
    graph_deinit(&graph);
}

static void gives_qwen2_its_biases_and_rope_over_halves(void **state)
{
    (void)state;
    struct graph graph;
    struct pl_error err = {{0}};
    write_model(&(struct gguf_make_model){.arch = "qwen2", .n_layers = 1, .qkv_bias = true}, NULL);
    assert_int_equal(emit(&graph, &err), PL_OK);
    for (int i = 0; i < 3; i++)
        assert_int_not_equal(graph.ops[1].in[PL_LINEAR_B + i], PL_NO_VALUE);
    assert_int_equal(graph.ops[2].p.qkv_post.rope, PL_ROPE_NEOX);
    graph_deinit(&graph);
}

static void more_linear_scaling(struct gguf_make *m)
{
    gguf_make_str(m, "llama.rope.scaling.type", "linear");
    gguf_make_f32(m, "llama.rope.scaling.factor", 4.0f);
    gguf_make_f32(m, "llama.rope.freq_base", 500000.0f);
}

static void reads_rope_scaling(void **state)
{
    (void)state;
    struct graph graph;
    struct pl_error err = {{0}};
    write_model(&(struct gguf_make_model){.arch = "llama", .n_layers = 1}, more_linear_scaling);
    assert_int_equal(emit(&graph, &err), PL_OK);
    assert_true(graph.ops[2].p.qkv_post.freq_scale == 0.25f);
    assert_true(graph.ops[2].p.qkv_post.freq_base == 500000.0f);
    graph_deinit(&graph);
}

/* ---- other architectures ------------------------------------------------------------------------- */

static void more_gemma(struct gguf_make *m, const char *arch, int n_layers, bool qk_norm)
{
    char name[64];
    for (int i = 0; i < n_layers; i++) {
        (void)snprintf(name, sizeof name, "blk.%d.post_attention_norm.weight", i);
        gguf_make_tensor(m, name, 1, (const int64_t[]){32}, 1.0f);
        (void)snprintf(name, sizeof name, "blk.%d.post_ffw_norm.weight", i);
        gguf_make_tensor(m, name, 1, (const int64_t[]){32}, 1.0f);
        for (int k = 0; qk_norm && k < 2; k++) {
            (void)snprintf(name, sizeof name, "blk.%d.attn_%c_norm.weight", i, "qk"[k]);
            gguf_make_tensor(m, name, 1, (const int64_t[]){8}, 1.0f);
        }
    }
    (void)snprintf(name, sizeof name, "%s.attention.sliding_window", arch);
    gguf_make_u32(m, name, 24);
}

static void more_gemma2(struct gguf_make *m)
{
    more_gemma(m, "gemma2", 4, false);
}

static void more_gemma3(struct gguf_make *m)
{
    more_gemma(m, "gemma3", 7, true);
    gguf_make_f32(m, "gemma3.rope.freq_base", 1000000.0f);
    gguf_make_str(m, "gemma3.rope.scaling.type", "linear");
    gguf_make_f32(m, "gemma3.rope.scaling.factor", 8.0f);
}

static void more_gemma3_by_three(struct gguf_make *m)
{
    more_gemma3(m);
    gguf_make_u32(m, "gemma3.attention.sliding_window_pattern", 3);
    gguf_make_f32(m, "gemma3.rope.freq_base_swa", 5000.0f);
}

static void more_no_window(struct gguf_make *m)
{
    more_gemma2(m);
    gguf_make_u32(m, "gemma2.attention.sliding_window_pattern", 1);
}

/* The n-th op of a kind. */
static const struct pl_op *nth(const struct graph *graph, uint32_t opcode, uint32_t n)
{
    uint32_t i = 0;
    while (i < graph->n_ops && (graph->ops[i].opcode != opcode || n-- > 0))
        i++;
    assert_true(i < graph->n_ops);
    return &graph->ops[i];
}

static void gives_layers_to_groups_by_window(void **state)
{
    (void)state;
    static const struct {
        const char *arch, *windows; /* a letter per layer: Window or Full */
        void (*more)(struct gguf_make *);
        float window_base;
    } rows[] = {
        {"gemma2", "WFWF", more_gemma2, 10000.0f},
        {"gemma3", "WWWWWFW", more_gemma3, 10000.0f},
        {"gemma3", "WWFWWFW", more_gemma3_by_three, 5000.0f},
        {"gemma2", "FFFF", more_no_window, 10000.0f},
    };
    for (size_t r = 0; r < PL_ARRAY_LEN(rows); r++) {
        struct graph graph;
        struct pl_error err = {{0}};
        uint32_t n_layers = (uint32_t)strlen(rows[r].windows);
        uint32_t counts[2] = {0, 0};
        write_model(&(struct gguf_make_model){.arch = rows[r].arch, .n_layers = n_layers},
                    rows[r].more);
        if (emit(&graph, &err) != PL_OK)
            fail_msg("row %zu: %s", r, err.msg);
        for (uint32_t i = 0; i < n_layers; i++) {
            bool windowed = rows[r].windows[i] == 'W';
            const struct pl_op *post = nth(&graph, PL_OP_QKV_POST, i);
            const struct pl_op *attn = nth(&graph, PL_OP_ATTN, i);
            assert_int_equal(attn->p.attn.window, windowed ? 24 : 0);
            assert_int_equal(attn->p.attn.kv_group, windowed ? 1 : 0);
            assert_int_equal(attn->p.attn.kv_layer, counts[windowed]);
            assert_int_equal(post->p.qkv_post.kv_group, attn->p.attn.kv_group);
            assert_int_equal(post->p.qkv_post.kv_layer, counts[windowed]++);
            if (windowed)
                assert_true(post->p.qkv_post.freq_base == rows[r].window_base);
        }
        assert_int_equal(graph.n_groups, counts[1] > 0 ? 2 : 1);
        assert_int_equal(graph.groups[0].kind, PL_KV_FULL);
        assert_int_equal(graph.groups[0].n_layers, counts[0]);
        if (counts[1] > 0) {
            assert_int_equal(graph.groups[1].kind, PL_KV_WINDOW);
            assert_int_equal(graph.groups[1].window_tokens, 24);
            assert_int_equal(graph.groups[1].n_layers, counts[1]);
        }
        graph_deinit(&graph);
    }
}

static void gives_gemma3_two_rotations_and_no_caps(void **state)
{
    (void)state;
    struct graph graph;
    struct pl_error err = {{0}};
    write_model(&(struct gguf_make_model){.arch = "gemma3", .n_layers = 7}, more_gemma3);
    assert_int_equal(emit(&graph, &err), PL_OK);
    const struct pl_op *windowed = nth(&graph, PL_OP_QKV_POST, 0);
    const struct pl_op *full = nth(&graph, PL_OP_QKV_POST, 5);
    assert_true(windowed->p.qkv_post.freq_scale == 1.0f);
    assert_true(full->p.qkv_post.freq_scale == 0.125f);
    assert_true(full->p.qkv_post.freq_base == 1000000.0f);
    assert_int_not_equal(full->in[PL_QKV_NORM_Q], PL_NO_VALUE);
    assert_true(nth(&graph, PL_OP_ATTN, 0)->p.attn.softcap == 0.0f);
    assert_int_equal(graph.ops[graph.n_ops - 1].opcode, PL_OP_LINEAR);
    assert_true(fabsf(graph.ops[0].p.embed.scale - sqrtf(32.0f)) < 1e-6f);
    graph_deinit(&graph);
}

static void caps_gemma2_by_default_and_norms_before_adding(void **state)
{
    (void)state;
    struct graph graph;
    struct pl_error err = {{0}};
    write_model(&(struct gguf_make_model){.arch = "gemma2", .n_layers = 4}, more_gemma2);
    assert_int_equal(emit(&graph, &err), PL_OK);
    assert_true(nth(&graph, PL_OP_ATTN, 1)->p.attn.softcap == 50.0f);
    assert_int_equal(graph.ops[graph.n_ops - 1].opcode, PL_OP_SOFTCAP);
    assert_true(graph.ops[graph.n_ops - 1].p.scale.value == 30.0f);
    (void)nth(&graph, PL_OP_RMSNORM, 7); /* two per layer */
    (void)nth(&graph, PL_OP_ADD, 7);
    assert_int_equal(nth(&graph, PL_OP_LINEAR, 2)->p.linear.act, PL_ACT_GELU_TANH);
    graph_deinit(&graph);
}

static void more_fused(struct gguf_make *m)
{
    gguf_make_tensor(m, "blk.0.attn_qkv.weight", 2, (const int64_t[]){32, 64}, 0.3f);
    gguf_make_tensor(m, "blk.0.attn_qkv.bias", 1, (const int64_t[]){64}, 0.3f);
}

static void takes_fused_tensors_apart_by_rows(void **state)
{
    (void)state;
    struct graph graph;
    struct pl_error err = {{0}};
    struct gguf *file = NULL;
    write_model(&(struct gguf_make_model){.arch = "llama", .n_layers = 1}, more_fused);
    assert_int_equal(gguf_open(path, &file, &err), PL_OK);
    assert_int_equal(model_emit(file, &limits, &graph, &err), PL_OK);
    const struct pl_op *op = nth(&graph, PL_OP_LINEAR, 0);
    int64_t row = 0;
    for (int i = 0; i < 3; i++) {
        uint32_t weight = 0;
        while (graph.weights[weight].value != op->in[PL_LINEAR_W + i])
            weight++;
        assert_int_equal(graph.weights[weight].row_begin, row);
        row = graph.weights[weight].row_end;
        assert_int_equal(graph.values[op->in[PL_LINEAR_W + i]].rows, i == 0 ? 32 : 16);
        assert_int_equal(graph.values[op->in[PL_LINEAR_B + i]].cols, i == 0 ? 32 : 16);
        assert_string_equal(graph.weights[weight].tensor->name_text, "blk.0.attn_qkv.weight");
    }
    assert_int_equal(row, 64);
    graph_deinit(&graph);
    gguf_close(file);
}

static void more_multipliers(struct gguf_make *m)
{
    gguf_make_f32(m, "granite.embedding_scale", 12.0f);
    gguf_make_f32(m, "granite.residual_scale", 0.25f);
    gguf_make_f32(m, "granite.logit_scale", 8.0f);
    gguf_make_f32(m, "granite.attention.scale", 0.5f);
}

static void reads_granite_s_multipliers(void **state)
{
    (void)state;
    struct graph graph;
    struct pl_error err = {{0}};
    write_model(&(struct gguf_make_model){.arch = "granite", .n_layers = 1}, more_multipliers);
    assert_int_equal(emit(&graph, &err), PL_OK);
    assert_true(graph.ops[0].p.embed.scale == 12.0f);
    assert_true(nth(&graph, PL_OP_ATTN, 0)->p.attn.scale == 0.5f);
    assert_true(nth(&graph, PL_OP_LINEAR, 1)->p.linear.scale == 0.25f);
    assert_true(nth(&graph, PL_OP_LINEAR, 3)->p.linear.scale == 0.25f);
    assert_true(graph.ops[graph.n_ops - 1].p.linear.scale == 0.125f);
    graph_deinit(&graph);
}

static void more_factors(struct gguf_make *m)
{
    gguf_make_tensor(m, "rope_factors_long.weight", 1, (const int64_t[]){4}, 1.0f);
    gguf_make_tensor(m, "rope_factors_short.weight", 1, (const int64_t[]){4}, 1.0f);
    gguf_make_u32(m, "llama.rope.scaling.original_context_length", 32);
}

static void picks_rope_factors_by_the_context_that_is_meant(void **state)
{
    (void)state;
    static const struct {
        uint32_t ctx_tokens;
        const char *name;
    } rows[] = {{0, "rope_factors_long.weight"}, /* the model's own: 64 */
                {33, "rope_factors_long.weight"},
                {32, "rope_factors_short.weight"}};
    write_model(&(struct gguf_make_model){.arch = "llama", .n_layers = 1}, more_factors);
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct gguf *file = NULL;
        struct graph graph;
        struct pl_error err = {{0}};
        struct model_limits with_ctx = limits;
        with_ctx.ctx_tokens = rows[i].ctx_tokens;
        assert_int_equal(gguf_open(path, &file, &err), PL_OK);
        assert_int_equal(model_emit(file, &with_ctx, &graph, &err), PL_OK);
        int32_t factors = nth(&graph, PL_OP_QKV_POST, 0)->in[PL_QKV_FACTORS];
        uint32_t weight = 0;
        while (graph.weights[weight].value != factors)
            weight++;
        assert_string_equal(graph.weights[weight].tensor->name_text, rows[i].name);
        graph_deinit(&graph);
        gguf_close(file);
    }
}

static void more_bad_pattern(struct gguf_make *m)
{
    more_gemma2(m);
    gguf_make_strings(m, "gemma2.attention.sliding_window_pattern", 4);
}

static void more_huge_window(struct gguf_make *m)
{
    gguf_make_u32(m, "gemma2.attention.sliding_window", 0x80000000u);
}

static void more_bad_cap(struct gguf_make *m)
{
    more_gemma2(m);
    gguf_make_f32(m, "gemma2.attn_logit_softcapping", -1.0f);
}

static void more_experts(struct gguf_make *m)
{
    gguf_make_u32(m, "llama.expert_count", 8);
}

static void more_no_experts(struct gguf_make *m)
{
    gguf_make_u32(m, "llama.expert_count", 0);
}

static void more_tokens(struct gguf_make *m)
{
    gguf_make_strings(m, "tokenizer.ggml.tokens", 47); /* one less than rows */
}

static void more_bad_scaling(struct gguf_make *m)
{
    gguf_make_str(m, "llama.rope.scaling.type", "moebius");
}

static void more_nan_base(struct gguf_make *m)
{
    gguf_make_f32(m, "llama.rope.freq_base", (float)(0.0 / 0.0));
}

static void more_odd_rotation(struct gguf_make *m)
{
    gguf_make_u32(m, "llama.rope.dimension_count", 7);
}

static void accepts_an_expert_count_of_zero(void **state)
{
    (void)state;
    struct graph graph;
    struct pl_error err = {{0}};
    write_model(&(struct gguf_make_model){.arch = "llama", .n_layers = 1}, more_no_experts);
    assert_int_equal(emit(&graph, &err), PL_OK);
    graph_deinit(&graph);
}

static const struct {
    const char *why;
    struct gguf_make_model spec;
    void (*more)(struct gguf_make *);
    const char *names; /* what the message must name */
} refusals[] = {
    {"unknown architecture", {.arch = "lama", .n_layers = 1}, NULL, "'lama'"},
    {"no table", {"llama", 1, "token_embd.weight", false, false}, NULL, "token_embd.weight"},
    {"a layer lacks a matrix",
     {"llama", 2, "blk.1.ffn_up.weight", false, false},
     NULL,
     "blk.1.ffn_up.weight"},
    {"no final norm", {"llama", 1, "output_norm.weight", false, false}, NULL, "output_norm"},
    {"qwen2 without biases", {"qwen2", 1, NULL, false, false}, NULL, "attn_q.bias"},
    {"qwen2 lacks a bias in a later layer",
     {"qwen2", 2, "blk.1.attn_v.bias", true, false},
     NULL,
     "blk.1.attn_v.bias"},
    {"experts", {.arch = "llama", .n_layers = 1}, more_experts, "expert_count"},
    {"fewer tokens than rows",
     {.arch = "llama", .n_layers = 1},
     more_tokens,
     "tokenizer.ggml.tokens"},
    {"unknown scaling", {.arch = "llama", .n_layers = 1}, more_bad_scaling, "rope.scaling.type"},
    {"rope base is no number", {.arch = "llama", .n_layers = 1}, more_nan_base, "freq_base"},
    {"gemma2 without post-norms", {.arch = "gemma2", .n_layers = 1}, NULL, "post_attention_norm"},
    {"qwen3 without norms of q", {.arch = "qwen3", .n_layers = 1}, NULL, "attn_q_norm"},
    {"phi3 with a gate apart", {.arch = "phi3", .n_layers = 1}, NULL, "ffn_up.weight"},
    {"a pattern of strings", {.arch = "gemma2", .n_layers = 4}, more_bad_pattern, "pattern"},
    {"a window beyond any context",
     {.arch = "gemma2", .n_layers = 4},
     more_huge_window,
     "sliding_window"},
    {"a negative cap", {.arch = "gemma2", .n_layers = 4}, more_bad_cap, "attn_logit_softcapping"},
    {"odd rotation", {.arch = "llama", .n_layers = 1}, more_odd_rotation, "rope.dimension_count"},
};

static void refuses_what_is_no_whole_model_naming_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(refusals); i++) {
        struct graph graph;
        struct pl_error err = {{0}};
        write_model(&refusals[i].spec, refusals[i].more);
        enum pl_status status = emit(&graph, &err);
        if (status == PL_OK || strstr(err.msg, refusals[i].names) == NULL)
            fail_msg("row %zu (%s): status %d, '%s'", i, refusals[i].why, status, err.msg);
        assert_int_equal(graph.n_values, 0);
    }
}

static int make_path(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/polder-t-model-%ld.gguf", (long)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    (void)unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(emits_six_ops_per_llama_layer),
        cmocka_unit_test(ties_the_output_to_the_table_where_there_is_no_output_weight),
        cmocka_unit_test(gives_qwen2_its_biases_and_rope_over_halves),
        cmocka_unit_test(reads_rope_scaling),
        cmocka_unit_test(gives_layers_to_groups_by_window),
        cmocka_unit_test(gives_gemma3_two_rotations_and_no_caps),
        cmocka_unit_test(caps_gemma2_by_default_and_norms_before_adding),
        cmocka_unit_test(takes_fused_tensors_apart_by_rows),
        cmocka_unit_test(reads_granite_s_multipliers),
        cmocka_unit_test(picks_rope_factors_by_the_context_that_is_meant),
        cmocka_unit_test(accepts_an_expert_count_of_zero),
        cmocka_unit_test(refuses_what_is_no_whole_model_naming_it),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
