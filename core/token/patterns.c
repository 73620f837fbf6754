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

#define LOWER_SUFFIX CASED(CONTRACTIONS "?")

static const char *const spark_rule[] = {
    "\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\\r\\n]|" BLANKS,
    "\\p{N}", NULL};
static const char *const youtu_rule[] = {
    "[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}"
    "\\x{2019}\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|"
    "[\\x{3105}-\\x{312f}]+|[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
    LOWER_SUFFIX "|\\p{N}" CASED_TAIL, NULL};
/* Blanks go by powers of two. Published with a bare \s*[\r\n]+, which would scan what is left of a run of
 * blanks at each of its pieces: where a blank precedes, the scan from before it has found no newline. */
static const char *const jais2_rule[] = {
    CONTRACTIONS "|" WORD "|\\p{N}{1,3}|" OTHERS
                 "[\\r\\n]*|(?<![\\t\\x{b}\\f\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
                 "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}])" LINES "|[" WS "]{512}(?![^" WS
                 "])|[" WS "]{256}(?![^" WS "])|[" WS "]{128}(?![^" WS "])|[" WS "]{64}(?![^" WS
                 "])|[" WS "]{32}(?![^" WS "])|[" WS "]{16}(?![^" WS "])|[" WS "]{8}(?![^" WS
                 "])|[" WS "]{4}(?![^" WS "])|[" WS "]{1,2}(?![^" WS "])|[" WS "]",
    NULL};
/* Words may go on over single blanks. */
static const char *const exaone_moe_rule[] = {
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*+(?: \\p{L}\\p{M}*+)*+)++|\\p{N}|" OTHERS
                 "[\\r\\n/]?|[" WS "]*[\\r\\n]|" BLANKS,
    NULL};
static const char *const chameleon_rule[] = {"<sentinel:[0-9]+>",
                                             "IMGIMG[A-I]{1,4}Z",
                                             "[\\t\\n]|    |  ",
                                             "\\p{N}",
                                             "[\\p{P}!-/:-@\\[-`{-~]",
                                             gpt2_text,
                                             NULL};
/* Published as \d{1,3}(?=(?:\d{3})*\b), which looks to the end of the run from each of its digits. */
static const char *const tiny_aya_rule[] = {SPLIT_THREES "(?<!\\d)\\d++(?!\\w)",
                                            LOWER_SUFFIX "|\\p{N}{1,3}" CASED_TAIL, NULL};
/* The second published as (?=(\d{3})+(?!\d)), likewise. */
static const char *const superbpe_rule[] = {"\\p{N}+", SPLIT_THREES "\\d++", NULL};
#define NO_HAN   "(?!\\p{Han})"
#define KIMI_UP  "(?:" NO_HAN UPPER ")"
#define KIMI_LOW "(?:" NO_HAN LOWER ")"
static const char *const kimi_rule[] = {"\\p{Han}+|" LEAD KIMI_UP "*" KIMI_LOW "+" CONTRACTIONS
                                        "?|" LEAD KIMI_UP "+" KIMI_LOW "*" CONTRACTIONS
                                        "?|\\p{N}{1,3}|" OTHERS "[\\r\\n]*|" LINES "|" BLANKS,
                                        NULL};
static const char *const afmoe_rule[] = {
    SPLIT_THREES "\\p{N}++",
    "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{309f}"
    "\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}\\x{e80}-\\x{eff}"
    "\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}\\x{ac00}-"
    "\\x{d7af}\\x{1100}-\\x{11ff}]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES "|" BLANKS,
    NULL};
static const char *const ufakzeka_rule[] = {WORD "|\\p{N}|" OTHERS "[\\r\\n]*|" LINES "|" BLANKS,
                                            NULL};
static const char *const lines_rule[] = {"[^\\n]+|[\\n]+", NULL};
static const char *const laguna_rule[] = {"[^\\n]+|[\\n]+", LLAMA3("\\p{N}"), NULL};

static const struct split_rule rules[] = {
    /* name, patterns, whole tokens first, BOS, form */
    {"default", default_rule, false, false, SPLIT_BYTES},
    {"gpt-2", gpt2_rule, false, false, SPLIT_BYTES},
    {"phi-2", gpt2_rule, false, false, SPLIT_BYTES},
    {"mpt", gpt2_rule, false, false, SPLIT_BYTES},
    {"olmo", gpt2_rule, false, false, SPLIT_BYTES},
    {"jais", gpt2_rule, false, false, SPLIT_BYTES},
    {"trillion", gpt2_rule, false, false, SPLIT_BYTES},
    {"granite-docling", gpt2_rule, false, false, SPLIT_BYTES},
    {"exaone4", gpt2_rule, false, false, SPLIT_BYTES},
    {"gigachat", gpt2_rule, false, false, SPLIT_BYTES},
    {"a.x-4.0", gpt2_rule, false, false, SPLIT_BYTES},
    {"mellum", gpt2_rule, false, false, SPLIT_BYTES},
    {"modern-bert", gpt2_rule, false, false, SPLIT_BYTES},
    {"jina-es", gpt2_rule, false, false, SPLIT_BYTES},
    {"jina-de", gpt2_rule, false, false, SPLIT_BYTES},
    {"jina-v1-en", gpt2_rule, false, false, SPLIT_BYTES},
    {"jina-v2-es", gpt2_rule, false, false, SPLIT_BYTES},
    {"jina-v2-de", gpt2_rule, false, false, SPLIT_BYTES},
    {"jina-v2-code", gpt2_rule, false, false, SPLIT_BYTES},
    {"roberta-bpe", gpt2_rule, false, false, SPLIT_BYTES},
    {"starcoder", digit_rule, false, false, SPLIT_BYTES},
    {"refact", digit_rule, false, false, SPLIT_BYTES},
    {"command-r", digit_rule, false, false, SPLIT_BYTES},
    {"smollm", digit_rule, false, false, SPLIT_BYTES},
    {"codeshell", digit_rule, false, false, SPLIT_BYTES},
    {"exaone", digit_rule, false, false, SPLIT_BYTES},
    {"minerva-7b", digit_rule, false, false, SPLIT_BYTES},
    {"mellum2", digit_rule, false, false, SPLIT_BYTES},
    {"falcon", falcon_rule, false, false, SPLIT_BYTES},
    {"llama-bpe", llama3_rule, true, true, SPLIT_BYTES},
    {"llama3", llama3_rule, true, true, SPLIT_BYTES},
    {"llama-v3", llama3_rule, true, true, SPLIT_BYTES},
    {"falcon3", llama3_rule, true, true, SPLIT_BYTES},
    {"falcon-h1", llama3_rule, true, true, SPLIT_BYTES},
    {"pixtral", llama3_rule, true, true, SPLIT_BYTES},
    {"midm-2.0", llama3_rule, true, true, SPLIT_BYTES},
    {"lfm2", llama3_rule, true, true, SPLIT_BYTES},
    {"jina-v5-nano", llama3_rule, true, true, SPLIT_BYTES},
    {"dbrx", llama3_rule, false, false, SPLIT_BYTES},
    {"smaug-bpe", llama3_rule, false, false, SPLIT_BYTES},
    {"glm4", llama3_rule, false, false, SPLIT_BYTES},
    {"chatglm-bpe", llama3_rule, false, false, SPLIT_BYTES},
    {"minicpm5", minicpm5_rule, true, false, SPLIT_BYTES},
    {"qwen2", qwen2_rule, false, false, SPLIT_BYTES},
    {"deepseek-r1-qwen", qwen2_rule, false, false, SPLIT_BYTES},
    {"megrez", qwen2_rule, false, false, SPLIT_BYTES},
    {"kormo", qwen2_rule, false, false, SPLIT_BYTES},
    {"f2llmv2", qwen2_rule, false, false, SPLIT_BYTES},
    {"stablelm2", qwen2_rule, false, false, SPLIT_BYTES},
    {"hunyuan", qwen2_rule, false, false, SPLIT_BYTES},
    {"solar-open", qwen2_rule, false, false, SPLIT_BYTES},
    {"grok-2", qwen2_rule, false, false, SPLIT_BYTES},
    {"qwen35", qwen35_rule, false, false, SPLIT_BYTES},
    {"longcat", longcat_rule, false, false, SPLIT_BYTES},
    {"gpt-4o", gpt4o_rule, false, false, SPLIT_BYTES},
    {"llama4", gpt4o_rule, false, false, SPLIT_BYTES},
    {"kanana2", gpt4o_rule, false, false, SPLIT_BYTES},
    {"talkie", gpt4o_rule, false, false, SPLIT_BYTES},
    {"granite-embed-multi-97m", gpt4o_rule, true, false, SPLIT_BYTES},
    {"minimax-m2", gpt4o_rule, false, false, SPLIT_BYTES},
    {"tekken", tekken_rule, true, true, SPLIT_BYTES},
    {"bailingmoe", bailing_rule, false, false, SPLIT_BYTES},
    {"bailingmoe2", bailing_rule, false, false, SPLIT_BYTES},
    {"llada-moe", bailing_rule, false, false, SPLIT_BYTES},
    {"seed-coder", seed_rule, false, false, SPLIT_BYTES},
    {"bloom", bloom_rule, false, false, SPLIT_BYTES},
    {"poro-chat", bloom_rule, false, false, SPLIT_BYTES},
    {"gpt3-finnish", bloom_rule, false, false, SPLIT_BYTES},
    {"viking", viking_rule, false, false, SPLIT_BYTES},
    {"deepseek-llm", deepseek_llm_rule, false, false, SPLIT_BYTES},
    {"deepseek-coder", deepseek_coder_rule, false, false, SPLIT_BYTES},
    {"deepseek-v3", deepseek3_rule, false, false, SPLIT_BYTES},
    {"hunyuan-dense", deepseek3_rule, false, false, SPLIT_BYTES},
    {"joyai-llm", deepseek3_rule, false, false, SPLIT_BYTES},
    {"hy_v4", deepseek3_rule, false, false, SPLIT_BYTES},
    {"spark2_5", spark_rule, false, false, SPLIT_BYTES},
    {"youtu", youtu_rule, true, false, SPLIT_BYTES},
    {"jais-2", jais2_rule, false, false, SPLIT_BYTES},
    {"exaone-moe", exaone_moe_rule, false, false, SPLIT_BYTES},
    {"chameleon", chameleon_rule, false, true, SPLIT_BYTES},
    {"tiny_aya", tiny_aya_rule, false, false, SPLIT_BYTES},
    {"cohere2moe", tiny_aya_rule, false, false, SPLIT_BYTES},
    {"superbpe", superbpe_rule, false, false, SPLIT_BYTES},
    {"kimi-k2", kimi_rule, false, false, SPLIT_BYTES},
    {"afmoe", afmoe_rule, false, false, SPLIT_BYTES},
    {"ufakzeka", ufakzeka_rule, false, false, SPLIT_BYTES},
    {"laguna", laguna_rule, false, false, SPLIT_BYTES},
    {"gemma4", lines_rule, false, true, SPLIT_NEWLINES},
    {"granite-embed-multi-311m", lines_rule, false, true, SPLIT_NEWLINES},
    {"sarvam-moe", lines_rule, false, false, SPLIT_CHARS},
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
