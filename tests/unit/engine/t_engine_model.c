/* The whole engine with real (tiny) models on the CPU plugin: stored greedy texts, and the same text alone,
 * among 63 others, with other chunks, less memory and other thread counts. Skips where ../shared is absent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "base/banned.h"

#define N_CLIENTS  64
#define PATH_BYTES 512
#define SKIPPED    77

/* Models of the determinism test: one under ThreadSanitizer, which makes each run about 30 times slower. */
#ifdef __SANITIZE_THREAD__
#define N_MODELS 1
#else
#define N_MODELS 3
#endif

static char shared[PATH_BYTES];

static struct engine *open_model(const char *name, struct engine_options options)
{
    char path[PATH_BYTES];
    struct engine *engine = NULL;
    struct pl_error err = {{0}};
    snprintf(path, sizeof path, "%.400s/data/%s.gguf", shared, name);
    options.model_path = path;
    options.backend = "cpu";
    options.backend_dir = getenv("PL_BACKEND_DIR"); /* NOLINT(concurrency-mt-unsafe): one thread */
    enum pl_status status = engine_open(&options, &engine, &err);
    if (status != PL_OK)
        print_error("%s: %s\n", name, err.msg);
    assert_int_equal(status, PL_OK);
    return engine;
}

static uint32_t read_ids(struct json_object *array, int32_t *ids)
{
    uint32_t n = (uint32_t)json_object_array_length(array);
    assert_in_range(n, 1, CLIENT_TOKENS_MAX);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = json_object_get_int(json_object_array_get_idx(array, i));
    return n;
}

/* ---- stored texts ---------------------------------------------------------------------------- */

/* How many stored tokens bind: up to the first whose lead is below the limit (data/README.md). */
static uint32_t binding(struct json_object *greedy, double margin_min)
{
    struct json_object *margins;
    if (!json_object_object_get_ex(greedy, "margin", &margins))
        assert_true(json_object_object_get_ex(greedy, "margin_sigma", &margins));
    uint32_t n = (uint32_t)json_object_array_length(margins);
    for (uint32_t i = 0; i < n; i++)
        if (json_object_get_double(json_object_array_get_idx(margins, i)) < margin_min)
            return i;
    return n;
}

static void check_sequence(struct engine *engine, const char *name, struct json_object *sequence,
                           double margin_min)
{
    static int32_t prompt[CLIENT_TOKENS_MAX], expected[CLIENT_TOKENS_MAX];
    static struct client c;
    struct json_object *greedy, *tokens, *ids, *text;
    if (!json_object_object_get_ex(sequence, "greedy", &greedy))
        return;
    assert_true(json_object_object_get_ex(sequence, "tokens", &tokens));
    assert_true(json_object_object_get_ex(greedy, "ids", &ids));
    assert_true(json_object_object_get_ex(greedy, "text", &text));
    uint32_t n = read_ids(ids, expected);
    struct engine_request request = {
        .prompt = prompt, .max_tokens = n, .ignore_eos = true, .special_text = true};
    request.n_prompt = read_ids(tokens, prompt);
    client_init(&c);
    client_run(&c, engine, request);
    assert_int_equal(c.finish, ENGINE_FINISH_LENGTH);
    assert_int_equal(c.n_ids, n);
    uint32_t n_bind = binding(greedy, margin_min);
    for (uint32_t i = 0; i < n_bind; i++) {
        if (c.ids[i] != expected[i])
            print_error("%s: token %u of %u: want %d, got %d\n", name, i, n_bind, expected[i],
                        c.ids[i]);
        assert_int_equal(c.ids[i], expected[i]);
    }
    if (n_bind == n) /* the pieces joined: a leading blank of the first one stays */
        assert_string_equal(c.text, json_object_get_string(text));
    client_deinit(&c);
}

static void greedy_text_equals_the_stored_one(void **state)
{
    (void)state;
    const struct {
        const char *name;
        double margin_min; /* smaller leads may go either way: data/README.md */
    } cases[] = {
        {"models/stories260K", 0.001}, {"models/stories260K-Q8_0", 0.1}, {"golden/llama", 0.001},
        {"golden/llama3-rope", 0.001}, {"golden/qwen2", 0.001},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%.400s/data/%s.json", shared, cases[i].name);
        struct json_object *root = json_object_from_file(path);
        struct json_object *sequences;
        assert_non_null(root);
        assert_true(json_object_object_get_ex(root, "sequences", &sequences));
        struct engine *engine =
            open_model(cases[i].name, (struct engine_options){.kv_type = ENGINE_KV_F32});
        for (size_t k = 0; k < json_object_array_length(sequences); k++)
            check_sequence(engine, cases[i].name, json_object_array_get_idx(sequences, k),
                           cases[i].margin_min);
        engine_close(engine);
        json_object_put(root);
    }
}

/* ---- determinism ----------------------------------------------------------------------------- */

static const int32_t STORY[] = {1,   403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421,
                                395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419, 292, 411};

/* A story told over and over, so that there is much to share and to guess; two texts in three begin with it. */
static int32_t long_story[5 * PL_ARRAY_LEN(STORY)];

static struct engine_request crowd_request(uint32_t i)
{
    for (size_t j = 0; long_story[0] == 0 && j < PL_ARRAY_LEN(long_story); j++)
        long_story[PL_ARRAY_LEN(long_story) - 1 - j] =
            STORY[PL_ARRAY_LEN(STORY) - 1 - j % PL_ARRAY_LEN(STORY)];
    bool is_long = i % 3 != 0;
    struct engine_sampling sampling = engine_sampling_default();
    sampling.temperature = i % 2 == 0 ? 0.0f : 1.0f;
    sampling.top_k = i % 3 == 0 ? 20 : 0;
    sampling.has_seed = true;
    sampling.seed = i;
    return (struct engine_request){
        .prompt = is_long ? long_story : STORY,
        .n_prompt = is_long ? 60 + i : 1 + i % (uint32_t)PL_ARRAY_LEN(STORY),
        .max_tokens = 10 + i % 40,
        .sampling = sampling,
        .ignore_eos = true,
        .logprobs = true,
    };
}

static struct client *solo_clients(const char *name, struct engine_options options)
{
    struct client *clients = calloc(N_CLIENTS, sizeof *clients);
    struct engine *engine = open_model(name, options);
    assert_non_null(clients);
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        client_init(&clients[i]);
        client_run(&clients[i], engine, crowd_request(i));
    }
    engine_close(engine);
    return clients;
}

static void free_clients(struct client *clients)
{
    for (uint32_t i = 0; i < N_CLIENTS; i++)
        client_deinit(&clients[i]);
    free(clients);
}

/* All at once, against what each said alone; in an engine that may have seen all of them before. */
static void run_crowd(struct engine *engine, const struct client *solo, bool halved)
{
    struct client *crowd = calloc(N_CLIENTS, sizeof *crowd);
    struct engine_stats before, after;
    assert_non_null(crowd);
    engine_stats(engine, &before);
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        client_init(&crowd[i]);
        assert_int_equal(client_submit(&crowd[i], engine, crowd_request(i), NULL), PL_OK);
    }
    for (uint32_t i = 1; halved && i < N_CLIENTS; i += 2) {
        client_await_tokens(&crowd[i], 3);
        engine_cancel(engine, crowd[i].id);
    }
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        client_wait(&crowd[i]);
        uint32_t n = crowd[i].n_ids; /* the beginning of it, if it was cancelled */
        assert_true(n == solo[i].n_ids || (halved && i % 2 == 1 && n < solo[i].n_ids));
        assert_memory_equal(crowd[i].ids, solo[i].ids, n * sizeof crowd[i].ids[0]);
        assert_memory_equal(crowd[i].logprobs, solo[i].logprobs, n * sizeof crowd[i].logprobs[0]);
    }
    engine_stats(engine, &after);
    assert_int_equal(after.device_allocs, before.device_allocs);
    assert_int_equal(after.device_compiles, before.device_compiles);
    assert_int_equal(after.blocks_used, 0);
    free_clients(crowd);
}

static void assert_crowd(const char *name, const struct client *solo, struct engine_options options,
                         bool halved)
{
    struct engine_stats first, second;
    struct engine *engine = open_model(name, options);
    run_crowd(engine, solo, halved);
    engine_stats(engine, &first);
    if (!halved)
        run_crowd(engine, solo, false); /* what was computed is found again */
    engine_stats(engine, &second);
    if (!halved && !options.no_prefix_cache)
        assert_true(second.cache_hit_tokens > first.cache_hit_tokens);
    if (options.no_prefix_cache)
        assert_int_equal(second.cache_hit_tokens, 0);
    if (options.draft_max > 0)
        assert_true(second.accepted_tokens > 0);
    engine_close(engine);
}

static const struct engine_options OPTIONS[] = {
    {.n_threads = 1, .no_prefix_cache = true},
    {.n_threads = 1},
    {.n_threads = 2},
    {.rows_max = 7},
    {.n_threads = 2, .draft_max = 5},
    {.ctx_tokens = 192, .kv_tokens = 640}, /* preempts and evicts */
    {.ctx_tokens = 192, .kv_tokens = 640, .kv_ram_bytes = 1 << 20, .draft_max = 3},
};

static void text_and_logprobs_are_the_same_alone_and_among_63_others(void **state)
{
    (void)state;
    static const char *const models[3] = {"models/stories260K", "models/stories260K-Q8_0",
                                          "golden/qwen2"};
    for (size_t i = 0; i < N_MODELS; i++) {
        struct client *solo = solo_clients(
            models[i], (struct engine_options){.n_threads = 1, .no_prefix_cache = true});
        for (size_t k = 0; k < PL_ARRAY_LEN(OPTIONS); k++)
            assert_crowd(models[i], solo, OPTIONS[k], false);
        free_clients(solo);
    }
}

static void half_of_64_may_vanish_midway(void **state)
{
    (void)state;
    struct client *solo = solo_clients("models/stories260K", (struct engine_options){0});
    assert_crowd("models/stories260K", solo, (struct engine_options){0}, true);
    free_clients(solo);
}

/* ---- the disk tier ------------------------------------------------------------------------------ */

/* A copy of the model in dir/name; with other settings, which leave its size and weights as they are. */
static void copy_model(const char *path, bool other)
{
    static const char KEY[] = "llama.rope.freq_base";
    static const float OTHER = 500000.0F;
    static char bytes[4 << 20];
    char from[PATH_BYTES];
    snprintf(from, sizeof from, "%.400s/data/models/stories260K.gguf", shared);
    FILE *file = fopen(from, "rbe");
    assert_non_null(file);
    size_t n = fread(bytes, 1, sizeof bytes, file);
    assert_in_range(n, 1, sizeof bytes - 1);
    assert_int_equal(fclose(file), 0);
    char *key = memmem(bytes, n, KEY, sizeof KEY - 1);
    assert_non_null(key);
    if (other)
        memcpy(key + sizeof KEY - 1 + 4, &OTHER, sizeof OTHER); /* behind the type */
    file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

/* Tokens of a prompt that are found by an engine over that model and the folder. */
static uint32_t found_on_disk(const char *model, const char *dir)
{
    static struct client c;
    struct engine *engine = NULL;
    const struct engine_options options = {
        .model_path = model,
        .backend = "cpu",
        .backend_dir = getenv("PL_BACKEND_DIR"), /* NOLINT(concurrency-mt-unsafe): one thread */
        .kv_disk_dir = dir,
        .kv_disk_bytes = 4u << 20,
    };
    assert_int_equal(engine_open(&options, &engine, NULL), PL_OK);
    client_init(&c);
    client_run(
        &c, engine,
        (struct engine_request){
            .prompt = STORY, .n_prompt = PL_ARRAY_LEN(STORY), .max_tokens = 1, .ignore_eos = true});
    client_deinit(&c);
    engine_close(engine);
    return c.cached_tokens;
}

static void blocks_on_disk_are_of_the_same_settings_only(void **state)
{
    (void)state;
    char root[] = "/tmp/polder-model-XXXXXX";
    char same[64], other[64], dir[64], path[96];
    assert_non_null(mkdtemp(root));
    snprintf(same, sizeof same, "%s/same.gguf", root);
    snprintf(other, sizeof other, "%s/other.gguf", root);
    snprintf(dir, sizeof dir, "%s/kv", root);
    copy_model(same, false);
    copy_model(other, true);
    assert_int_equal(found_on_disk(same, dir), 0);
    assert_true(found_on_disk(same, dir) > 0);
    assert_int_equal(found_on_disk(other, dir), 0);
    static const char *const files[] = {"kv/key", "kv/lock", "kv/blocks", "same.gguf",
                                        "other.gguf"};
    for (size_t i = 0; i < PL_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(rmdir(root), 0);
}

int main(void)
{
    const char *folder = getenv("PL_SHARED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_text_equals_the_stored_one),
        cmocka_unit_test(text_and_logprobs_are_the_same_alone_and_among_63_others),
        cmocka_unit_test(half_of_64_may_vanish_midway),
        cmocka_unit_test(blocks_on_disk_are_of_the_same_settings_only),
    };
    char probe[PATH_BYTES];
    snprintf(shared, sizeof shared, "%s", folder != NULL ? folder : "../shared");
    snprintf(probe, sizeof probe, "%.400s/data/models/stories260K.gguf", shared);
    if (access(probe, R_OK) != 0) {
        printf("1..0 # SKIP %s is absent\n", probe);
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
