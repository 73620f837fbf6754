/*
 * hello.c - the smallest server: answers every request with 66 bytes of JSON, a short stream under /sse,
 * or one that stays open under /hold.
 *
 * For measuring the loop (wrk) and for trying it by hand: http_hello [ADDRESS]. Prints its port.
 */
#include "http/server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

static const char body[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"stories260K\",\"object\":\"model\"}]} \n";

static void on_request(void *user, struct http_exchange *x)
{
    (void)user;
    bool hold = http_exchange_is(x, "GET", "/hold");
    if (!hold && !http_exchange_is(x, "GET", "/sse")) {
        http_respond_json(x, 200, body, sizeof body - 1);
        return;
    }
    if (http_sse_begin(x, NULL, 0) != PL_OK) {
        http_stream_abort(x);
        return;
    }
    for (int i = 0; i < 3; i++)
        if (http_sse_write(x, "{\"n\":1}", 7) != PL_OK)
            break;
    if (!hold)
        http_stream_end(x);
}

static void on_stop(void *user, int signo)
{
    (void)signo;
    http_loop_stop(user);
}

static int serve(struct http_loop *loop, const char *address, struct pl_error *err)
{
    struct http_server_options options = {.on_request = on_request};
    struct http_server *server = NULL;
    enum pl_status status = http_server_open(loop, &options, &server, err);
    if (status == PL_OK)
        status = http_server_listen(server, address, err);
    if (status == PL_OK)
        status = http_loop_on_signal(loop, SIGTERM, on_stop, loop, err);
    if (status == PL_OK) {
        printf("%u\n", http_server_port(server));
        (void)fflush(stdout);
        status = http_loop_run(loop, err);
    }
    http_server_close(server);
    return status == PL_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct pl_error err = {.msg = ""};
    struct http_loop *loop = NULL;
    int code = 1;
    if (http_loop_open(&loop, &err) == PL_OK)
        code = serve(loop, argc > 1 ? argv[1] : "127.0.0.1:0", &err);
    if (code != 0)
        fprintf(stderr, "http_hello: %s\n", err.msg);
    http_loop_close(loop);
    return code;
}
