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
#include "base/clock.h"
#include "base/banned.h"

#define TOKENS_MAX 1000

struct fake_request {
    struct fake_request *next;
    uint64_t id;
    int32_t *prompt;
    struct engine_request asked;
    uint32_t n_output[ENGINE_CHOICES_MAX];
    bool finished[ENGINE_CHOICES_MAX];
    uint32_t n_finished;
    int error_after; /* -1: never */
    bool hang, endless, flood, uneven, late, cancelled, prompt_out;
    int64_t submitted_ns;
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
    struct fake_asked last; /* of the latest submit */
    uint32_t n_resets;
};

static atomic_uint n_cancels;

uint32_t fake_engine_cancels(void)
{
    return atomic_load(&n_cancels);
}

/* ---- vocabulary ------------------------------------------------------------------------------------ */

static const char *const SPECIAL[] = {"<s>", "</s>", "<|im_start|>", "<|im_end|>"};
static char bytes[256];

static void fill_bytes(void)
{
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
}

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
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, fill_bytes);
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

static struct {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool closed;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};

static void set_gate(bool closed)
{
    (void)pthread_mutex_lock(&gate.lock);
    gate.closed = closed;
    (void)pthread_cond_broadcast(&gate.opened);
    (void)pthread_mutex_unlock(&gate.lock);
}

void fake_gate_close(void)
{
    set_gate(true);
}

void fake_gate_open(void)
{
    set_gate(false);
}

static void pass_gate(const char *text, size_t n)
{
    if (n < 5 || memcmp(text, "gated", 5) != 0)
        return;
    (void)pthread_mutex_lock(&gate.lock);
    while (gate.closed)
        (void)pthread_cond_wait(&gate.opened, &gate.lock);
    (void)pthread_mutex_unlock(&gate.lock);
}

enum pl_status token_encode(const struct token_vocab *vocab, const char *text, size_t n,
                            const struct token_encode_options *options, struct token_ids *ret,
                            struct pl_error *err)
{
    (void)err;
    pass_gate(text, n);
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

static void finish(struct engine *e, struct fake_request *r, uint32_t choice,
                   enum engine_finish how)
{
    enum pl_status status = r->late ? PL_ETIMEDOUT : PL_ELOST;
    int64_t at = r->submitted_ns;
    struct engine_event event = {
        .kind = ENGINE_EVENT_FINISH,
        .choice = choice,
        .text = "",
        .finish = how,
        .prompt_tokens = r->asked.n_prompt,
        .cached_tokens = FAKE_CACHED(r->asked.n_prompt),
        .output_tokens = r->n_output[choice],
        .status = how == ENGINE_FINISH_ERROR ? status : PL_OK,
        .message = how != ENGINE_FINISH_ERROR ? NULL
                   : r->late                  ? "the deadline has passed"
                                              : "cpu: device lost",
        .submitted_ns = at,
        .admitted_ns = at + 20 * CLOCK_NS_PER_MS,
        .first_ns = at + 60 * CLOCK_NS_PER_MS,
        .finished_ns = at + 860 * CLOCK_NS_PER_MS,
    };
    if (r->finished[choice])
        return;
    r->finished[choice] = true;
    r->n_finished++;
    e->stats.finished[how]++;
    r->asked.on_event(r->asked.user, &event);
}

static bool finish_all(struct engine *e, struct fake_request *r, enum engine_finish how)
{
    for (uint32_t i = 0; i < r->asked.n; i++)
        finish(e, r, i, how);
    free(r->prompt);
    free(r);
    return false;
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

static void emit(struct engine *e, struct fake_request *r, uint32_t choice)
{
    /* the first token of a prompt is BOS where it came from text: not repeated */
    uint32_t skip = r->prompt[0] == FAKE_BOS && r->asked.n_prompt > 1 ? 1 : 0;
    uint32_t at = (r->n_output[choice] + choice) % (r->asked.n_prompt - skip);
    int32_t id = r->prompt[skip + at];
    struct gguf_str piece = token_piece(&e->vocab, id, false);
    struct engine_logprob top[2] = {{id, FAKE_LOGPROB(choice)}, {'z', -3.0F}};
    struct engine_event event = {
        .kind = ENGINE_EVENT_TOKEN,
        .choice = choice,
        .id = id,
        .text = piece.data,
        .text_bytes = piece.len,
        .logprob = r->asked.logprobs ? FAKE_LOGPROB(choice) : 0,
        .top = top,
        .n_top = PL_MIN(r->asked.n_logprobs, 2U),
    };
    r->n_output[choice]++;
    e->stats.generated_tokens++;
    r->asked.on_event(r->asked.user, &event);
}

/* One step of one text. */
static void step_choice(struct engine *e, struct fake_request *r, uint32_t choice)
{
    uint32_t limit = r->asked.max_tokens > 0 ? r->asked.max_tokens : TOKENS_MAX;
    uint32_t n = r->n_output[choice];
    if (r->finished[choice])
        return;
    if (r->error_after >= 0 && n >= (uint32_t)r->error_after)
        finish(e, r, choice, ENGINE_FINISH_ERROR);
    else if (r->uneven && n > 0 && n + choice >= limit)
        finish(e, r, choice, ENGINE_FINISH_STOP);
    else if (r->asked.no_generation || (!r->endless && n >= limit))
        finish(e, r, choice, ENGINE_FINISH_LENGTH);
    else
        emit(e, r, choice);
}

/* One step of one request; false when it has finished (and is gone). */
static bool step(struct engine *e, struct fake_request *r)
{
    if (r->cancelled)
        return finish_all(e, r, ENGINE_FINISH_CANCEL);
    if (r->hang)
        return true;
    if (r->late)
        return finish_all(e, r, ENGINE_FINISH_ERROR);
    if (!r->prompt_out)
        prompt_events(r);
    for (uint32_t i = 0; i < r->asked.n; i++)
        step_choice(e, r, i);
    return r->n_finished < r->asked.n || finish_all(e, r, ENGINE_FINISH_STOP);
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
        .seqs_max = 64,
        .queue_max = 512,
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

static const struct engine_sampling SAMPLING = {
    .temperature = 1, .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64};

struct engine_sampling engine_sampling_default(void)
{
    return SAMPLING;
}

const struct engine_sampling *engine_sampling_of_model(const struct engine *engine)
{
    (void)engine;
    return &SAMPLING;
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
    r->uneven = strstr(text, "uneven") != NULL;
    r->late = strstr(text, "late") != NULL;
    r->flood = strstr(text, "flood") != NULL;
    r->endless = r->flood || strstr(text, "endless") != NULL;
    if (strstr(text, "busy") != NULL)
        *refuse = PL_EBUSY;
    if (strstr(text, "broken") != NULL)
        *refuse = PL_EINTERNAL;
}

static void copy_name(char ret[FAKE_NAME_MAX], const char *name, size_t n)
{
    n = PL_MIN(n, (size_t)FAKE_NAME_MAX - 1);
    if (n > 0)
        memcpy(ret, name, n);
    ret[n] = '\0';
}

static struct fake_asked note(const struct engine_request *r)
{
    struct fake_asked asked = {
        .weight = r->weight,
        .priority = r->priority,
        .deadline_ns = r->deadline_ns,
        .n = r->n,
        .n_logprobs = r->n_logprobs,
        .logprobs = r->logprobs,
        .prompt_logprobs = r->prompt_logprobs,
        .no_cache_read = r->no_cache_read,
    };
    copy_name(asked.tenant, r->tenant, r->tenant_bytes);
    copy_name(asked.scope, r->scope, r->scope_bytes);
    copy_name(asked.salt, r->salt, r->salt_bytes);
    return asked;
}

struct fake_asked fake_engine_last(struct engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    struct fake_asked asked = engine->last;
    (void)pthread_mutex_unlock(&engine->lock);
    return asked;
}

uint32_t fake_engine_resets(struct engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    uint32_t n = engine->n_resets;
    (void)pthread_mutex_unlock(&engine->lock);
    return n;
}

enum pl_status engine_submit(struct engine *engine, const struct engine_request *request,
                             uint64_t *ret_id, struct pl_error *err)
{
    struct fake_request *r = calloc(1, sizeof *r);
    int32_t *prompt = calloc(request->n_prompt, sizeof *prompt);
    if (r == NULL || prompt == NULL)
        abort();
    memcpy(prompt, request->prompt, request->n_prompt * sizeof *prompt);
    *r = (struct fake_request){.asked = *request, .prompt = prompt, .submitted_ns = clock_now_ns()};
    r->asked.n = PL_MAX(request->n, 1U);
    enum pl_status refuse = PL_OK;
    direct(r, &refuse);
    (void)pthread_mutex_lock(&engine->lock);
    engine->last = note(request);
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

void engine_stats(struct engine *engine, struct engine_stats *ret)
{
    *ret = (struct engine_stats){.running = 1, .blocks_total = 64, .blocks_used = 16};
    (void)engine;
}

uint32_t engine_tenants(struct engine *engine, struct engine_tenant ret[ENGINE_TENANTS_MAX])
{
    (void)engine;
    ret[0] = (struct engine_tenant){.name = "", .running = 1, .counter = 8};
    ret[1] = (struct engine_tenant){.name = "other", .waiting = 2, .counter = 9};
    return 2;
}

uint32_t engine_retry_after_s(struct engine *engine)
{
    (void)engine;
    return FAKE_RETRY_AFTER_S;
}

void engine_reset_cache(struct engine *engine)
{
    (void)pthread_mutex_lock(&engine->lock);
    engine->n_resets++;
    (void)pthread_mutex_unlock(&engine->lock);
}
