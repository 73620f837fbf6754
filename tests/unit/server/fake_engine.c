/* See fake_engine.h. */
#include "fake_engine.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "token/token.h"
#include "base/banned.h"

#define TOKENS_MAX 1000

struct fake_request {
    struct fake_request *next;
    uint64_t id;
    int32_t *prompt;
    struct engine_request asked;
    uint32_t n_output;
    int error_after; /* -1: never */
    bool hang, endless, flood, cancelled, prompt_out;
};

struct token_vocab {
    bool chatml;
};

struct engine {
    struct engine_info info;
    struct token_vocab vocab;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct fake_request *requests;
    uint64_t last_id;
    bool stop, draining;
    struct engine_stats stats;
};

static atomic_uint n_cancels;

uint32_t fake_engine_cancels(void)
{
    return atomic_load(&n_cancels);
}

/* ---- vocabulary ------------------------------------------------------------------------------------ */

static const char *const SPECIAL[] = {"<s>", "</s>", "<|im_start|>", "<|im_end|>"};
static char bytes[256];

int32_t token_count(const struct token_vocab *vocab)
{
    (void)vocab;
    return FAKE_N_VOCAB;
}

int32_t token_special(const struct token_vocab *vocab, enum token_special which)
{
    (void)vocab;
    return which == TOKEN_BOS ? FAKE_BOS : which == TOKEN_EOS ? FAKE_BOS + 1 : TOKEN_NONE;
}

bool token_adds_bos(const struct token_vocab *vocab)
{
    (void)vocab;
    return true;
}

uint32_t token_attrs(const struct token_vocab *vocab, int32_t id)
{
    (void)vocab;
    return id < 256 ? TOKEN_ATTR_BYTE : TOKEN_ATTR_CONTROL;
}

struct gguf_str token_text(const struct token_vocab *vocab, int32_t id)
{
    return token_piece(vocab, id, true);
}

struct gguf_str token_piece(const struct token_vocab *vocab, int32_t id, bool special)
{
    (void)vocab;
    if (id >= 256)
        return special ? (struct gguf_str){SPECIAL[id - 256], strlen(SPECIAL[id - 256])}
                       : (struct gguf_str){0};
    bytes[id] = (char)id;
    return (struct gguf_str){&bytes[id], 1};
}

static int32_t match_special(const struct token_vocab *vocab, const char *text, size_t n)
{
    for (int32_t i = 0; i < (vocab->chatml ? 4 : 2); i++) {
        size_t length = strlen(SPECIAL[i]);
        if (n >= length && memcmp(text, SPECIAL[i], length) == 0)
            return i;
    }
    return -1;
}

enum pl_status token_encode(const struct token_vocab *vocab, const char *text, size_t n,
                            const struct token_encode_options *options, struct token_ids *ret,
                            struct pl_error *err)
{
    (void)err;
    int32_t *ids = calloc(n + 1, sizeof *ids);
    if (ids == NULL)
        return PL_ENOMEM;
    size_t count = 0;
    if (options->add_special)
        ids[count++] = FAKE_BOS;
    for (size_t i = 0; i < n;) {
        int32_t special = options->parse_special ? match_special(vocab, text + i, n - i) : -1;
        ids[count++] = special >= 0 ? 256 + special : (unsigned char)text[i];
        i += special >= 0 ? strlen(SPECIAL[special]) : 1;
    }
    *ret = (struct token_ids){.ids = ids, .n = count};
    return PL_OK;
}

void token_ids_free(struct token_ids *ids)
{
    free(ids->ids);
    *ids = (struct token_ids){0};
}

enum pl_status token_decode(const struct token_vocab *vocab, const int32_t *ids, size_t n,
                            bool special, char **ret, size_t *ret_bytes, struct pl_error *err)
{
    (void)err;
    char *text = calloc(n * 16 + 1, 1);
    if (text == NULL)
        return PL_ENOMEM;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        struct gguf_str piece = token_piece(vocab, ids[i], special);
        if (piece.len > 0)
            memcpy(text + at, piece.data, piece.len);
        at += piece.len;
    }
    *ret = text;
    *ret_bytes = at;
    return PL_OK;
}

void token_stream_init(struct token_stream *stream)
{
    *stream = (struct token_stream){0};
}

size_t token_stream_push(struct token_stream *stream, const char *piece, size_t n, char *out)
{
    (void)stream;
    if (n > 0)
        memcpy(out, piece, n);
    return n;
}

/* ---- engine ---------------------------------------------------------------------------------------- */

static void finish(struct engine *e, struct fake_request *r, enum engine_finish how)
{
    struct engine_event event = {
        .kind = ENGINE_EVENT_FINISH,
        .text = "",
        .finish = how,
        .prompt_tokens = r->asked.n_prompt,
        .output_tokens = r->n_output,
        .status = how == ENGINE_FINISH_ERROR ? PL_ELOST : PL_OK,
        .message = how == ENGINE_FINISH_ERROR ? "cpu: device lost" : NULL,
    };
    e->stats.finished[how]++;
    r->asked.on_event(r->asked.user, &event);
    free(r->prompt);
    free(r);
}

static void prompt_events(struct fake_request *r)
{
    static const struct engine_logprob TOP[] = {{'a', -0.5F}, {'b', -1.5F}};
    r->prompt_out = true;
    for (uint32_t i = 0; r->asked.prompt_logprobs && i < r->asked.n_prompt; i++) {
        struct engine_event event = {
            .kind = ENGINE_EVENT_PROMPT,
            .id = r->prompt[i],
            .logprob = i == 0 ? NAN : -2.0F,
            .top = TOP,
            .n_top = i == 0 ? 0 : PL_MIN(r->asked.n_logprobs, 2U),
        };
        r->asked.on_event(r->asked.user, &event);
    }
}

/* One step of one request; false when it has finished (and is gone). */
static bool step(struct engine *e, struct fake_request *r)
{
    uint32_t limit = r->asked.max_tokens > 0 ? r->asked.max_tokens : TOKENS_MAX;
    if (r->cancelled) {
        finish(e, r, ENGINE_FINISH_CANCEL);
        return false;
    }
    if (r->hang)
        return true;
    if (r->error_after >= 0 && r->n_output >= (uint32_t)r->error_after) {
        finish(e, r, ENGINE_FINISH_ERROR);
        return false;
    }
    if (!r->prompt_out)
        prompt_events(r);
    if (r->asked.no_generation || (!r->endless && r->n_output >= limit)) {
        finish(e, r, ENGINE_FINISH_LENGTH);
        return false;
    }
    /* the first token of a prompt is BOS where it came from text: not repeated */
    uint32_t skip = r->prompt[0] == FAKE_BOS && r->asked.n_prompt > 1 ? 1 : 0;
    int32_t id = r->prompt[skip + r->n_output % (r->asked.n_prompt - skip)];
    struct gguf_str piece = token_piece(&e->vocab, id, false);
    struct engine_logprob top[2] = {{id, -0.25F}, {'z', -3.0F}};
    struct engine_event event = {
        .kind = ENGINE_EVENT_TOKEN,
        .id = id,
        .text = piece.data,
        .text_bytes = piece.len,
        .logprob = -0.25F,
        .top = top,
        .n_top = PL_MIN(r->asked.n_logprobs, 2U),
    };
    r->n_output++;
    e->stats.generated_tokens++;
    r->asked.on_event(r->asked.user, &event);
    return true;
}

static void *run(void *user)
{
    struct engine *e = user;
    (void)pthread_mutex_lock(&e->lock);
    while (!e->stop || e->requests != NULL) {
        bool pause = e->requests != NULL;
        for (struct fake_request **at = &e->requests; *at != NULL;) {
            struct fake_request *r = *at, *next = r->next;
            r->cancelled = r->cancelled || e->stop;
            pause = pause && !r->flood;
            if (step(e, r))
                at = &r->next;
            else
                *at = next;
        }
        if (e->requests == NULL && !e->stop)
            (void)pthread_cond_wait(&e->wake, &e->lock);
        (void)pthread_mutex_unlock(&e->lock);
        if (pause)
            (void)usleep(200); /* a step takes its time */
        (void)pthread_mutex_lock(&e->lock);
    }
    (void)pthread_mutex_unlock(&e->lock);
    return NULL;
}

struct engine *fake_engine_open(const char *chat_template, bool chatml)
{
    struct engine *e = calloc(1, sizeof *e);
    if (e == NULL)
        abort();
    e->info = (struct engine_info){
        .model_name = "general name",
        .architecture = "fake",
        .backend = "fake",
        .device = "none",
        .ctx_tokens = FAKE_CTX,
        .ctx_train_tokens = FAKE_CTX,
        .block_tokens = 16,
        .n_blocks = 64,
        .chat_template = chat_template,
    };
    e->vocab.chatml = chatml;
    e->stats.blocks_total = 64;
    (void)pthread_mutex_init(&e->lock, NULL);
    (void)pthread_cond_init(&e->wake, NULL);
    if (pthread_create(&e->thread, NULL, run, e) != 0)
        abort();
    return e;
}

void engine_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    (void)pthread_mutex_lock(&engine->lock);
    engine->stop = true;
    (void)pthread_cond_signal(&engine->wake);
    (void)pthread_mutex_unlock(&engine->lock);
    (void)pthread_join(engine->thread, NULL);
    (void)pthread_mutex_destroy(&engine->lock);
    (void)pthread_cond_destroy(&engine->wake);
    free(engine);
}

const struct engine_info *engine_info(const struct engine *engine)
{
    return &engine->info;
}

const struct token_vocab *engine_vocab(const struct engine *engine)
{
    return &engine->vocab;
}

struct engine_sampling engine_sampling_default(void)
{
    return (struct engine_sampling){
        .temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64};
}

/* The prompt as text, to look for directions. */
static void direct(struct fake_request *r, enum pl_status *refuse)
{
    char text[FAKE_CTX + 1] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < r->asked.n_prompt && n < FAKE_CTX; i++) {
        if (r->prompt[i] > 0 && r->prompt[i] < 256)
            text[n++] = (char)r->prompt[i];
    }
    const char *error = strstr(text, "error after ");
    r->error_after = error != NULL ? error[12] - '0' : -1;
    r->hang = strstr(text, "hang") != NULL;
    r->flood = strstr(text, "flood") != NULL;
    r->endless = r->flood || strstr(text, "endless") != NULL;
    if (strstr(text, "busy") != NULL)
        *refuse = PL_EBUSY;
    if (strstr(text, "broken") != NULL)
        *refuse = PL_EINTERNAL;
}

enum pl_status engine_submit(struct engine *engine, const struct engine_request *request,
                             uint64_t *ret_id, struct pl_error *err)
{
    struct fake_request *r = calloc(1, sizeof *r);
    int32_t *prompt = calloc(request->n_prompt, sizeof *prompt);
    if (r == NULL || prompt == NULL)
        abort();
    memcpy(prompt, request->prompt, request->n_prompt * sizeof *prompt);
    *r = (struct fake_request){.asked = *request, .prompt = prompt};
    enum pl_status refuse = PL_OK;
    direct(r, &refuse);
    (void)pthread_mutex_lock(&engine->lock);
    if (engine->draining)
        refuse = PL_ECLOSED;
    if (refuse == PL_OK) {
        r->id = ++engine->last_id;
        r->next = engine->requests;
        engine->requests = r;
        *ret_id = r->id;
        (void)pthread_cond_signal(&engine->wake);
    }
    (void)pthread_mutex_unlock(&engine->lock);
    if (refuse != PL_OK) {
        free(r->prompt);
        free(r);
        return pl_error_set(err, refuse, "fake: %s", pl_status_text(refuse));
    }
    return PL_OK;
}

void engine_cancel(struct engine *engine, uint64_t id)
{
    atomic_fetch_add(&n_cancels, 1);
    (void)pthread_mutex_lock(&engine->lock);
    for (struct fake_request *r = engine->requests; r != NULL; r = r->next)
        r->cancelled = r->cancelled || r->id == id;
    (void)pthread_mutex_unlock(&engine->lock);
}

void engine_drain(struct engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    engine->draining = true;
    (void)pthread_mutex_unlock(&engine->lock);
}

void engine_stats(const struct engine *engine, struct engine_stats *ret)
{
    *ret = (struct engine_stats){.running = 1, .blocks_total = 64, .blocks_used = 16};
    (void)engine;
}
