/* See model.h. */
#include "model.h"
#include "arch.h"

#include "base/banned.h"

static uint64_t count_params(const struct gguf *file)
{
    uint64_t total = 0;
    for (uint64_t i = 0; i < gguf_n_tensors(file); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(file, i);
        uint64_t n = 1;
        for (uint32_t d = 0; d < t->n_dims; d++)
            n *= (uint64_t)t->dims[d]; /* the reader has bounded the product */
        total += n;
    }
    return total;
}

enum pl_status model_read_info(const struct gguf *file, struct model_info *ret,
                               struct pl_error *err)
{
    struct hparams hp;
    enum pl_status status = hparams_read(file, &hp, err);
    if (status != PL_OK)
        return status;
    *ret = (struct model_info){
        .architecture = hp.arch->name,
        .n_params = count_params(file),
        .n_layers = hp.n_layers,
        .n_embd = hp.n_embd,
        .n_ff = hp.n_ff,
        .n_heads = hp.n_heads,
        .n_kv_heads = hp.n_kv_heads,
        .head_dim = hp.head_dim,
        .n_vocab = hp.n_vocab,
        .ctx_train_tokens = hp.ctx_train_tokens,
    };
    return PL_OK;
}

enum pl_status model_emit(const struct gguf *file, const struct model_limits *limits,
                          struct graph *ret, struct pl_error *err)
{
    struct hparams hp;
    graph_init(ret);
    enum pl_status status = hparams_read(file, &hp, err);
    if (status != PL_OK)
        return status;
    struct build build = {.file = file, .hp = &hp, .limits = limits, .graph = ret, .err = err};
    hp.arch->emit(&build);
    if (build.status != PL_OK)
        graph_deinit(ret);
    return build.status;
}

enum pl_status model_check(const struct gguf *file, struct pl_error *err)
{
    const struct model_limits limits = {.rows_max = 1,
                                        .seqs_max = 1,
                                        .outputs_max = 1,
                                        .dtype_kv = PL_DTYPE_F16,
                                        .block_tokens = 16};
    struct graph graph;
    enum pl_status status = model_emit(file, &limits, &graph, err);
    if (status == PL_OK)
        graph_deinit(&graph);
    return status;
}
