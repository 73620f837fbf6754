/* See transfer.h. */
#define CURL_DISABLE_TYPECHECK 1 /* its checks are for direct calls */
#include "transfer.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <polder/version.h>

#include "base/banned.h"

#define CONNECT_TIMEOUT_S 20L
#define BUFFER_BYTES      (512L * 1024) /* libcurl's most */
#define REDIRECT_BODY_MAX 65536         /* bytes: a page for people, where there is one */

/* The functions that are used, by name. */
#define CURL_LIST(X)                                                                               \
    X(global_init)                                                                                 \
    X(easy_init)                                                                                   \
    X(easy_cleanup)                                                                                \
    X(easy_reset)                                                                                  \
    X(easy_setopt)                                                                                 \
    X(easy_perform)                                                                                \
    X(easy_getinfo)                                                                                \
    X(easy_strerror)                                                                               \
    X(slist_append)                                                                                \
    X(slist_free_all)

#undef curl_easy_setopt
#undef curl_easy_getinfo

struct curl_table {
#define X(name) __typeof__(&curl_##name) name;
    CURL_LIST(X)
#undef X
};

struct transfer {
    struct transfer_options options;
    struct curl_table curl;
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    /* of the running request */
    const struct transfer_request *request;
    struct answer answer;
    bool answered; /* the headers of a final answer are complete */
    bool wanted;   /* ... and its body is */
    bool stopped;
    size_t swallowed; /* bytes of a redirect's body */
};

/* ---- the library --------------------------------------------------------------------------------- */

static enum pl_status load(struct curl_table *table, struct pl_error *err)
{
    static const char *const FILES[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    void *library = NULL;
    for (size_t i = 0; library == NULL && i < PL_ARRAY_LEN(FILES); i++)
        library = dlopen(FILES[i], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return pl_error_set(err, PL_ENOTSUP,
                            "downloading needs libcurl, which is not on this machine: install "
                            "libcurl4 (Debian, Ubuntu) or libcurl (Fedora)");
    const struct {
        const char *name;
        void *slot;
    } SLOTS[] = {
#define X(name) {"curl_" #name, &table->name},
        CURL_LIST(X)
#undef X
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(SLOTS); i++) {
        void *symbol = dlsym(library, SLOTS[i].name);
        if (symbol == NULL)
            return pl_error_set(err, PL_ENOTSUP, "the libcurl of this machine has no %s",
                                SLOTS[i].name);
        memcpy(SLOTS[i].slot, &symbol, sizeof symbol); /* POSIX: pointers have one size */
    }
    if (table->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return pl_error_set(err, PL_EIO, "libcurl cannot start");
    return PL_OK;
}

enum pl_status transfer_open(const struct transfer_options *options, struct transfer **ret,
                             struct pl_error *err)
{
    struct transfer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return pl_error_set(err, PL_ENOMEM, "out of memory");
    t->options = *options;
    enum pl_status status = load(&t->curl, err);
    if (status == PL_OK) {
        t->easy = t->curl.easy_init();
        if (t->easy == NULL)
            status = pl_error_set(err, PL_ENOMEM, "out of memory");
    }
    if (status != PL_OK) {
        transfer_close(t);
        return status;
    }
    *ret = t;
    return PL_OK;
}

void transfer_close(struct transfer *t)
{
    if (t == NULL)
        return;
    if (t->easy != NULL)
        t->curl.easy_cleanup(t->easy);
    free(t); /* the library stays: unloading one that may have left hooks behind gains nothing */
}

/* ---- callbacks ----------------------------------------------------------------------------------- */

static bool is_redirect(const struct transfer *t)
{
    return t->answered && !t->wanted && t->answer.status / 100 == 3;
}

/* One line; the empty one ends the headers of an answer (1xx and a proxy's own are not the last). */
static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    size_t bytes = size * n;
    bool empty = bytes == 0 || line[0] == '\r' || line[0] == '\n';
    if (!empty) {
        answer_take_line(&t->answer, line, bytes);
        return bytes;
    }
    if (t->answer.status < 200 || t->answered)
        return bytes;
    t->answered = true;
    t->wanted = t->request->on_answer(t->request->user, &t->answer);
    if (is_redirect(t)) /* the library tells the location only after the whole answer */
        return bytes;
    return t->wanted ? bytes : bytes + 1; /* any other number ends the transfer */
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    if (is_redirect(t)) {
        t->swallowed += size * n;
        return t->swallowed <= REDIRECT_BODY_MAX ? size * n : size * n + 1;
    }
    if (!t->answered || !t->wanted)
        return size * n + 1;
    t->stopped = !t->request->on_body(t->request->user, bytes, size * n);
    return t->stopped ? size * n + 1 : size * n;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    struct transfer *t = user;
    (void)total, (void)now, (void)up_total, (void)up_now;
    if (!t->request->on_tick(t->request->user))
        t->stopped = true;
    return t->stopped ? 1 : 0;
}

/* ---- one request --------------------------------------------------------------------------------- */

static bool add_header(struct transfer *t, struct curl_slist **list, const char *name,
                       const char *value)
{
    size_t cap = strlen(name) + strlen(value) + 1;
    char *line = malloc(cap);
    if (line == NULL)
        return false;
    (void)snprintf(line, cap, "%s%s", name, value);
    struct curl_slist *longer = t->curl.slist_append(*list, line);
    explicit_bzero(line, cap);
    free(line);
    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

static bool add_headers(struct transfer *t, const struct transfer_request *r,
                        struct curl_slist **list)
{
    bool good = add_header(t, list, "Accept-Encoding: ", "identity"); /* bytes as they are kept */
    if (good && r->token != NULL)
        good = add_header(t, list, "Authorization: Bearer ", r->token);
    if (good && r->offset > 0 && r->if_range[0] != '\0')
        good = add_header(t, list, "If-Range: ", r->if_range);
    return good;
}

/* What an option's absence in an older library would cost is checked elsewhere: URLs by fetch/url.h. */
static void set_options(struct transfer *t, const struct transfer_request *r,
                        struct curl_slist *headers)
{
    CURL *e = t->easy;
    __typeof__(t->curl.easy_setopt) set = t->curl.easy_setopt;
    char range[32];
    t->curl.easy_reset(e);
    (void)set(e, CURLOPT_URL, r->url);
    (void)set(e, CURLOPT_HTTPHEADER, headers);
    (void)set(e, CURLOPT_USERAGENT, "polder/" PL_VERSION);
    (void)set(e, CURLOPT_ERRORBUFFER, t->error);
    (void)set(e, CURLOPT_HEADERFUNCTION, on_header);
    (void)set(e, CURLOPT_HEADERDATA, t);
    (void)set(e, CURLOPT_WRITEFUNCTION, on_body);
    (void)set(e, CURLOPT_WRITEDATA, t);
    (void)set(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)set(e, CURLOPT_XFERINFODATA, t);
    (void)set(e, CURLOPT_NOPROGRESS, 0L);
    (void)set(e, CURLOPT_FOLLOWLOCATION, 0L);
    (void)set(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void)set(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* the token is not for the proxy */
#if LIBCURL_VERSION_NUM >= 0x075500
    (void)set(e, CURLOPT_PROTOCOLS_STR, "http,https");
#endif
    (void)set(e, CURLOPT_NOSIGNAL, 1L);
    (void)set(e, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)set(e, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    (void)set(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)set(e, CURLOPT_LOW_SPEED_TIME, (long)t->options.stall_s);
    (void)set(e, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    if (r->offset > 0) {
        (void)snprintf(range, sizeof range, "%llu-", (unsigned long long)r->offset);
        (void)set(e, CURLOPT_RANGE, range);
    }
    if (t->options.proxy != NULL)
        (void)set(e, CURLOPT_PROXY, t->options.proxy);
    if (t->options.ca_file != NULL)
        (void)set(e, CURLOPT_CAINFO, t->options.ca_file);
}

static bool connected(struct transfer *t)
{
    curl_off_t us = 0;
    return t->curl.easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &us) == CURLE_OK && us > 0;
}

static enum transfer_end end_of(struct transfer *t, CURLcode code)
{
    long proxy_code = 0;
    if (t->stopped)
        return TRANSFER_STOPPED;
    if (code == CURLE_OK || (t->answered && !t->wanted && !is_redirect(t)))
        return TRANSFER_DONE;
    (void)t->curl.easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_code);
    if (proxy_code >= 400 && proxy_code < 500)
        return TRANSFER_REFUSED;
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
    case CURLE_SSL_CONNECT_ERROR: return TRANSFER_UNREACHABLE;
    case CURLE_OPERATION_TIMEDOUT: return connected(t) ? TRANSFER_BROKEN : TRANSFER_UNREACHABLE;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR: return TRANSFER_REFUSED;
    default: return TRANSFER_BROKEN;
    }
}

/* The library's text, one line, without the URL's query (it does not print those). */
static void explain(struct transfer *t, CURLcode code, struct transfer_result *result)
{
    const char *text = t->error[0] != '\0' ? t->error : t->curl.easy_strerror(code);
    if (code == CURLE_OPERATION_TIMEDOUT && connected(t))
        (void)snprintf(result->why, sizeof result->why, "no data for %u s", t->options.stall_s);
    else
        (void)snprintf(result->why, sizeof result->why, "%.*s", (int)strcspn(text, "\r\n"), text);
}

static void take_result(struct transfer *t, CURLcode code, struct transfer_result *result)
{
    curl_off_t wait_s = 0;
    const char *location = NULL;
    *result = (struct transfer_result){.answer = t->answer, .retry_after_s = -1};
    result->end = end_of(t, code);
    if (result->end != TRANSFER_DONE && result->end != TRANSFER_STOPPED)
        explain(t, code, result);
    if (t->curl.easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait_s) == CURLE_OK && wait_s > 0)
        result->retry_after_s = wait_s;
    if (t->curl.easy_getinfo(t->easy, CURLINFO_REDIRECT_URL, &location) == CURLE_OK &&
        location != NULL)
        result->location = strdup(location);
}

enum pl_status transfer_run(struct transfer *t, const struct transfer_request *request,
                            struct transfer_result *ret, struct pl_error *err)
{
    struct curl_slist *headers = NULL;
    if (!add_headers(t, request, &headers)) {
        t->curl.slist_free_all(headers);
        return pl_error_set(err, PL_ENOMEM, "out of memory");
    }
    t->request = request;
    t->answer = (struct answer){0};
    t->answered = t->wanted = t->stopped = false;
    t->swallowed = 0;
    t->error[0] = '\0';
    set_options(t, request, headers);
    CURLcode code = t->curl.easy_perform(t->easy);
    take_result(t, code, ret);
    t->curl.slist_free_all(headers);
    return PL_OK;
}
