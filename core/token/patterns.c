/* See split.h. The pre-tokenizers that model files name, as their authors published them.
 *
 * A new one is one row (and one pattern, if it is new). White space is written out: PCRE2's \s counts
 * U+180E, which Unicode and the models' own tools don't. Apart from that and from two changes that cost
 * nothing in meaning but keep the work linear (remarked below) the patterns are the published ones. */
#include "split.h"

#include <string.h>

#include "base/banned.h"

/* Unicode's White_Space, for use inside [ ]. */
#define WS                                                                                         \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"    \
    "\\x{205f}\\x{3000}"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD         "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define OTHERS       " ?[^" WS "\\p{L}\\p{N}]+"
#define LINES        "[" WS "]*[\\r\\n]+"
#define BLANKS       "[" WS "]+(?![^" WS "])|[" WS "]+"

static const char gpt2_text[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" OTHERS "|" BLANKS;

/* Llama 3's, with the number of digits that group. */
#define LLAMA3(digits) CONTRACTIONS "|" WORD "|" digits "|" OTHERS "[\\r\\n]*|" LINES "|" BLANKS

#define UPPER         "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER         "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define LEAD          "[^\\r\\n\\p{L}\\p{N}]?"
#define CASED(suffix) LEAD UPPER "*" LOWER "+" suffix "|" LEAD UPPER "+" LOWER "*" suffix
#define CASED_TAIL    "|" OTHERS "[\\r\\n/]*|" LINES "|" BLANKS

/* Han, kana and Hangul as DeepSeek's first tokenizers see them. */
#define CJK "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"

static const char *const default_rule[] = {"[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2_text, "\\p{N}+",
                                           "[0-9][0-9][0-9]", NULL};
static const char *const gpt2_rule[] = {gpt2_text, NULL};
static const char *const digit_rule[] = {"\\p{N}", gpt2_text, NULL};
static const char *const falcon_rule[] = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", gpt2_text,
                                          "[0-9][0-9][0-9]", NULL};
static const char *const llama3_rule[] = {LLAMA3("\\p{N}{1,3}"), NULL};
static const char *const qwen2_rule[] = {LLAMA3("\\p{N}"), NULL};
static const char *const minicpm5_rule[] = {"\\p{N}{1,3}", LLAMA3("\\p{N}+"), NULL};
static const char *const longcat_rule[] = {
    LLAMA3("\\p{N}"),
    " ?[\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}"
    "\\x{300a}\\x{300b}\\x{300c}\\x{300d}\\x{3010}\\x{3011}]+",
    CJK, NULL};
static const char *const qwen35_rule[] = {CONTRACTIONS
                                          "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" WS
                                          "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES "|" BLANKS,
                                          NULL};
static const char *const gpt4o_rule[] = {CASED(CONTRACTIONS "?") "|\\p{N}{1,3}" CASED_TAIL, NULL};
static const char *const tekken_rule[] = {CASED("") "|\\p{N}" CASED_TAIL, NULL};
static const char *const bailing_rule[] = {
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^" WS
    "\\p{L}\\p{N}]++[\\r\\n]*|[" WS "]*[\\r\\n]|" BLANKS,
    NULL};
static const char *const seed_rule[] = {
    CONTRACTIONS "|" WORD "|\\p{N}{1}| ?[^" WS "\\p{L}\\p{N}\\r\\n]+|" LINES "|" BLANKS, NULL};
static const char *const bloom_rule[] = {
    " ?[^(" WS "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+", NULL};
static const char *const viking_rule[] = {
    " ?[^(" WS "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+", "\\p{N}",
    NULL};
static const char *const deepseek3_rule[] = {
    "\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES "|" BLANKS,
    NULL};
static const char *const deepseek_coder_rule[] = {
    "[\\r\\n]", "[" WS "]?\\p{L}+", "[" WS "]?\\p{P}+", CJK, "\\p{N}", NULL};
/* Cased letters, listed as the authors did. Blanks at the end: published as \s+$, which would be
 * tried at every blank of every run; a run can only begin where no blank precedes. */
static const char *const deepseek_llm_rule[] = {
    "[\\r\\n]",
    "[" WS "]?[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"
    "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}"
    "\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}"
    "\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}"
    "\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}"
    "\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}"
    "\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}"
    "\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}"
    "\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}"
    "\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}"
    "\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}"
    "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"
    "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{"
    "fb17}"
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"
    "\\x{1e900}-\\x{1e943}]+",
    "[" WS "]?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}"
    "\\x{3000}-\\x{3002}]+",
    "(?<![" WS "])[" WS "]++\\z",
    CJK,
    "\\p{N}+",
    NULL};

static const struct split_rule rules[] = {
    /* name, patterns, whole tokens first, BOS */
    {"default", default_rule, false, false},
    {"gpt-2", gpt2_rule, false, false},
    {"phi-2", gpt2_rule, false, false},
    {"mpt", gpt2_rule, false, false},
    {"olmo", gpt2_rule, false, false},
    {"jais", gpt2_rule, false, false},
    {"trillion", gpt2_rule, false, false},
    {"granite-docling", gpt2_rule, false, false},
    {"exaone4", gpt2_rule, false, false},
    {"gigachat", gpt2_rule, false, false},
    {"a.x-4.0", gpt2_rule, false, false},
    {"mellum", gpt2_rule, false, false},
    {"modern-bert", gpt2_rule, false, false},
    {"jina-es", gpt2_rule, false, false},
    {"jina-de", gpt2_rule, false, false},
    {"jina-v1-en", gpt2_rule, false, false},
    {"jina-v2-es", gpt2_rule, false, false},
    {"jina-v2-de", gpt2_rule, false, false},
    {"jina-v2-code", gpt2_rule, false, false},
    {"roberta-bpe", gpt2_rule, false, false},
    {"starcoder", digit_rule, false, false},
    {"refact", digit_rule, false, false},
    {"command-r", digit_rule, false, false},
    {"smollm", digit_rule, false, false},
    {"codeshell", digit_rule, false, false},
    {"exaone", digit_rule, false, false},
    {"minerva-7b", digit_rule, false, false},
    {"mellum2", digit_rule, false, false},
    {"falcon", falcon_rule, false, false},
    {"llama-bpe", llama3_rule, true, true},
    {"llama3", llama3_rule, true, true},
    {"llama-v3", llama3_rule, true, true},
    {"falcon3", llama3_rule, true, true},
    {"falcon-h1", llama3_rule, true, true},
    {"pixtral", llama3_rule, true, true},
    {"midm-2.0", llama3_rule, true, true},
    {"lfm2", llama3_rule, true, true},
    {"dbrx", llama3_rule, false, false},
    {"smaug-bpe", llama3_rule, false, false},
    {"glm4", llama3_rule, false, false},
    {"chatglm-bpe", llama3_rule, false, false},
    {"minicpm5", minicpm5_rule, true, false},
    {"qwen2", qwen2_rule, false, false},
    {"deepseek-r1-qwen", qwen2_rule, false, false},
    {"megrez", qwen2_rule, false, false},
    {"kormo", qwen2_rule, false, false},
    {"stablelm2", qwen2_rule, false, false},
    {"hunyuan", qwen2_rule, false, false},
    {"solar-open", qwen2_rule, false, false},
    {"grok-2", qwen2_rule, false, false},
    {"qwen35", qwen35_rule, false, false},
    {"longcat", longcat_rule, false, false},
    {"gpt-4o", gpt4o_rule, false, false},
    {"llama4", gpt4o_rule, false, false},
    {"kanana2", gpt4o_rule, false, false},
    {"minimax-m2", gpt4o_rule, false, false},
    {"tekken", tekken_rule, true, true},
    {"bailingmoe", bailing_rule, false, false},
    {"bailingmoe2", bailing_rule, false, false},
    {"llada-moe", bailing_rule, false, false},
    {"seed-coder", seed_rule, false, false},
    {"bloom", bloom_rule, false, false},
    {"poro-chat", bloom_rule, false, false},
    {"gpt3-finnish", bloom_rule, false, false},
    {"viking", viking_rule, false, false},
    {"deepseek-llm", deepseek_llm_rule, false, false},
    {"deepseek-coder", deepseek_coder_rule, false, false},
    {"deepseek-v3", deepseek3_rule, false, false},
    {"hunyuan-dense", deepseek3_rule, false, false},
    {"joyai-llm", deepseek3_rule, false, false},
};

const struct split_rule *split_rule_at(size_t i)
{
    return i < PL_ARRAY_LEN(rules) ? &rules[i] : NULL;
}

const struct split_rule *split_rule_find(struct gguf_str pre)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(rules); i++) {
        if (strlen(rules[i].pre) == pre.len && memcmp(rules[i].pre, pre.data, pre.len) == 0)
            return &rules[i];
    }
    return NULL;
}
