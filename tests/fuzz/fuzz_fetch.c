/*
 * fuzz_fetch.c - libFuzzer target of what core/fetch takes from users, servers and its own records.
 *
 * The first byte picks the parser. Besides memory errors it looks for a URL that libcurl reads differently
 * (another host, port or scheme), for an unsafe file name, and for a record that changes when it is
 * written and read again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#ifdef FUZZ_WITH_CURL
#include <curl/curl.h>
#endif

#include "base/check.h"
#include "info.h"
#include "source.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#ifdef FUZZ_WITH_CURL
static void check_with_curl(const struct url *url)
{
    CURLU *handle = curl_url();
    char *host = NULL, *port = NULL, *scheme = NULL, *user = NULL;
    PL_CHECK(handle != NULL);
    if (curl_url_set(handle, CURLUPART_URL, url->text, 0) ==
        CURLUE_OK) { /* else nothing is fetched */
        PL_CHECK(curl_url_get(handle, CURLUPART_HOST, &host, 0) == CURLUE_OK);
        PL_CHECK(curl_url_get(handle, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK);
        PL_CHECK(curl_url_get(handle, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK);
        PL_CHECK(curl_url_get(handle, CURLUPART_USER, &user, 0) != CURLUE_OK);
        char want[8];
        (void)snprintf(want, sizeof want, "%u", url->port);
        PL_CHECK(strcmp(port, want) == 0);
        PL_CHECK(strcasecmp(scheme, url->tls ? "https" : "http") == 0);
        /* It normalises some spellings of addresses (127.1 to 127.0.0.1): what is loopback here must be
         * so there, not the other way round. */
        PL_CHECK(strcasecmp(host, url->host) == 0 || !url_is_loopback(url));
        curl_free(host);
        curl_free(port);
        curl_free(scheme);
    }
    curl_url_cleanup(handle);
}
#else
static void check_with_curl(const struct url *url)
{
    (void)url;
}
#endif

static void try_url(const char *text)
{
    struct url url, again;
    struct pl_error err;
    char shown[URL_MAX];
    if (url_parse(text, &url, &err) != PL_OK)
        return;
    PL_CHECK(url.path <= strlen(url.text));
    PL_CHECK(url_parse(url.text, &again, &err) == PL_OK && url_same_origin(&url, &again));
    url_shown(&url, shown);
    PL_CHECK(strchr(shown, '?') == NULL);
    check_with_curl(&url);
}

static void check_name(const char *name)
{
    PL_CHECK(name[0] != '\0' && name[0] != '.' && name[0] != '-');
    PL_CHECK(strlen(name) <= NAME_FILE_MAX && strpbrk(name, "/\\ \n\"'$`;&|<>*?") == NULL);
    PL_CHECK(name_is_clean(name));
}

static void try_name(const char *text)
{
    char name[NAME_FILE_MAX + 1], model[NAME_FILE_MAX + 1], given[256];
    if (name_clean(text, name)) {
        check_name(name);
        name_of_model(name, model);
    }
    name_of_disposition(text, given, sizeof given);
    if (name_clean(given, name))
        check_name(name);
}

static void try_source(const char *text)
{
    struct source source;
    struct url url;
    struct pl_error err;
    char file[NAME_FILE_MAX + 1];
    if (source_parse(text, SOURCE_ENDPOINT, &source, &err) != PL_OK)
        return;
    uint32_t n = source_n_files(&source);
    PL_CHECK(n >= 1 && n <= NAME_SHARDS_MAX);
    for (uint32_t no = 1; no <= n; no += n > 1 ? n - 1 : 1) {
        if (source_url(&source, no, NULL, &url, &err) == PL_OK)
            PL_CHECK(url_same_origin(&url, &source.base));
        if (source_file(&source, no, NULL, file, &err) == PL_OK && file[0] != '\0')
            check_name(file);
    }
}

static void try_answer(const char *text, size_t n)
{
    struct answer answer = {0};
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t line = end != NULL ? (size_t)(end - text) + 1 - at : n - at;
        answer_take_line(&answer, text + at, line);
        at += line;
    }
    struct answer_request request = {
        .offset = n % 7, .has_size = n % 2 == 0, .size = 10, .etag = "\"a\""};
    enum answer_verdict verdict = answer_judge(&answer, &request);
    if (verdict == ANSWER_TAKE && request.offset > 0) /* never appended at another place */
        PL_CHECK(answer.status == 206 && answer.has_range && answer.first == request.offset);
}

static void try_info(const char *text, size_t n)
{
    static char path[64];
    static struct info info, again;
    struct pl_error err;
    if (path[0] == '\0')
        (void)snprintf(path, sizeof path, "/tmp/polder-fuzz-info-%d", (int)getpid());
    FILE *file = fopen(path, "w");
    PL_CHECK(file != NULL);
    (void)fwrite(text, 1, n, file);
    (void)fclose(file);
    if (info_read(path, &info, &err) == PL_OK && info_write(path, &info, &err) == PL_OK) {
        PL_CHECK(info_read(path, &again, &err) == PL_OK);
        PL_CHECK(info.size == again.size && info.bytes == again.bytes);
        PL_CHECK(strcmp(info.sha256, again.sha256) == 0);
    }
    (void)unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 1 || n > 20000)
        return 0;
    char *text = malloc(n);
    PL_CHECK(text != NULL);
    memcpy(text, bytes + 1, n - 1);
    text[n - 1] = '\0';
    if (bytes[0] % 16 == 4) { /* seldom: it writes files */
        try_info(text, n - 1);
    } else {
        static void (*const TRY[])(const char *text) = {try_url, try_name, try_source};
        if (bytes[0] % 4 < 3)
            TRY[bytes[0] % 4](text);
        else
            try_answer(text, n - 1);
    }
    free(text);
    return 0;
}
