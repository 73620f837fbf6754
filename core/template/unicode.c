/*
 * template/unicode.c - see unicode.h.
 */
#include "unicode.h"

#include <base/utf8.h>

#ifdef PL_HAVE_UTF8PROC
#include <utf8proc.h>
#endif

#include "base/banned.h"

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0u) == 0x80u;
}

size_t template_char_bytes(const char *s, size_t n)
{
    size_t i = 1;
    while (i < n && is_continuation(s[i]))
        i++;
    return i;
}

uint32_t template_char_code(const char *s, size_t n, size_t *ret_bytes)
{
    if ((unsigned char)s[0] < 0x80 && (n == 1 || !is_continuation(s[1]))) {
        *ret_bytes = 1;
        return (unsigned char)s[0];
    }
    size_t bytes = template_char_bytes(s, n);
    uint32_t code = 0;
    size_t used = 0;
    enum utf8_result result = utf8_decode(s, bytes, &code, &used);
    *ret_bytes = bytes;
    return result == UTF8_OK && used == bytes ? code : TEMPLATE_NO_CODE;
}

size_t template_char_before(const char *s, size_t n)
{
    size_t i = n - 1;
    while (i > 0 && is_continuation(s[i]))
        i--;
    return i;
}

size_t template_char_count(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += !is_continuation(s[i]);
    /* continuation bytes at the very start belong to one unit of their own */
    return count + (n > 0 && is_continuation(s[0]));
}

bool template_code_is_space(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
           code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool template_code_is_line_end(uint32_t code)
{
    return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
           code == 0x2028 || code == 0x2029;
}

/* ---- properties ------------------------------------------------------------------------------ */

#ifdef PL_HAVE_UTF8PROC

static utf8proc_category_t category(uint32_t code)
{
    return code > 0x10FFFF ? UTF8PROC_CATEGORY_CN : utf8proc_category((utf8proc_int32_t)code);
}

bool template_code_is_printable(uint32_t code)
{
    if (code == ' ')
        return true;
    utf8proc_category_t c = category(code);
    return c != UTF8PROC_CATEGORY_CN && c != UTF8PROC_CATEGORY_CC && c != UTF8PROC_CATEGORY_CF &&
           c != UTF8PROC_CATEGORY_CS && c != UTF8PROC_CATEGORY_CO && c != UTF8PROC_CATEGORY_ZS &&
           c != UTF8PROC_CATEGORY_ZL && c != UTF8PROC_CATEGORY_ZP;
}

bool template_code_is_alpha(uint32_t code)
{
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool template_code_is_decimal(uint32_t code)
{
    return category(code) == UTF8PROC_CATEGORY_ND;
}

bool template_code_is_numeric(uint32_t code)
{
    utf8proc_category_t c = category(code);
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

static bool is_other_lower(uint32_t code)
{
    return code == 0xAA || code == 0xBA || (code >= 0x2B0 && code <= 0x2B8) || code == 0x2C0 ||
           code == 0x2C1 || (code >= 0x2E0 && code <= 0x2E4) ||
           (code >= 0x1D2C && code <= 0x1D6A) || code == 0x2071 || code == 0x207F ||
           (code >= 0x2090 && code <= 0x209C) || (code >= 0x2170 && code <= 0x217F) ||
           (code >= 0x24D0 && code <= 0x24E9);
}

bool template_code_is_lower(uint32_t code)
{
    return category(code) == UTF8PROC_CATEGORY_LL || is_other_lower(code);
}

bool template_code_is_upper(uint32_t code)
{
    return category(code) == UTF8PROC_CATEGORY_LU || (code >= 0x2160 && code <= 0x216F) ||
           (code >= 0x24B6 && code <= 0x24CF);
}

bool template_code_is_cased(uint32_t code)
{
    return template_code_is_lower(code) || template_code_is_upper(code) ||
           category(code) == UTF8PROC_CATEGORY_LT;
}

static uint32_t simple_upper(uint32_t code)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)code);
}

static uint32_t simple_title(uint32_t code)
{
    return (uint32_t)utf8proc_totitle((utf8proc_int32_t)code);
}

static uint32_t simple_lower(uint32_t code)
{
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

size_t template_code_to_folded(uint32_t code, uint32_t ret[TEMPLATE_CASE_MAX])
{
    utf8proc_int32_t folded[TEMPLATE_CASE_MAX];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)code, folded, TEMPLATE_CASE_MAX,
                                                 UTF8PROC_CASEFOLD, &boundary);
    if (n < 1 || n > TEMPLATE_CASE_MAX) {
        ret[0] = code;
        return 1;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++)
        ret[i] = (uint32_t)folded[i];
    return (size_t)n;
}

#else

bool template_code_is_printable(uint32_t code)
{
    return (code >= 0x20 && code < 0x7F) ||
           (code > 0xA0 && code != 0xAD && code <= 0x10FFFF && !template_code_is_space(code) &&
            (code < 0x200B || code > 0x200F) && (code < 0x202A || code > 0x202E) &&
            (code < 0xD800 || code > 0xF8FF) && code != 0xFEFF);
}

bool template_code_is_alpha(uint32_t code)
{
    return (code | 0x20u) - 'a' < 26u;
}

bool template_code_is_decimal(uint32_t code)
{
    return code - '0' < 10u;
}

bool template_code_is_numeric(uint32_t code)
{
    return template_code_is_digit(code);
}

bool template_code_is_lower(uint32_t code)
{
    return code - 'a' < 26u;
}

bool template_code_is_upper(uint32_t code)
{
    return code - 'A' < 26u;
}

bool template_code_is_cased(uint32_t code)
{
    return template_code_is_alpha(code);
}

static uint32_t simple_upper(uint32_t code)
{
    return code - 'a' < 26u ? code - 32 : code;
}

static uint32_t simple_title(uint32_t code)
{
    return simple_upper(code);
}

static uint32_t simple_lower(uint32_t code)
{
    return code - 'A' < 26u ? code + 32 : code;
}

size_t template_code_to_folded(uint32_t code, uint32_t ret[TEMPLATE_CASE_MAX])
{
    return template_code_to_lower(code, ret);
}

#endif

bool template_code_is_digit(uint32_t code)
{
    return template_code_is_decimal(code) || code == 0xB2 || code == 0xB3 || code == 0xB9 ||
           code == 0x2070 || (code >= 0x2074 && code <= 0x2079) ||
           (code >= 0x2080 && code <= 0x2089) || (code >= 0x2460 && code <= 0x2468) ||
           (code >= 0x2474 && code <= 0x247C) || (code >= 0x2488 && code <= 0x2490);
}

unsigned template_code_decimal(uint32_t code)
{
    if (code < 0x80)
        return code - '0' < 10u ? code - '0' : 10;
    if (!template_code_is_decimal(code))
        return 10;
    if (code >= 0x1D7CE && code <= 0x1D7FF)
        return (code - 0x1D7CE) % 10; /* mathematical digits: five runs without a gap */
    unsigned value = 0;               /* else digits come in aligned runs of ten */
    while (value < 9 && template_code_is_decimal(code - value - 1))
        value++;
    return value;
}

/* ---- case mapping ---------------------------------------------------------------------------- */

/* Characters whose upper case is longer (Unicode SpecialCasing.txt, unconditional part, without the
 * Greek letters with iota subscript). */
struct special_case {
    uint32_t code;
    uint32_t upper[TEMPLATE_CASE_MAX];
    uint32_t title[TEMPLATE_CASE_MAX];
};

static const struct special_case special_cases[] = {
    {0x00DF, {'S', 'S'}, {'S', 's'}},
    {0x0149, {0x02BC, 'N'}, {0x02BC, 'N'}},
    {0x01F0, {'J', 0x030C}, {'J', 0x030C}},
    {0x0390, {0x0399, 0x0308, 0x0301}, {0x0399, 0x0308, 0x0301}},
    {0x03B0, {0x03A5, 0x0308, 0x0301}, {0x03A5, 0x0308, 0x0301}},
    {0x0587, {0x0535, 0x0552}, {0x0535, 0x0582}},
    {0x1E96, {'H', 0x0331}, {'H', 0x0331}},
    {0x1E97, {'T', 0x0308}, {'T', 0x0308}},
    {0x1E98, {'W', 0x030A}, {'W', 0x030A}},
    {0x1E99, {'Y', 0x030A}, {'Y', 0x030A}},
    {0x1E9A, {'A', 0x02BE}, {'A', 0x02BE}},
    {0xFB00, {'F', 'F'}, {'F', 'f'}},
    {0xFB01, {'F', 'I'}, {'F', 'i'}},
    {0xFB02, {'F', 'L'}, {'F', 'l'}},
    {0xFB03, {'F', 'F', 'I'}, {'F', 'f', 'i'}},
    {0xFB04, {'F', 'F', 'L'}, {'F', 'f', 'l'}},
    {0xFB05, {'S', 'T'}, {'S', 't'}},
    {0xFB06, {'S', 'T'}, {'S', 't'}},
};

static const struct special_case *find_special(uint32_t code)
{
    if (code < 0xDF)
        return NULL;
    for (size_t i = 0; i < PL_ARRAY_LEN(special_cases); i++)
        if (special_cases[i].code == code)
            return &special_cases[i];
    return NULL;
}

static size_t copy_special(const uint32_t from[TEMPLATE_CASE_MAX], uint32_t ret[TEMPLATE_CASE_MAX])
{
    size_t n = 0;
    while (n < TEMPLATE_CASE_MAX && from[n] != 0) {
        ret[n] = from[n];
        n++;
    }
    return n;
}

size_t template_code_to_upper(uint32_t code, uint32_t ret[TEMPLATE_CASE_MAX])
{
    const struct special_case *special = find_special(code);
    if (special != NULL)
        return copy_special(special->upper, ret);
    ret[0] = simple_upper(code);
    return 1;
}

size_t template_code_to_title(uint32_t code, uint32_t ret[TEMPLATE_CASE_MAX])
{
    const struct special_case *special = find_special(code);
    if (special != NULL)
        return copy_special(special->title, ret);
    ret[0] = simple_title(code);
    return 1;
}

size_t template_code_to_lower(uint32_t code, uint32_t ret[TEMPLATE_CASE_MAX])
{
    if (code == 0x0130) { /* I with dot above: the one whose lower case is longer */
        ret[0] = 'i';
        ret[1] = 0x0307;
        return 2;
    }
    ret[0] = simple_lower(code);
    return 1;
}
