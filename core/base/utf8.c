/* See utf8.h. */
#include "utf8.h"

#include "banned.h"

/* For a lead byte: length and the permitted range of the second byte (table 3-7). */
static size_t lead_info(unsigned char b, unsigned char *ret_lo, unsigned char *ret_hi)
{
    *ret_lo = 0x80;
    *ret_hi = 0xBF;
    if (b < 0x80)
        return 1;
    if (b >= 0xC2 && b <= 0xDF)
        return 2;
    if (b >= 0xE0 && b <= 0xEF) {
        if (b == 0xE0)
            *ret_lo = 0xA0;
        if (b == 0xED)
            *ret_hi = 0x9F;
        return 3;
    }
    if (b >= 0xF0 && b <= 0xF4) {
        if (b == 0xF0)
            *ret_lo = 0x90;
        if (b == 0xF4)
            *ret_hi = 0x8F;
        return 4;
    }
    return 0;
}

enum utf8_result utf8_decode(const char *s, size_t n, uint32_t *ret_code, size_t *ret_bytes)
{
    unsigned char lo;
    unsigned char hi;
    unsigned char lead = (unsigned char)s[0];
    size_t need = lead_info(lead, &lo, &hi);
    *ret_code = UTF8_REPLACEMENT;
    *ret_bytes = 1;
    if (need == 0)
        return UTF8_INVALID;
    if (need == 1) {
        *ret_code = lead;
        return UTF8_OK;
    }
    uint32_t code = lead & (0x7Fu >> need);
    for (size_t i = 1; i < need; i++) {
        *ret_bytes = i;
        if (i == n)
            return UTF8_INCOMPLETE;
        unsigned char b = (unsigned char)s[i];
        if (b < lo || b > hi)
            return UTF8_INVALID;
        lo = 0x80;
        hi = 0xBF;
        code = (code << 6) | (b & 0x3Fu);
    }
    *ret_bytes = need;
    *ret_code = code;
    return UTF8_OK;
}

size_t utf8_encode(uint32_t code, char ret[UTF8_MAX_BYTES])
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        code = UTF8_REPLACEMENT;
    if (code < 0x80) {
        ret[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        ret[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    ret[0] = (char)(marks[n] | code);
    return n;
}

bool utf8_valid(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t code;
        size_t bytes;
        if (utf8_decode(s + i, n - i, &code, &bytes) != UTF8_OK)
            return false;
        i += bytes;
    }
    return true;
}

size_t utf8_complete_prefix(const char *s, size_t n)
{
    for (size_t back = 1; back < UTF8_MAX_BYTES && back <= n; back++) {
        uint32_t code;
        size_t bytes;
        if (((unsigned char)s[n - back] & 0xC0) == 0x80)
            continue; /* a continuation byte: the lead lies further back */
        if (utf8_decode(s + n - back, back, &code, &bytes) == UTF8_INCOMPLETE)
            return n - back;
        break;
    }
    return n;
}
