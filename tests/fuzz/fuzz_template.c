/*
 * fuzz_template.c - libFuzzer target of the template room: a hostile template over a small conversation.
 *
 * Looks for memory errors, hangs, and output beyond its bound.
 */
#include "template/template.h"
#include "template/template_limits.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct template_value *text(struct template_values *values, const char *s)
{
    return template_string(values, s, strlen(s));
}

static bool add_message(struct template_values *values, struct template_value *list,
                        const char *role, const char *content)
{
    struct template_value *message = template_dict(values);
    return template_dict_set(values, message, "role", 4, text(values, role)) &&
           template_dict_set(values, message, "content", 7, text(values, content)) &&
           template_list_add(values, list, message);
}

static struct template_value *make_globals(struct template_values *values)
{
    struct template_value *globals = template_dict(values);
    struct template_value *messages = template_list(values);
    bool ok = add_message(values, messages, "system", "Be brief.") &&
              add_message(values, messages, "user", "Gr\xC3\xBC\xC3\x9F dich \xF0\x9F\x8E\x89") &&
              add_message(values, messages, "assistant", "<b>1 + 1 = 2</b>\n") &&
              template_dict_set(values, globals, "messages", 8, messages) &&
              template_dict_set(values, globals, "tools", 5, template_none(values)) &&
              template_dict_set(values, globals, "n", 1, template_int(values, 42)) &&
              template_dict_set(values, globals, "f", 1, template_float(values, 2.5)) &&
              template_dict_set(values, globals, "add_generation_prompt", 21,
                                template_bool(values, true)) &&
              template_dict_set(values, globals, "bos_token", 9, text(values, "<s>"));
    return ok ? globals : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct template *tmpl = NULL;
    struct template_values *values = NULL;
    if (template_parse((const char *)bytes, n, &tmpl, NULL) != PL_OK)
        return 0;
    if (template_values_new(&values, NULL) == PL_OK) {
        struct template_context context = {.globals = make_globals(values),
                                           .now_unix_s = 1773500966};
        char *out = NULL;
        size_t out_n = 0;
        if (template_render(tmpl, values, &context, &out, &out_n, NULL) == PL_OK)
            PL_CHECK(out_n <= TEMPLATE_OUTPUT_BYTES_MAX && out[out_n] == '\0');
        free(out);
    }
    template_values_free(values);
    template_free(tmpl);
    return 0;
}
