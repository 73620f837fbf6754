/*
 * Expectations about whole answers, by path and as stream events, with what was asked in the message.
 *
 *     EXPECT(&live, "/v1/completions", body, 200, {"choices.0.text", "ab"}, {"usage.prompt_tokens", "3"});
 */
#ifndef CHECK_H
#define CHECK_H

#include "live.h"

/* path of the JSON answer (json_at), expected text */
struct expect {
    const char *path, *text;
};

/* headers as in live_send. */
void check_ask(struct live *live, const char *path, const char *headers, const char *body,
               int status, const struct expect *rows, size_t n);

/* Each event from its "choices" on, or whole where it has none. */
void check_events(struct live *live, const char *path, const char *body, const char *const *want,
                  size_t n_want);

#define EXPECT_WITH(live, path, headers, body, status, ...)                                        \
    do {                                                                                           \
        static const struct expect rows[] = {__VA_ARGS__};                                         \
        check_ask(live, path, headers, body, status, rows, sizeof rows / sizeof rows[0]);          \
    } while (0)

#define EXPECT(live, path, body, status, ...) EXPECT_WITH(live, path, "", body, status, __VA_ARGS__)

#define EVENTS(live, path, body, ...)                                                              \
    do {                                                                                           \
        static const char *const want[] = {__VA_ARGS__};                                           \
        check_events(live, path, body, want, sizeof want / sizeof want[0]);                        \
    } while (0)

#define CHAT       "/v1/chat/completions"
#define COMPLETION "/v1/completions"

/* A chat of one message; more: further fields, each with its comma. Static storage. */
const char *chat_body(const char *content, const char *more);

/* Calls that are left after giving them a moment to end. */
uint32_t calls_left(struct live *live);

#endif
