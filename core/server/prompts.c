/* See prompts.h. */
#include "prompts.h"

#include "chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/banned.h"

#define SLACK                                                                                      \
    4 /* normalisation may fold a few bytes into one piece, never this many times as many */

/* Text that cannot fit however well it is compressed is refused before time is spent on it. */
static bool text_may_fit(const struct server *server, size_t bytes, const char *param,
                         struct api_error *error)
{
    size_t most = (size_t)server->info->ctx_tokens * server->piece_bytes_max * SLACK;
    if (bytes <= most)
        return true;
    api_error_param(error, param, "%s: %zu bytes cannot fit the context length of %u tokens", param,
                    bytes, server->info->ctx_tokens);
    error->code = "context_length_exceeded";
    return false;
}

static bool length_fits(const struct call *call, size_t n, bool generates, const char *param,
                        struct api_error *error)
{
    uint32_t ctx = call->server->info->ctx_tokens;
    if (n == 0) {
        api_error_param(error, param, "%s: must give at least one token", param);
        return false;
    }
    if (n + (generates ? 1 : 0) <= ctx)
        return true;
    api_error_param(error, param, "%s: %zu tokens%s exceed the context length of %u tokens", param,
                    n, generates ? " and one to generate" : "", ctx);
    error->code = "context_length_exceeded";
    return false;
}

static bool ids_exist(const struct server *server, const struct token_ids *ids, const char *param,
                      struct api_error *error)
{
    int32_t count = token_count(server->vocab);
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->ids[i] >= count) {
            api_error_param(error, param, "%s: token id %d at %zu is outside the vocabulary of %d",
                            param, ids->ids[i], i, count);
            return false;
        }
    }
    return true;
}

static bool make_chat(struct call *call, const struct request *request, struct api_error *error)
{
    const struct server *server = call->server;
    char *text = NULL;
    size_t n = 0;
    if (!chat_render(server->chat, request, &text, &n, error))
        return false;
    bool ok = text_may_fit(server, n, "messages", error);
    if (ok) {
        struct pl_error err = {0};
        enum pl_status status = chat_encode(server->chat, text, n, &call->prompts[0].ids, &err);
        if (status != PL_OK)
            server_status_error(status, &err, "messages", error);
        ok = status == PL_OK;
    }
    free(text);
    return ok && length_fits(call, call->prompts[0].ids.n, true, "messages", error);
}

/* Whether the text of ids drops the space that the vocabulary put before it: then it is one byte
 * shorter than its pieces. */
static bool drops_space(const struct token_vocab *vocab, const struct token_ids *ids, bool special,
                        size_t text_bytes)
{
    size_t bytes = 0;
    for (size_t i = 0; i < ids->n; i++)
        bytes += token_piece(vocab, ids->ids[i], special).len;
    return bytes == text_bytes + 1;
}

/* The prompt as the answer repeats it: the text as sent, or what the ids stand for. */
static bool make_echo(struct call_prompt *p, const struct request_prompt *prompt,
                      struct api_error *error)
{
    struct pl_error err = {0};
    enum pl_status status = PL_OK;
    if (prompt->text != NULL) {
        p->echo_text = strndup(prompt->text, prompt->text_bytes);
        p->echo_bytes = prompt->text_bytes;
        if (p->echo_text == NULL)
            status = pl_error_set(&err, PL_ENOMEM, "out of memory");
    } else {
        status = token_decode(p->call->server->vocab, p->ids.ids, p->ids.n, true, &p->echo_text,
                              &p->echo_bytes, &err);
    }
    if (status != PL_OK) {
        server_status_error(status, &err, "prompt", error);
        return false;
    }
    p->echoed.special = prompt->text == NULL;
    p->echoed.stream.strip_space =
        drops_space(p->call->server->vocab, &p->ids, p->echoed.special, p->echo_bytes);
    return true;
}

static bool make_one(struct call *call, struct request *request, uint32_t i,
                     struct api_error *error)
{
    static const struct token_encode_options OPTIONS = {.add_special = true, .parse_special = true};
    const struct server *server = call->server;
    struct request_prompt *prompt = &request->prompts[i];
    struct call_prompt *p = &call->prompts[i];
    char param[32] = "prompt";
    if (request->n_prompts > 1)
        (void)snprintf(param, sizeof param, "prompt[%u]", i);
    if (prompt->text != NULL) {
        if (!text_may_fit(server, prompt->text_bytes, param, error))
            return false;
        struct pl_error err = {0};
        enum pl_status status =
            token_encode(server->vocab, prompt->text, prompt->text_bytes, &OPTIONS, &p->ids, &err);
        if (status != PL_OK) {
            server_status_error(status, &err, param, error);
            return false;
        }
    } else {
        p->ids = (struct token_ids){.ids = prompt->ids, .n = prompt->n_ids};
        prompt->ids = NULL; /* now the call's */
    }
    return ids_exist(server, &p->ids, param, error) &&
           length_fits(call, p->ids.n, request->max_tokens > 0, param, error) &&
           (!request->echo || make_echo(p, prompt, error));
}

bool prompts_make(struct call *call, struct request *request, struct api_error *error)
{
    if (request->kind == REQUEST_CHAT)
        return make_chat(call, request, error);
    for (uint32_t i = 0; i < request->n_prompts; i++) {
        if (!make_one(call, request, i, error))
            return false;
    }
    return true;
}
