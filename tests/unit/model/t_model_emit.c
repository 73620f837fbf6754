/* core/model: what a file must hold to be a model, and what it is emitted as. */
#include "gguf_make.h"
#include "model/model.h"

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
        cmocka_unit_test(accepts_an_expert_count_of_zero),
        cmocka_unit_test(refuses_what_is_no_whole_model_naming_it),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
