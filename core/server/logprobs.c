/* See logprobs.h. */
#include "logprobs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "base/banned.h"

/* Pieces longer than this are counted for offsets in parts. */
#define PIECE_PART 256

void logprobs_init(struct logprobs *lp, const struct token_vocab *vocab, bool chat,
                   size_t max_bytes)
{
    *lp = (struct logprobs){.vocab = vocab, .chat = chat};
    token_stream_init(&lp->stream);
    lp->stream.strip_space = false;
    buf_init(&lp->tokens, max_bytes);
    buf_init(&lp->values, max_bytes);
    buf_init(&lp->tops, max_bytes);
    buf_init(&lp->offsets, max_bytes);
}

void logprobs_deinit(struct logprobs *lp)
{
    buf_deinit(&lp->tokens);
    buf_deinit(&lp->values);
    buf_deinit(&lp->tops);
    buf_deinit(&lp->offsets);
}

bool logprobs_empty(const struct logprobs *lp)
{
    return lp->tokens.len == 0;
}

/* The token's name: never a NULL pointer. */
static struct gguf_str name_of(const struct logprobs *lp, int32_t id)
{
    struct gguf_str piece = token_piece(lp->vocab, id, true);
    return piece.len > 0 ? piece : (struct gguf_str){.data = ""};
}

/* -inf has no JSON; OpenAI writes -9999.0 for "never". NAN (no value) becomes null. */
static void write_logprob(struct json_writer *w, float logprob)
{
    char text[32]; /* a float needs 9 digits, and as a double would be written with 17 */
    double value = isinf(logprob) ? -9999.0 : (double)logprob;
    int n = isnan(logprob) ? snprintf(text, sizeof text, "null")
                           : snprintf(text, sizeof text, "%.9g", value);
    json_raw(w, text, (size_t)n);
}

static void write_chat_token(struct json_writer *w, struct gguf_str piece, float logprob)
{
    json_key(w, "token");
    json_string(w, piece.data, piece.len);
    json_key(w, "logprob");
    write_logprob(w, logprob);
    json_key(w, "bytes");
    json_array(w);
    for (size_t i = 0; i < piece.len; i++)
        json_u64(w, (unsigned char)piece.data[i]);
    json_array_end(w);
}

static void separate(struct buf *list)
{
    if (list->len > 0)
        buf_char(list, ',');
}

static void add_chat(struct logprobs *lp, const struct engine_event *event, uint32_t n_top)
{
    separate(&lp->tokens);
    struct json_writer w;
    json_begin(&w, &lp->tokens);
    json_object(&w);
    write_chat_token(&w, name_of(lp, event->id), event->logprob);
    json_key(&w, "top_logprobs");
    json_array(&w);
    for (uint32_t i = 0; i < n_top; i++) {
        json_object(&w);
        write_chat_token(&w, name_of(lp, event->top[i].id), event->top[i].logprob);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
}

/* Completions name a token that is no whole UTF-8 by its bytes, so that names stay distinct. */
static void write_name(struct buf *out, struct gguf_str piece)
{
    buf_char(out, '"');
    if (utf8_valid(piece.data, piece.len)) {
        json_escape(out, piece.data, piece.len);
    } else {
        buf_str(out, "bytes:");
        for (size_t i = 0; i < piece.len; i++)
            buf_printf(out, "\\\\x%02x", (unsigned char)piece.data[i]);
    }
    buf_char(out, '"');
}

static bool same(struct gguf_str a, struct gguf_str b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* Two ids may share a text (a letter and its byte token): the better one, which comes first, is kept. */
static bool named_before(const struct logprobs *lp, const struct engine_event *event, uint32_t i,
                         struct gguf_str piece)
{
    for (uint32_t j = 0; j < i; j++) {
        if (same(name_of(lp, event->top[j].id), piece))
            return true;
    }
    return false;
}

static void write_entry(struct buf *out, bool first, struct gguf_str piece, float logprob)
{
    if (!first)
        buf_char(out, ',');
    write_name(out, piece);
    buf_char(out, ':');
    struct json_writer w;
    json_begin(&w, out);
    write_logprob(&w, logprob);
}

/* {text: logprob} of the alternatives, and of the token itself if it is none of them. */
static void write_tops(struct logprobs *lp, const struct engine_event *event, uint32_t n_top)
{
    struct buf *out = &lp->tops;
    struct gguf_str own = name_of(lp, event->id);
    bool first = true;
    buf_char(out, '{');
    for (uint32_t i = 0; i < n_top; i++) {
        struct gguf_str piece = name_of(lp, event->top[i].id);
        if (named_before(lp, event, i, piece))
            continue;
        write_entry(out, first, piece, event->top[i].logprob);
        first = false;
    }
    if (!named_before(lp, event, n_top, own))
        write_entry(out, first, own, event->logprob);
    buf_char(out, '}');
}

static uint64_t code_points(const char *text, size_t n)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

static void advance_offset(struct logprobs *lp, int32_t id)
{
    char out[TOKEN_STREAM_OUT_MAX(PIECE_PART)];
    struct gguf_str piece = token_piece(lp->vocab, id, lp->special);
    for (size_t at = 0; at < piece.len; at += PIECE_PART) {
        size_t part = PL_MIN(piece.len - at, (size_t)PIECE_PART);
        size_t n = token_stream_push(&lp->stream, piece.data + at, part, out);
        lp->offset += code_points(out, n);
    }
}

static void add_completion(struct logprobs *lp, const struct engine_event *event, uint32_t n_top,
                           bool with_top)
{
    separate(&lp->tokens);
    write_name(&lp->tokens, name_of(lp, event->id));
    struct json_writer w;
    separate(&lp->values);
    json_begin(&w, &lp->values);
    write_logprob(&w, event->logprob);
    separate(&lp->tops);
    if (isnan(event->logprob) || !with_top)
        buf_str(&lp->tops, "null");
    else
        write_tops(lp, event, n_top);
    separate(&lp->offsets);
    buf_printf(&lp->offsets, "%llu", (unsigned long long)lp->offset);
    advance_offset(lp, event->id);
}

void logprobs_add(struct logprobs *lp, const struct engine_event *event, uint32_t n_top)
{
    uint32_t n = PL_MIN(n_top, event->n_top);
    if (lp->chat)
        add_chat(lp, event, n);
    else
        add_completion(lp, event, n, n_top > 0);
}

static void copy_list(struct buf *to, const struct buf *from)
{
    buf_append(to, from->data, from->len);
    to->failed = to->failed || from->failed;
}

void logprobs_continue(struct logprobs *lp, const struct logprobs *prompt)
{
    copy_list(&lp->tokens, &prompt->tokens);
    copy_list(&lp->values, &prompt->values);
    copy_list(&lp->tops, &prompt->tops);
    copy_list(&lp->offsets, &prompt->offsets);
    lp->stream = prompt->stream;
    lp->offset = prompt->offset;
    /* control tokens are no part of what follows, and no leading space is dropped */
    lp->special = false;
    lp->stream.strip_space = false;
}

static void take_list(struct json_writer *w, const char *key, struct buf *list)
{
    json_key(w, key);
    json_array(w);
    if (list->len > 0)
        json_raw(w, list->data, list->len);
    json_array_end(w);
    if (list->failed)
        w->out->failed = true;
    buf_clear(list);
}

void logprobs_take(struct logprobs *lp, struct json_writer *w)
{
    if (logprobs_empty(lp) && !lp->tokens.failed) {
        json_null(w);
        return;
    }
    json_object(w);
    if (lp->chat) {
        take_list(w, "content", &lp->tokens);
        json_key(w, "refusal");
        json_null(w);
    } else {
        take_list(w, "tokens", &lp->tokens);
        take_list(w, "token_logprobs", &lp->values);
        take_list(w, "top_logprobs", &lp->tops);
        take_list(w, "text_offset", &lp->offsets);
    }
    json_object_end(w);
}

/* ---- vLLM's prompt_logprobs ---------------------------------------------------------------------------- */

static void write_ranked(struct json_writer *w, const struct token_vocab *vocab, int32_t id,
                         float logprob, uint32_t rank)
{
    char key[16];
    struct gguf_str piece = token_piece(vocab, id, true);
    (void)snprintf(key, sizeof key, "%d", id);
    json_key(w, key);
    json_object(w);
    json_key(w, "logprob");
    write_logprob(w, logprob);
    json_key(w, "rank");
    if (rank > 0)
        json_u64(w, rank);
    else
        json_null(w);
    json_key(w, "decoded_token");
    json_string(w, piece.len > 0 ? piece.data : "", piece.len);
    json_object_end(w);
}

void prompt_logprobs_add(struct buf *list, const struct token_vocab *vocab,
                         const struct engine_event *event, uint32_t n_top)
{
    struct json_writer w;
    separate(list);
    if (isnan(event->logprob)) {
        buf_str(list, "null");
        return;
    }
    uint32_t own_rank = 0;
    for (uint32_t i = 0; i < event->n_top; i++) {
        if (event->top[i].id == event->id)
            own_rank = i + 1;
    }
    json_begin(&w, list);
    json_object(&w);
    write_ranked(&w, vocab, event->id, event->logprob, own_rank);
    for (uint32_t i = 0; i < PL_MIN(n_top, event->n_top); i++) {
        if (event->top[i].id != event->id)
            write_ranked(&w, vocab, event->top[i].id, event->top[i].logprob, i + 1);
    }
    json_object_end(&w);
}
