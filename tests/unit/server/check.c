/* See check.h. */
#include "test.h"

#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/banned.h"

const char *chat_body(const char *content, const char *more)
{
    static char body[4096];
    (void)snprintf(body, sizeof body,
                   "{\"model\":\"fake\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s}",
                   content, more);
    return body;
}

static void check_json(struct json_object *json, const struct expect *rows, size_t n,
                       const char *body)
{
    for (size_t i = 0; i < n; i++) {
        const char *got = json_at(json, rows[i].path);
        if (strcmp(got, rows[i].text) != 0)
            fail_msg("%s: got '%s', want '%s' in %s", rows[i].path, got, rows[i].text, body);
    }
}

void check_ask(struct live *live, const char *path, const char *headers, const char *body,
               int status, const struct expect *rows, size_t n)
{
    struct reply reply = live_read(live_send(live, "POST", path, headers, body));
    if (reply.status != status)
        fail_msg("%.400s: status %d, want %d: %s", body, reply.status, status, reply.body);
    struct json_object *json = reply_json(&reply);
    check_json(json, rows, n, reply.body);
    json_object_put(json);
    reply_free(&reply);
}

void check_events(struct live *live, const char *path, const char *body, const char *const *want,
                  size_t n_want)
{
    struct reply reply = live_ask(live, "POST", path, body);
    char *events[64];
    int n = reply_events(&reply, events, 64);
    for (int i = 0; i < n; i++) { /* drop what differs from run to run */
        char *id = strstr(events[i], "\"id\":\""), *object = strstr(events[i], "\"object\":");
        char *created = strstr(events[i], "\"created\":"), *model = strstr(events[i], "\"model\":");
        char *choices = strstr(events[i], "\"choices\":");
        if (id == NULL || object == NULL || created == NULL || model == NULL || choices == NULL)
            continue;
        memmove(events[i], choices, strlen(choices) + 1);
    }
    for (size_t i = 0; i < n_want && (int)i < n; i++) {
        if (strcmp(events[i], want[i]) != 0)
            fail_msg("event %zu: got %s, want %s", i, events[i], want[i]);
    }
    assert_int_equal(n, n_want);
    reply_free(&reply);
}

static uint32_t n_calls;

static void count_calls(struct live *l)
{
    n_calls = server_n_calls(l->server);
}

uint32_t calls_left(struct live *live)
{
    for (int i = 0; i < 500; i++) {
        live_on_loop(live, count_calls);
        if (n_calls == 0)
            break;
        (void)usleep(10000);
    }
    return n_calls;
}
