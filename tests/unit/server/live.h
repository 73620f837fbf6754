/*
 * A running server over the fake engine, and a plain blocking client, for tests of whole answers.
 *
 * The loop runs on a thread of its own; live_on_loop runs a function there and waits for it.
 */
#ifndef LIVE_H
#define LIVE_H

#include "fake_engine.h"
#include "server.h"

#include <json-c/json.h>

struct live {
    struct http_loop *loop;
    struct http_server *http;
    struct server *server;
    struct engine *engine; /* NULL: still loading */
    const char *unix_path; /* NULL: TCP */
    pthread_t thread;
};

/* engine: taken over; NULL for a server that stays loading. */
void live_open(struct live *live, struct engine *engine);
/* With these options (names are filled in) at an address of http/address.h; the text must stay. */
void live_open_with(struct live *live, struct engine *engine, const struct server_options *with,
                    const char *address);
void live_close(struct live *live);
void live_on_loop(struct live *live, void (*fn)(struct live *live));

/* A connected socket that has sent this request; headers end with \r\n each, "" for none. */
int live_send(struct live *live, const char *method, const char *path, const char *headers,
              const char *body);

struct reply {
    char *text; /* the whole answer, NUL-terminated; body points into it; chunks already joined */
    char *body;
    int status;
};

/* Sends and reads to the end. */
struct reply live_ask(struct live *live, const char *method, const char *path, const char *body);
/* Reads what is left on a socket and closes it. */
struct reply live_read(int fd);
void reply_free(struct reply *reply);

/* The body as JSON, which the caller puts back; fails the test if it is none. */
struct json_object *reply_json(const struct reply *reply);
/* data: lines of a stream, "[DONE]" included. */
int reply_events(const struct reply *reply, char **ret, int max);

/* The text at a path like "choices.0.message.content"; "" if there is none; JSON text of non-strings. */
const char *json_at(struct json_object *json, const char *path);

#endif
