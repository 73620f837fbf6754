/*
 * template/methods_class.c - methods of str that ask what its characters are: isdigit, isupper, ...
 */
#include "eval.h"
#include "unicode.h"

#include "base/banned.h"

#define TEXT(v)  ((v)->u.string.text)
#define BYTES(v) ((v)->u.string.bytes)

static bool is_alnum(uint32_t code)
{
    return template_code_is_alpha(code) || template_code_is_numeric(code) ||
           template_code_is_digit(code);
}

static bool is_ascii(uint32_t code)
{
    return code < 0x80;
}

/* All characters are of the class; empty_is where there is none. */
static struct template_value *all_of(struct eval *ev, const struct template_value *self,
                                     bool (*is)(uint32_t), bool empty_is)
{
    size_t bytes = 0;
    bool all = BYTES(self) > 0 || empty_is;
    for (size_t at = 0; at < BYTES(self) && all; at += bytes)
        all = is(template_char_code(TEXT(self) + at, BYTES(self) - at, &bytes));
    return template_step(ev, BYTES(self) / 8) ? template_bool(ev->values, all) : NULL;
}

#define CLASS_METHOD(name, is, empty_is)                                                           \
    static struct template_value *name(struct eval *ev, struct template_value *self,               \
                                       const struct call_args *args)                               \
    {                                                                                              \
        (void)args;                                                                                \
        return all_of(ev, self, is, empty_is);                                                     \
    }

CLASS_METHOD(str_isalpha, template_code_is_alpha, false)
CLASS_METHOD(str_isdigit, template_code_is_digit, false)
CLASS_METHOD(str_isdecimal, template_code_is_decimal, false)
CLASS_METHOD(str_isnumeric, template_code_is_numeric, false)
CLASS_METHOD(str_isalnum, is_alnum, false)
CLASS_METHOD(str_isspace, template_code_is_space, false)
CLASS_METHOD(str_isascii, is_ascii, true)
CLASS_METHOD(str_isprintable, template_code_is_printable, true)

/* Has cased characters, and none of the other case. */
static struct template_value *one_case(struct eval *ev, const struct template_value *self,
                                       bool upper)
{
    size_t bytes = 0;
    bool cased = false;
    if (!template_step(ev, BYTES(self) / 8))
        return NULL;
    for (size_t at = 0; at < BYTES(self); at += bytes) {
        uint32_t code = template_char_code(TEXT(self) + at, BYTES(self) - at, &bytes);
        bool fits = upper ? template_code_is_upper(code) : template_code_is_lower(code);
        if (!fits && template_code_is_cased(code))
            return template_bool(ev->values, false);
        cased = cased || fits;
    }
    return template_bool(ev->values, cased);
}

static struct template_value *str_isupper(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)args;
    return one_case(ev, self, true);
}

static struct template_value *str_islower(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)args;
    return one_case(ev, self, false);
}

static struct template_value *str_istitle(struct eval *ev, struct template_value *self,
                                          const struct call_args *args)
{
    (void)args;
    size_t bytes = 0;
    bool in_word = false;
    bool cased = false;
    if (!template_step(ev, BYTES(self) / 8))
        return NULL;
    for (size_t at = 0; at < BYTES(self); at += bytes) {
        uint32_t code = template_char_code(TEXT(self) + at, BYTES(self) - at, &bytes);
        bool upper = template_code_is_cased(code) && !template_code_is_lower(code);
        if (upper ? in_word : template_code_is_lower(code) && !in_word)
            return template_bool(ev->values, false);
        in_word = template_code_is_cased(code);
        cased = cased || in_word;
    }
    return template_bool(ev->values, cased);
}

/* A name: begins with a letter or an underscore. */
static struct template_value *str_isidentifier(struct eval *ev, struct template_value *self,
                                               const struct call_args *args)
{
    (void)args;
    size_t bytes = 0;
    bool is = BYTES(self) > 0;
    if (!template_step(ev, BYTES(self) / 8))
        return NULL;
    for (size_t at = 0; at < BYTES(self) && is; at += bytes) {
        uint32_t code = template_char_code(TEXT(self) + at, BYTES(self) - at, &bytes);
        is = code == '_' || template_code_is_alpha(code) ||
             (at > 0 && template_code_is_decimal(code));
    }
    return template_bool(ev->values, is);
}

static const struct builtin rows[] = {
    {"isalpha", str_isalpha, "", 0, false},     {"isdigit", str_isdigit, "", 0, false},
    {"isdecimal", str_isdecimal, "", 0, false}, {"isnumeric", str_isnumeric, "", 0, false},
    {"isalnum", str_isalnum, "", 0, false},     {"isspace", str_isspace, "", 0, false},
    {"isascii", str_isascii, "", 0, false},     {"isprintable", str_isprintable, "", 0, false},
    {"isupper", str_isupper, "", 0, false},     {"islower", str_islower, "", 0, false},
    {"istitle", str_istitle, "", 0, false},     {"isidentifier", str_isidentifier, "", 0, false},
};

const struct builtin_table template_methods_string_class = BUILTIN_TABLE(rows);
