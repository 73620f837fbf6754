/* core/token, unigram: against a search over all ways to cut a text, and naive replacement of keys. */
#include "token/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fault.h"
#include "gguf_bytes.h"

#include "base/clock.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "base/banned.h"

#define BLANK     "\xE2\x96\x81"
#define UNITS     4096
#define TEXT_MAX  256
#define BYTES_MAX 256

enum { UNK = 2, N_FIXED = 3 };

static const struct {
    const char *text;
    int32_t type;
} tokens[] = {
    {"<pad>", 3},       {"</s>", 3},     {"<unk>", 2},
    {BLANK, 1},         {"a", 1},        {"b", 1},
    {"ab", 1},          {"abc", 1},      {"bc", 1},
    {BLANK "a", 1},     {BLANK "ab", 1}, {"bca", 1},
    {"aa", 1},          {"aaaa", 1},     {BLANK BLANK, 1},
    {"[u]", 4},         {"cc", 5},       {"\xE5\xAD\x97", 1},
    {"a" BLANK "b", 1}, {"\xC3\xA9", 1}, {"fi", 1},
    {"f", 1},           {"i", 1},        {"\xEF\xBF\xBD", 1},
};
#define N_TOKENS PL_ARRAY_LEN(tokens)

/* What the charsmap replaces. Keys may begin one another; a replacement may be empty. */
static const struct {
    const char *key, *text;
} rules[] = {
    {"\t", " "},
    {"\n", " "},
    {"\xE3\x80\x80", " "},
    {"A", "a"},
    {"B", "b"},
    {"AB", "ba"},
    {"\xEF\xAC\x81", "fi"},
    {"e\xCC\x81", "\xC3\xA9"},
    {"\xE2\x80\x8B", ""},
    {"ABCA", "\xE5\xAD\x97"},
    {"x y", "c c"},
};

struct options {
    bool prefix, merge, bytes, map;
    uint64_t seed;         /* of the scores */
    const uint32_t *units; /* a trie instead of the right one, with n_units */
    size_t n_units;
    long fail_at;
};

/* ---- making files ---------------------------------------------------------------------------- */

static uint32_t units[UNITS];
static bool used[UNITS];
static bool
    bases[UNITS]; /* node ^ offset: of one node only, since labels are all that a walk checks */

static bool fits(uint32_t node, uint32_t offset, const bool *bytes)
{
    if ((node ^ offset) >= UNITS || bases[node ^ offset])
        return false;
    for (uint32_t c = 0; c < 256; c++) {
        uint32_t at = node ^ offset ^ c;
        if (bytes[c] && (at >= UNITS || used[at]))
            return false;
    }
    return true;
}

/* Places the children of a node whose key is prefix[0..n): byte 0 is its leaf. places: of replacements. */
static void place_node(uint32_t node, const char *prefix, size_t n, const uint32_t *places)
{
    bool bytes[256] = {false};
    size_t leaf = PL_ARRAY_LEN(rules);
    for (size_t r = 0; r < PL_ARRAY_LEN(rules); r++) {
        if (strncmp(rules[r].key, prefix, n) != 0)
            continue;
        bytes[(unsigned char)rules[r].key[n]] = true;
        leaf = rules[r].key[n] == '\0' ? r : leaf;
    }
    uint32_t offset = 1;
    while (!fits(node, offset, bytes))
        offset++;
    assert_true(offset < UNITS);
    bases[node ^ offset] = true;
    units[node] |= offset << 10;
    for (uint32_t c = 0; c < 256; c++) {
        if (bytes[c])
            used[node ^ offset ^ c] = true;
    }
    if (bytes[0]) {
        units[node] |= 1u << 8;
        units[node ^ offset] = (1u << 31) | places[leaf];
    }
    for (uint32_t c = 1; c < 256; c++) {
        char longer[16];
        if (!bytes[c])
            continue;
        memcpy(longer, prefix, n);
        longer[n] = (char)c;
        units[node ^ offset ^ c] = c;
        place_node(node ^ offset ^ c, longer, n + 1, places);
    }
}

static void put_charsmap(struct gguf_bytes *b, const struct options *o)
{
    char texts[256];
    uint32_t places[PL_ARRAY_LEN(rules)];
    uint32_t texts_n = 0;
    for (size_t r = 0; r < PL_ARRAY_LEN(rules); r++) {
        size_t n = strlen(rules[r].text) + 1;
        places[r] = texts_n;
        memcpy(texts + texts_n, rules[r].text, n);
        texts_n += (uint32_t)n;
    }
    memset(units, 0, sizeof units);
    memset(used, 0, sizeof used);
    memset(bases, 0, sizeof bases);
    used[0] = true;
    place_node(0, "", 0, places);
    const uint32_t *trie = o->units != NULL ? o->units : units;
    uint32_t bytes = (uint32_t)((o->units != NULL ? o->n_units : UNITS) * 4);
    gguf_bytes_array(b, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, 4 + bytes + texts_n);
    gguf_bytes_u32(b, bytes);
    buf_append(&b->out, trie, bytes);
    buf_append(&b->out, texts, texts_n);
}

static float score_of(const struct options *o, size_t id)
{
    return -1 - 9 * rng_uniform(o->seed, 1, id);
}

static void put_flag(struct gguf_bytes *b, const char *key, bool value)
{
    gguf_bytes_key(b, key, GGUF_BOOL);
    buf_char(&b->out, value ? 1 : 0);
}

static struct token_vocab *open_vocab(const struct options *o, enum pl_status *ret_status,
                                      struct pl_error *err)
{
    struct gguf_bytes b;
    struct gguf *file = NULL;
    struct token_vocab *vocab = NULL;
    size_t n = N_TOKENS + (o->bytes ? 256 : 0);
    gguf_bytes_begin(&b, 3, 0, 6 + (o->map ? 1 : 0));
    gguf_bytes_key(&b, "tokenizer.ggml.model", GGUF_STRING);
    gguf_bytes_str(&b, "t5");
    gguf_bytes_array(&b, "tokenizer.ggml.tokens", GGUF_STRING, n);
    for (size_t i = 0; i < n; i++) {
        char text[16];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)(i - N_TOKENS) & 0xFF);
        gguf_bytes_str(&b, i < N_TOKENS ? tokens[i].text : text);
    }
    gguf_bytes_array(&b, "tokenizer.ggml.token_type", GGUF_I32, n);
    for (size_t i = 0; i < n; i++)
        gguf_bytes_u32(&b, i < N_TOKENS ? (uint32_t)tokens[i].type : 6);
    gguf_bytes_array(&b, "tokenizer.ggml.scores", GGUF_F32, n);
    for (size_t i = 0; i < n; i++)
        gguf_bytes_f32(&b, score_of(o, i));
    put_flag(&b, "tokenizer.ggml.add_space_prefix", o->prefix);
    put_flag(&b, "tokenizer.ggml.remove_extra_whitespaces", o->merge);
    if (o->map)
        put_charsmap(&b, o);
    *ret_status = gguf_open(gguf_bytes_path(&b), &file, err);
    fault_fail_at(o->fail_at);
    if (*ret_status == PL_OK)
        *ret_status = token_open(file, &vocab, err);
    gguf_close(file);
    gguf_bytes_end(&b);
    return vocab;
}

static struct token_vocab *need_vocab(const struct options *o)
{
    enum pl_status status;
    struct pl_error err = {""};
    struct token_vocab *vocab = open_vocab(o, &status, &err);
    if (vocab == NULL)
        fail_msg("%d '%s'", status, err.msg);
    return vocab;
}

/* ---- the oracle ------------------------------------------------------------------------------ */

static size_t one_char(const char *text, size_t n)
{
    uint32_t code;
    size_t bytes = 1;
    return utf8_decode(text, n, &code, &bytes) == UTF8_OK ? bytes : 1;
}

/* Replaces the longest key at each place. */
static size_t replace_keys(const struct options *o, const char *text, size_t n, char *out)
{
    size_t out_n = 0;
    for (size_t at = 0; at < n;) {
        size_t best = 0;
        const char *with = NULL;
        for (size_t r = 0; o->map && r < PL_ARRAY_LEN(rules); r++) {
            size_t k = strlen(rules[r].key);
            if (k <= n - at && k > best && memcmp(rules[r].key, text + at, k) == 0) {
                best = k;
                with = rules[r].text;
            }
        }
        uint32_t code;
        size_t bytes = 1;
        bool valid = utf8_decode(text + at, n - at, &code, &bytes) == UTF8_OK;
        if (best > 0)
            out_n += (size_t)snprintf(out + out_n, 16, "%s", with);
        else if (!valid)
            out_n += (size_t)snprintf(out + out_n, 16, "\xEF\xBF\xBD");
        else
            out_n += (size_t)snprintf(out + out_n, 16, "%.*s", (int)bytes, text + at);
        at += best > 0 ? best : valid ? bytes : 1;
    }
    return out_n;
}

static size_t normalise(const struct options *o, const char *text, size_t n, char *out)
{
    char plain[TEXT_MAX * 4];
    size_t plain_n = replace_keys(o, text, n, plain);
    size_t out_n = 0;
    bool any = false; /* something but blanks was there */
    for (size_t i = 0; i < plain_n; i++) {
        bool starts = plain[i] != ' ' && (i == 0 || plain[i - 1] == ' ');
        bool blank = plain[i] == ' ' && !o->merge;
        if (starts && (any ? o->merge : o->prefix))
            blank = true;
        if (blank)
            out_n += (size_t)snprintf(out + out_n, 16, BLANK);
        if (plain[i] != ' ') {
            out[out_n++] = plain[i];
            any = true;
        }
    }
    return out_n;
}

struct search {
    const struct options *o;
    const char *text;
    size_t n;
    double unknown;
    int32_t way[BYTES_MAX]; /* ids; -c: an unknown character of c bytes */
    int32_t best[BYTES_MAX];
    size_t best_n;
    double best_score, next_score; /* next: the best of the other ways */
};

static void search_from(struct search *s, size_t at, size_t depth, double score)
{
    if (at == s->n) {
        if (score > s->best_score) {
            s->next_score = s->best_score;
            s->best_score = score;
            s->best_n = depth;
            memcpy(s->best, s->way, depth * sizeof *s->way);
        } else if (score > s->next_score) {
            s->next_score = score;
        }
        return;
    }
    size_t char_n = one_char(s->text + at, s->n - at);
    bool covered = false;
    for (size_t id = N_FIXED; id < N_TOKENS; id++) {
        size_t k = strlen(tokens[id].text);
        if (k > s->n - at || memcmp(s->text + at, tokens[id].text, k) != 0)
            continue;
        covered = covered || k == char_n;
        s->way[depth] = (int32_t)id;
        double own = tokens[id].type == 4 ? 0 : (double)score_of(s->o, id);
        search_from(s, at + k, depth + 1, score + own);
    }
    if (!covered) {
        s->way[depth] = -(int32_t)char_n;
        search_from(s, at + char_n, depth + 1, score + s->unknown);
    }
}

/* The ids of the best way; false: two ways are as good as each other. */
static bool search_best(const struct options *o, const char *text, size_t n, int32_t *ids,
                        size_t *ret_n)
{
    struct search s = {.o = o, .text = text, .n = n, .best_score = -1e9, .next_score = -1e9};
    s.unknown = 0;
    for (size_t id = 0; id < N_TOKENS; id++) {
        if (tokens[id].type == 1)
            s.unknown = PL_MIN(s.unknown, (double)score_of(o, id));
    }
    s.unknown -= 10;
    search_from(&s, 0, 0, 0);
    size_t out = 0;
    size_t at = 0;
    for (size_t i = 0; i < s.best_n; i++) {
        if (s.best[i] >= 0) {
            ids[out++] = s.best[i];
            at += strlen(tokens[s.best[i]].text);
            continue;
        }
        for (int32_t k = 0; o->bytes && k < -s.best[i]; k++)
            ids[out++] = (int32_t)N_TOKENS + (unsigned char)text[at + (size_t)k];
        if (!o->bytes && (i == 0 || s.best[i - 1] >= 0))
            ids[out++] = UNK;
        at += (size_t)-s.best[i];
    }
    *ret_n = out;
    return s.best_score - s.next_score > 1e-6;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static const char *const parts[] = {"a",
                                    "b",
                                    "c",
                                    " ",
                                    "ab",
                                    "aa",
                                    "  ",
                                    "\t",
                                    "A",
                                    "B",
                                    "AB",
                                    "z",
                                    "\xE5\xAD\x97",
                                    "\xE4\xB8\xAD",
                                    "e\xCC\x81",
                                    "\xEF\xAC\x81",
                                    "\xE2\x80\x8B",
                                    "\xFF",
                                    "ABC",
                                    "ABCA",
                                    "x y",
                                    "cc",
                                    "f",
                                    "\xE3\x80\x80",
                                    "x ",
                                    "e"};

static size_t random_text(uint64_t seed, uint64_t row, char *text)
{
    size_t n = 0;
    uint32_t word[4];
    rng_philox(seed, row, 99, word);
    size_t count = 1 + word[0] % 9;
    for (size_t i = 0; i < count; i++) {
        rng_philox(seed, row, i, word);
        const char *part = parts[word[0] % PL_ARRAY_LEN(parts)];
        for (size_t k = 0; part[k] != '\0'; k++)
            text[n++] = part[k];
    }
    return n;
}

static void check_text(const struct token_vocab *vocab, const struct options *o, const char *text,
                       size_t n, unsigned *checked)
{
    char normal[TEXT_MAX * 4];
    int32_t want[BYTES_MAX];
    size_t want_n = 0;
    size_t normal_n = normalise(o, text, n, normal);
    bool unique = search_best(o, normal, normal_n, want, &want_n);
    struct token_ids got = {0};
    const struct token_encode_options plain = {0};
    assert_int_equal(token_encode(vocab, text, n, &plain, &got, NULL), PL_OK);
    if (unique) {
        bool equal =
            got.n == want_n && (want_n == 0 || memcmp(got.ids, want, want_n * sizeof *want) == 0);
        for (size_t i = 0; !equal && i < PL_MAX(got.n, want_n); i++)
            print_message("# id %d, expected %d\n", i < got.n ? got.ids[i] : -1,
                          i < want_n ? want[i] : -1);
        if (!equal)
            fail_msg("prefix %d merge %d bytes %d map %d seed %u: '%.*s' gave %zu ids, not %zu",
                     o->prefix, o->merge, o->bytes, o->map, (unsigned)o->seed, (int)n, text, got.n,
                     want_n);
        (*checked)++;
    }
    token_ids_free(&got);
}

static void finds_the_best_of_all_ways(void **state)
{
    (void)state;
    unsigned checked = 0;
    for (unsigned bits = 0; bits < 16; bits++) {
        for (uint64_t seed = 0; seed < 4; seed++) {
            const struct options o = {.prefix = bits & 1,
                                      .merge = (bits & 2) != 0,
                                      .bytes = (bits & 4) != 0,
                                      .map = (bits & 8) != 0,
                                      .seed = seed};
            struct token_vocab *vocab = need_vocab(&o);
            for (uint64_t row = 0; row < 200; row++) {
                char text[TEXT_MAX];
                check_text(vocab, &o, text, random_text(seed * 16 + bits, row, text), &checked);
            }
            token_close(vocab);
        }
    }
    assert_true(checked > 10000);
}

static void knows_what_t5_files_leave_out(void **state)
{
    (void)state;
    struct token_vocab *vocab = need_vocab(&(struct options){.prefix = true, .merge = true});
    assert_int_equal(token_special(vocab, TOKEN_BOS), TOKEN_NONE);
    assert_int_equal(token_special(vocab, TOKEN_EOS), 1);
    assert_int_equal(token_special(vocab, TOKEN_UNK), UNK);
    assert_int_equal(token_special(vocab, TOKEN_PAD), 0);
    assert_false(token_adds_bos(vocab));
    const struct token_encode_options both = {true, true};
    struct token_ids ids = {0};
    assert_int_equal(token_encode(vocab, "  ", 2, &both, &ids, NULL), PL_OK);
    assert_int_equal(ids.n, 1); /* blanks are nothing; the end comes by itself */
    assert_int_equal(ids.ids[0], 1);
    token_ids_free(&ids);
    assert_int_equal(token_encode(vocab, "</s>zz z[u]", 11, &both, &ids, NULL), PL_OK);
    static const int32_t want[] = {1, 3, UNK, 3, UNK, 15, 1};
    assert_int_equal(ids.n, PL_ARRAY_LEN(want));
    assert_memory_equal(ids.ids, want, sizeof want);
    char *back = NULL;
    size_t back_n = 0;
    assert_int_equal(token_decode(vocab, want, 7, false, &back, &back_n, NULL), PL_OK);
    assert_string_equal(back, " [u]");
    free(back);
    token_ids_free(&ids);
    token_close(vocab);
}

static void refuses_a_charsmap_that_has_no_shape(void **state)
{
    (void)state;
    static const uint32_t none[1];
    enum pl_status status = PL_OK;
    struct pl_error err = {""};
    const struct options o = {.map = true, .units = none, .n_units = 0};
    assert_null(open_vocab(&o, &status, &err));
    assert_int_equal(status, PL_EFORMAT);
    assert_non_null(
        strstr(err.msg, "key 'tokenizer.ggml.precompiled_charsmap': a trie of 0 bytes"));
}

/* Any bits may be a trie: texts come out otherwise, nothing else. */
static void survives_any_trie(void **state)
{
    (void)state;
    static uint32_t random_units[300];
    for (uint64_t seed = 0; seed < 200; seed++) {
        for (size_t i = 0; i < PL_ARRAY_LEN(random_units); i++) {
            uint32_t word[4];
            rng_philox(seed, i, 5, word);
            /* Mostly within the table, and labels that occur, so that walks go on. */
            random_units[i] =
                ((word[0] % 512) << 10) | (word[1] & 0x100) | (unsigned char)"ab c\t"[word[2] % 5];
            if (word[3] % 4 == 0)
                random_units[i] = word[1];
        }
        const struct options o = {
            .map = true, .units = random_units, .n_units = PL_ARRAY_LEN(random_units)};
        struct token_vocab *vocab = need_vocab(&o);
        for (uint64_t row = 0; row < 20; row++) {
            char text[TEXT_MAX];
            struct token_ids ids = {0};
            const struct token_encode_options plain = {0};
            size_t n = random_text(seed, row, text);
            assert_int_equal(token_encode(vocab, text, n, &plain, &ids, NULL), PL_OK);
            token_ids_free(&ids);
        }
        token_close(vocab);
    }
}

static void long_texts_cost_linear_time(void **state)
{
    (void)state;
    static const char *const letters[] = {"a", "z", " ", "ab", "abc ", "A", "\xFF"};
    enum { N = 1000000 };
    const struct options o = {.prefix = true, .map = true};
    struct token_vocab *vocab = need_vocab(&o);
    char *text = malloc(N);
    assert_non_null(text);
    for (size_t k = 0; k < PL_ARRAY_LEN(letters); k++) {
        struct token_ids ids = {0};
        const struct token_encode_options plain = {0};
        for (size_t i = 0; i < N; i++)
            text[i] = letters[k][i % strlen(letters[k])];
        int64_t begin = clock_cpu_ns();
        assert_int_equal(token_encode(vocab, text, N, &plain, &ids, NULL), PL_OK);
        assert_true((double)(clock_cpu_ns() - begin) / 1e9 < 5);
        token_ids_free(&ids);
    }
    free(text);
    token_close(vocab);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    bool hit = true;
    for (long n = 1; hit; n++) {
        enum pl_status status = PL_OK;
        struct pl_error err = {""};
        const struct options o = {.prefix = true, .map = true, .bytes = true, .fail_at = n};
        struct token_vocab *vocab = open_vocab(&o, &status, &err);
        hit = fault_hit();
        fault_fail_at(0);
        assert_int_equal(status, hit ? PL_ENOMEM : PL_OK);
        token_close(vocab);
    }
    const struct options o = {.prefix = true, .map = true};
    struct token_vocab *vocab = need_vocab(&o);
    hit = true;
    for (long n = 1; hit; n++) {
        struct token_ids ids = {0};
        const struct token_encode_options both = {true, true};
        fault_fail_at(n);
        enum pl_status status = token_encode(vocab, "ab z AB", 7, &both, &ids, NULL);
        hit = fault_hit();
        fault_fail_at(0);
        assert_int_equal(status, hit ? PL_ENOMEM : PL_OK);
        token_ids_free(&ids);
    }
    token_close(vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_best_of_all_ways),
        cmocka_unit_test(knows_what_t5_files_leave_out),
        cmocka_unit_test(refuses_a_charsmap_that_has_no_shape),
        cmocka_unit_test(survives_any_trie),
        cmocka_unit_test(long_texts_cost_linear_time),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
