/* Large bodies are read beside the loop: same answers, short ones are not held up, whoever leaves is let go. */
#include "test.h"

#include "check.h"
#include "server_limits.h"

#include <pthread.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/banned.h"

#define PADDING ((size_t)64 << 10) /* well beyond what is read on the loop */

static struct live live;

static int open_live(void **state)
{
    (void)state;
    live_open(&live, fake_engine_open(NULL, false));
    return 0;
}

static int close_live(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

/* The body with a field of `bytes` that nobody reads. For the caller to free. */
static char *padded(const char *body, size_t bytes)
{
    struct buf out;
    buf_init(&out, 0);
    buf_append(&out, body, strlen(body) - 1);
    buf_str(&out, ",\"pad\":\"");
    for (size_t i = 0; i < bytes; i++)
        buf_char(&out, 'x');
    buf_str(&out, "\"}");
    char *text = buf_take(&out);
    assert_non_null(text);
    return text;
}

static int send_padded(struct live *l, const char *path, const char *body)
{
    char *text = padded(body, PADDING);
    int fd = live_send(l, "POST", path, "", text);
    free(text);
    return fd;
}

#define GATED      "{\"prompt\":\"gated\",\"max_tokens\":2}"
#define GATED_HANG "{\"prompt\":\"gated hang\"}"

static uint32_t n_preparing;

static void count_preparing(struct live *l)
{
    n_preparing = server_n_calls(l->server);
}

static void wait_preparing(struct live *l, uint32_t n)
{
    for (int i = 0; i < 1000; i++) {
        live_on_loop(l, count_preparing);
        if (n_preparing == n)
            return;
        (void)usleep(2000);
    }
    fail_msg("%u calls inside, want %u", n_preparing, n);
}

static void large_bodies_get_the_same_answers(void **state)
{
    (void)state;
    static const struct {
        const char *path, *body;
        int status;
    } ROWS[] = {
        {COMPLETION, "{\"prompt\":[\"abc\",\"xyz\"],\"max_tokens\":3,\"n\":2,\"echo\":true}", 200},
        {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"abc\"}],\"max_tokens\":3}", 200},
        {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"busy\"}]}", 429},
        {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", 400},
        {CHAT, "{\"model\":\"nope\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", 404},
        {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"late\"}]}", 504},
        {COMPLETION, "{\"prompt\":[1,2,999]}", 400},
        {COMPLETION, "{\"prompt\":\"a\",\"priority\":1}", 400},
        {"/tokenize", "{\"content\":\"hi\",\"with_pieces\":true}", 200},
        {"/tokenize", "{\"content\":5}", 400},
        {"/detokenize", "{\"tokens\":[104,105]}", 200},
        {"/apply-template", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", 200},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct reply small = live_ask(&live, "POST", ROWS[i].path, ROWS[i].body);
        struct reply large = live_read(send_padded(&live, ROWS[i].path, ROWS[i].body));
        assert_int_equal(small.status, ROWS[i].status);
        assert_int_equal(large.status, ROWS[i].status);
        /* all but the answer's id and time is alike */
        char *a = strstr(small.body, "\"model\":"), *b = strstr(large.body, "\"model\":");
        assert_string_equal(a != NULL ? a : small.body, b != NULL ? b : large.body);
        reply_free(&small);
        reply_free(&large);
    }
    assert_int_equal(calls_left(&live), 0);
}

static void a_large_body_that_is_no_json_is_400(void **state)
{
    (void)state;
    char *body = padded("{}", PADDING); /* {,"pad" */
    struct reply reply = live_ask(&live, "POST", CHAT, body);
    assert_int_equal(reply.status, 400);
    assert_non_null(strstr(reply.body, "body is not valid JSON"));
    reply_free(&reply);
    free(body);
}

static void short_calls_are_not_held_up(void **state)
{
    (void)state;
    fake_gate_close();
    int large = send_padded(&live, COMPLETION, GATED);
    wait_preparing(&live, 1);
    int stream = live_send(&live, "POST", COMPLETION, "",
                           "{\"prompt\":\"abc\",\"max_tokens\":50,\"stream\":true}");
    struct reply reply = live_read(stream);
    assert_non_null(strstr(reply.body, "data: [DONE]"));
    reply_free(&reply);
    reply = live_ask(&live, "GET", "/metrics", "");
    assert_non_null(strstr(reply.body, "polder:calls_preparing{model_name=\"fake\"} 1\n"));
    reply_free(&reply);
    fake_gate_open();
    reply = live_read(large);
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, "\"text\":\"ga\""));
    reply_free(&reply);
    assert_int_equal(calls_left(&live), 0);
}

static void a_client_that_leaves_meanwhile_is_forgotten(void **state)
{
    (void)state;
    uint32_t before = fake_engine_cancels();
    fake_gate_close();
    int first = send_padded(&live, COMPLETION, GATED_HANG);
    int second = send_padded(&live, COMPLETION, GATED_HANG);
    int third = send_padded(&live, "/tokenize", "{\"content\":\"gated\"}");
    wait_preparing(&live, 3);
    (void)close(first);
    (void)close(second);
    (void)close(third);
    (void)usleep(50000);
    fake_gate_open();
    assert_int_equal(calls_left(&live), 0);
    assert_int_equal(fake_engine_cancels() - before, 0); /* never submitted */
    /* after it was submitted the call is cancelled as any other */
    int late = send_padded(&live, COMPLETION, GATED_HANG);
    wait_preparing(&live, 1);
    (void)usleep(50000);
    (void)close(late);
    assert_int_equal(calls_left(&live), 0);
    assert_int_equal(fake_engine_cancels() - before, 1);
}

static unsigned long queue_full(void)
{
    static const char LINE[] = "reason=\"queue_full\"} ";
    struct reply reply = live_ask(&live, "GET", "/metrics", "");
    const char *at = strstr(reply.body, LINE);
    assert_non_null(at);
    unsigned long n = strtoul(at + sizeof LINE - 1, NULL, 10);
    reply_free(&reply);
    return n;
}

static void too_many_large_bodies_are_429(void **state)
{
    (void)state;
    enum { N = SERVER_WORK_MAX + 4 };
    static int fds[N];
    int n_refused = 0, n_done = 0;
    unsigned long before = queue_full();
    fake_gate_close();
    fds[0] = send_padded(&live, COMPLETION, GATED);
    wait_preparing(&live, 1);
    (void)usleep(20000); /* it is with the thread now */
    for (int i = 1; i < N; i++)
        fds[i] = send_padded(&live, COMPLETION, GATED);
    for (int i = 0; i < 1000 && queue_full() < before + 3; i++)
        (void)usleep(2000);
    fake_gate_open();
    for (int i = 0; i < N; i++) {
        struct reply reply = live_read(fds[i]);
        n_done += reply.status == 200;
        if (reply.status == 429) {
            n_refused++;
            assert_non_null(strstr(reply.body, "\"code\":\"queue_full\""));
            assert_non_null(strcasestr(reply.text, "\r\nRetry-After: 1\r\n"));
        }
        reply_free(&reply);
    }
    assert_int_equal(n_refused, 3);
    assert_int_equal(n_done, N - 3);
    assert_int_equal(calls_left(&live), 0);
}

static void drain(struct live *l)
{
    server_drain(l->server);
}

static void draining_refuses_what_is_not_inside_yet(void **state)
{
    (void)state;
    struct live draining;
    live_open(&draining, fake_engine_open(NULL, false));
    fake_gate_close();
    int fd = send_padded(&draining, COMPLETION, GATED);
    wait_preparing(&draining, 1);
    live_on_loop(&draining, drain);
    fake_gate_open();
    struct reply reply = live_read(fd);
    assert_int_equal(reply.status, 503);
    assert_non_null(strstr(reply.body, "shutting down"));
    reply_free(&reply);
    live_close(&draining);
}

static void *open_soon(void *user)
{
    (void)user;
    (void)usleep(50000);
    fake_gate_open();
    return NULL;
}

static void closing_with_large_bodies_inside_leaks_nothing(void **state)
{
    (void)state;
    struct live closing;
    int fds[5];
    pthread_t opener;
    live_open(&closing, fake_engine_open(NULL, false));
    fake_gate_close();
    for (size_t i = 0; i < PL_ARRAY_LEN(fds); i++)
        fds[i] = send_padded(&closing, i % 2 == 0 ? COMPLETION : "/tokenize",
                             i % 2 == 0 ? GATED_HANG : "{\"content\":\"gated\"}");
    wait_preparing(&closing, 5);
    assert_int_equal(pthread_create(&opener, NULL, open_soon, NULL), 0);
    live_close(&closing);
    (void)pthread_join(opener, NULL);
    for (size_t i = 0; i < PL_ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
}

static void without_a_thread_all_is_done_on_the_loop(void **state)
{
    (void)state;
    struct live single;
    live_open_with(&single, fake_engine_open(NULL, false),
                   &(struct server_options){.single_thread = true}, "127.0.0.1:0");
    struct reply reply = live_read(send_padded(&single, COMPLETION, GATED));
    assert_int_equal(reply.status, 200);
    reply_free(&reply);
    live_close(&single);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_bodies_get_the_same_answers),
        cmocka_unit_test(a_large_body_that_is_no_json_is_400),
        cmocka_unit_test(short_calls_are_not_held_up),
        cmocka_unit_test(a_client_that_leaves_meanwhile_is_forgotten),
        cmocka_unit_test(too_many_large_bodies_are_429),
        cmocka_unit_test(draining_refuses_what_is_not_inside_yet),
        cmocka_unit_test(closing_with_large_bodies_inside_leaks_nothing),
        cmocka_unit_test(without_a_thread_all_is_done_on_the_loop),
    };
    return cmocka_run_group_tests(tests, open_live, close_live);
}
