/* /tokenize, /detokenize and /apply-template in llama-server's shapes; see state.h. */
#include "chat.h"
#include "work.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "base/utf8.h"
#include "base/banned.h"

/* One call of a utility: its answer is made by compute, on whichever thread. */
struct utility {
    struct work work; /* first: a work is its utility */
    struct buf out;
};

static void finish(struct work *w)
{
    struct utility *u = (struct utility *)w;
    if (w->x != NULL && w->error.status != 0)
        server_reply_error(w->x, &w->error);
    else if (w->x != NULL)
        server_reply_json(w->x, &u->out);
    buf_deinit(&u->out);
    free(u);
}

static void begin(struct server *server, struct http_exchange *x, void (*compute)(struct work *w))
{
    struct utility *u = calloc(1, sizeof *u);
    if (u == NULL) {
        struct api_error error = {0};
        api_error_set(&error, 500, NULL, "out of memory");
        server_reply_error(x, &error);
        return;
    }
    u->work = (struct work){.server = server, .compute = compute, .finish = finish};
    buf_init(&u->out, SERVER_WHOLE_BYTES_MAX);
    work_begin(&u->work, x);
}

/* ---- /tokenize {content, add_special, parse_special, with_pieces} -> {tokens} --------------------- */

struct tokenize {
    const char *content;
    size_t content_bytes;
    struct token_encode_options options;
    bool with_pieces;
};

static void parse_tokenize(const struct fields *f, struct tokenize *t)
{
    fields_string(f, "content", &t->content, &t->content_bytes);
    if (t->content == NULL)
        fields_fail(f, "content", "required: string");
    t->options.parse_special = true; /* llama-server's default */
    fields_bool(f, "add_special", &t->options.add_special);
    fields_bool(f, "parse_special", &t->options.parse_special);
    fields_bool(f, "with_pieces", &t->with_pieces);
}

/* A piece as a string, or as an array of its bytes where it is no whole UTF-8. */
static void write_piece(const struct server *server, int32_t id, struct json_writer *w)
{
    struct gguf_str piece = token_piece(server->vocab, id, true);
    const char *text = piece.len > 0 ? piece.data : "";
    json_object(w);
    json_key(w, "id");
    json_i64(w, id);
    json_key(w, "piece");
    if (utf8_valid(text, piece.len)) {
        json_string(w, text, piece.len);
    } else {
        json_array(w);
        for (size_t i = 0; i < piece.len; i++)
            json_u64(w, (unsigned char)text[i]);
        json_array_end(w);
    }
    json_object_end(w);
}

static void write_tokens(const struct server *server, const struct token_ids *ids, bool with_pieces,
                         struct buf *out)
{
    struct json_writer w;
    json_begin(&w, out);
    json_object(&w);
    json_key(&w, "tokens");
    json_array(&w);
    for (size_t i = 0; i < ids->n; i++) {
        if (with_pieces)
            write_piece(server, ids->ids[i], &w);
        else
            json_i64(&w, ids->ids[i]);
    }
    json_array_end(&w);
    json_object_end(&w);
}

static void tokenize(struct work *w)
{
    struct server *server = w->server;
    struct token_ids ids = {0};
    struct tokenize t = {0};
    struct json_object *tree = fields_parse(w->body.data, w->body.n, &w->error);
    if (tree != NULL)
        parse_tokenize(&(struct fields){.object = tree, .path = "", .error = &w->error}, &t);
    if (w->error.status == 0) {
        struct pl_error err = {0};
        enum pl_status status =
            token_encode(server->vocab, t.content, t.content_bytes, &t.options, &ids, &err);
        if (status != PL_OK)
            server_status_error(status, &err, "content", &w->error);
    }
    fields_free(tree);
    if (w->error.status == 0)
        write_tokens(server, &ids, t.with_pieces, &((struct utility *)w)->out);
    token_ids_free(&ids);
}

void utility_tokenize(struct server *server, struct http_exchange *x)
{
    begin(server, x, tokenize);
}

/* ---- /detokenize {tokens} -> {content} -------------------------------------------------------------- */

static void parse_detokenize(const struct server *server, const struct fields *f,
                             struct token_ids *ids)
{
    struct json_object *tokens = fields_array(f, "tokens");
    if (tokens == NULL) {
        fields_fail(f, "tokens", "required: array of token ids");
        return;
    }
    if (!request_ids(tokens, "tokens", &ids->ids, &ids->n, f->error))
        return;
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->ids[i] >= token_count(server->vocab)) {
            fields_fail(f, "tokens", "token id %d at %zu is outside the vocabulary of %d",
                        ids->ids[i], i, token_count(server->vocab));
            return;
        }
    }
}

/* {"key":text}; more keys may follow before the object is closed. */
static void write_text(struct json_writer *w, struct buf *out, const char *key, const char *text,
                       size_t n)
{
    json_begin(w, out);
    json_object(w);
    json_key(w, key);
    json_string(w, text, n);
}

static void detokenize(struct work *w)
{
    struct server *server = w->server;
    struct token_ids ids = {0};
    char *text = NULL;
    size_t n = 0;
    struct json_object *tree = fields_parse(w->body.data, w->body.n, &w->error);
    if (tree != NULL)
        parse_detokenize(server, &(struct fields){.object = tree, .path = "", .error = &w->error},
                         &ids);
    if (w->error.status == 0) {
        struct pl_error err = {0};
        enum pl_status status = token_decode(server->vocab, ids.ids, ids.n, true, &text, &n, &err);
        if (status != PL_OK)
            server_status_error(status, &err, "tokens", &w->error);
    }
    fields_free(tree);
    token_ids_free(&ids);
    if (w->error.status == 0) {
        struct json_writer writer;
        write_text(&writer, &((struct utility *)w)->out, "content", text, n);
        json_object_end(&writer);
    }
    free(text);
}

void utility_detokenize(struct server *server, struct http_exchange *x)
{
    begin(server, x, detokenize);
}

/* ---- /apply-template {messages, tools?, chat_template?, ...} -> {prompt} ----------------------------- */

/* The template that the request brings in `chat_template`, to be closed by the caller; NULL where there is
 * none or after an error. */
static struct chat *open_own_template(const struct server *server, const struct fields *f)
{
    const char *source = NULL;
    size_t n = 0;
    struct chat *own = NULL;
    struct pl_error err = {0};
    fields_string(f, "chat_template", &source, &n);
    if (source != NULL && f->error->status == 0 &&
        chat_open(source, server->vocab, &own, &err) != PL_OK)
        fields_fail(f, "chat_template", "%s", err.msg);
    return own;
}

static void apply_template(struct work *w)
{
    struct server *server = w->server;
    struct request request = {.kind = REQUEST_CHAT};
    struct chat *own = NULL;
    char *text = NULL;
    size_t n = 0;
    struct json_object *tree = fields_parse(w->body.data, w->body.n, &w->error);
    if (tree != NULL) {
        const struct fields f = {.object = tree, .path = "", .error = &w->error};
        request_parse_chat(&f, &request);
        own = open_own_template(server, &f);
    }
    const struct chat *chat = own != NULL ? own : server->chat;
    bool ok = w->error.status == 0 && chat_render(chat, &request, &text, &n, &w->error);
    const char *fallback = chat_fallback(chat);
    if (ok) {
        struct json_writer writer;
        write_text(&writer, &((struct utility *)w)->out, "prompt", text, n);
        if (fallback != NULL) { /* the model has no template of its own */
            json_key(&writer, "fallback");
            json_cstring(&writer, fallback);
        }
        json_object_end(&writer);
    }
    free(text);
    chat_close(own);
    fields_free(tree);
}

void utility_apply_template(struct server *server, struct http_exchange *x)
{
    begin(server, x, apply_template);
}
