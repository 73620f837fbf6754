/* core/fetch: URLs, sources and file names, good ones and those that mean harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "source.h"
#include "base/banned.h"

static void takes_urls_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *path;
        bool tls, loopback;
        uint16_t port;
    } ROWS[] = {
        {"http://Example.ORG/a/b?c#d", "example.org", "/a/b?c", false, false, 80},
        {"HTTPS://h", "h", "", true, false, 443},
        {"https://h:8443/", "h", "/", true, false, 8443},
        {"https://h:?q", "h", "?q", true, false, 443},
        {"http://[::1]:99/x", "[::1]", "/x", false, true, 99},
        {"http://[2001:db8::1]/x", "[2001:db8::1]", "/x", false, false, 80},
        {"http://localhost/x", "localhost", "/x", false, true, 80},
        {"http://127.0.0.1/x", "127.0.0.1", "/x", false, true, 80},
        {"http://127.255.1.9/x", "127.255.1.9", "/x", false, true, 80},
        {"http://127.1/x", "127.1", "/x", false, false, 80},
        {"http://127.0.0.1.nip.io/x", "127.0.0.1.nip.io", "/x", false, false, 80},
        {"http://127.0.0.256/x", "127.0.0.256", "/x", false, false, 80},
        {"http://127.0.0.01/x", "127.0.0.01", "/x", false, false, 80},
        {"http://127.0.0./x", "127.0.0.", "/x", false, false, 80},
        {"http://127.0.0.1./x", "127.0.0.1.", "/x", false, false, 80},
        {"http://128.0.0.1/x", "128.0.0.1", "/x", false, false, 80},
        {"http://localhost.example/x", "localhost.example", "/x", false, false, 80},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct url url;
        struct pl_error err;
        assert_int_equal(url_parse(ROWS[i].text, &url, &err), PL_OK);
        assert_string_equal(url.host, ROWS[i].host);
        assert_string_equal(url.text + url.path, ROWS[i].path);
        assert_int_equal(url.tls, ROWS[i].tls);
        assert_int_equal(url.port, ROWS[i].port);
        assert_int_equal(url_is_loopback(&url), ROWS[i].loopback);
    }
}

static void refuses_urls_that_two_parsers_could_read_differently(void **state)
{
    (void)state;
    static const char *const ROWS[] = {
        "",
        "http:",
        "http:/h",
        "http:///p",
        "http://",
        "ftp://h/",
        "file:///x",
        "javascript:x",
        "http://u@h/",
        "http://u:p@h/",
        "http://127.0.0.1@evil/",
        "http://h\\evil/",
        "http://h /",
        "http://h/a b",
        "http://h/\n",
        "http://h/\x7f",
        "http://h\xc3\xa4/",
        "http://h:0/",
        "http://h:65536/",
        "http://h:1x/",
        "http://[::1/",
        "http://[]/",
        "http://[::1]x/",
        "http://h%2f/",
        "http://h;x/",
        "http://h\"/",
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct url url;
        struct pl_error err = {""};
        assert_int_equal(url_parse(ROWS[i], &url, &err), PL_EINVAL);
        assert_true(err.msg[0] != '\0');
    }
    char *text = malloc(URL_MAX + 1);
    struct url *url = malloc(sizeof *url);
    struct pl_error err;
    assert_non_null(text);
    assert_non_null(url);
    memset(text, 'a', URL_MAX);
    memcpy(text, "http://h/", 9);
    text[URL_MAX] = '\0';
    assert_int_equal(url_parse(text, url, &err), PL_EINVAL);
    text[URL_MAX - 1] = '\0';
    assert_int_equal(url_parse(text, url, &err), PL_OK);
    free(text);
    free(url);
}

static void an_origin_is_scheme_host_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } ROWS[] = {
        {"https://h/a", "https://H:443/b", true},          {"https://h/", "http://h/", false},
        {"https://h/", "https://h:444/", false},           {"https://h/", "https://h.evil/", false},
        {"http://localhost/", "http://127.0.0.1/", false},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct url a, b;
        struct pl_error err;
        assert_int_equal(url_parse(ROWS[i].a, &a, &err), PL_OK);
        assert_int_equal(url_parse(ROWS[i].b, &b, &err), PL_OK);
        assert_int_equal(url_same_origin(&a, &b), ROWS[i].same);
    }
}

static void names_are_cleaned(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* "": nothing is left */
    } ROWS[] = {
        {"model.gguf", "model.gguf"},
        {"../../etc/passwd", "passwd"},
        {"..\\..\\win.ini", "win.ini"},
        {"/", ""},
        {"..", ""},
        {"a/..", ""},
        {".hidden", "hidden"},
        {"--x", "x"},
        {". -.x", "x"},
        {"a b\tc\n", "a_b_c_"},
        {"n\xc3\xa4me", "n__me"},
        {"x;rm -rf ~", "x_rm_-rf__"},
        {"a%2fb", "a_2fb"},
        {"Q4_K_M-v1.0+x=y", "Q4_K_M-v1.0+x=y"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        char got[NAME_FILE_MAX + 1];
        assert_int_equal(name_clean(ROWS[i].text, got), ROWS[i].want[0] != '\0');
        assert_string_equal(got, ROWS[i].want);
        assert_int_equal(name_is_clean(ROWS[i].text),
                         strcmp(ROWS[i].text, ROWS[i].want) == 0 && ROWS[i].want[0] != '\0');
    }
    char longest[NAME_FILE_MAX + 2], got[NAME_FILE_MAX + 1];
    memset(longest, 'a', sizeof longest);
    longest[NAME_FILE_MAX + 1] = '\0';
    assert_false(name_clean(longest, got));
    longest[NAME_FILE_MAX] = '\0';
    assert_true(name_clean(longest, got));
}

static void shards_are_told_by_their_names(void **state)
{
    (void)state;
    static const struct {
        const char *file, *model;
        uint32_t no, count; /* 0: no shard */
    } ROWS[] = {
        {"big-00002-of-00003.gguf", "big", 2, 3},
        {"big-00001-of-00001.gguf", "big", 1, 1},
        {"big-00003-of-00002.gguf", "big-00003-of-00002", 0, 0},
        {"big-00000-of-00002.gguf", "big-00000-of-00002", 0, 0},
        {"big-0001-of-00002.gguf", "big-0001-of-00002", 0, 0},
        {"big-00001-of-99999.gguf", "big-00001-of-99999", 0, 0},
        {"-00001-of-00002.gguf", "-00001-of-00002", 0, 0},
        {"big-00001-of-00002.bin", "big-00001-of-00002.bin", 0, 0},
        {"dir/small.GGUF", "small", 0, 0},
        {"x.gguf.gguf", "x.gguf", 0, 0},
        {".gguf", ".gguf", 0, 0},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct name_shard shard = {0};
        char model[NAME_FILE_MAX + 1];
        assert_int_equal(name_parse_shard(ROWS[i].file, &shard), ROWS[i].no != 0);
        assert_int_equal(shard.no, ROWS[i].no);
        assert_int_equal(shard.count, ROWS[i].count);
        name_of_model(ROWS[i].file, model);
        assert_string_equal(model, ROWS[i].model);
    }
}

static void file_names_of_dispositions_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *value, *want;
    } ROWS[] = {
        {"attachment; filename=\"a b.gguf\"", "a b.gguf"},
        {"attachment; filename=a.gguf; size=5", "a.gguf"},
        {"attachment;FileName = x; filename=a.gguf", "a.gguf"},
        {"attachment; filename=\"a\\\"b\"", "a\"b"},
        {"attachment; filename*=utf-8'en'%e4%bd%a0.gguf; filename=b", "\xe4\xbd\xa0.gguf"},
        {"attachment; filename*=broken; filename=b", "b"},
        {"attachment", ""},
        {"", ""},
        {"; filename=", ""},
        {"; filename=\"open", "open"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        char got[64];
        name_of_disposition(ROWS[i].value, got, sizeof got);
        assert_string_equal(got, ROWS[i].want);
    }
}

static void sources_become_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *url, *file;
        uint32_t n_files, no;
    } ROWS[] = {
        {"hf:o/r/m.gguf", "https://hub/o/r/resolve/main/m.gguf", "m.gguf", 1, 1},
        {"hf:o/r/m.gguf@v1.2", "https://hub/o/r/resolve/v1.2/m.gguf", "m.gguf", 1, 1},
        {"hf:o/r/q/4 b/m.gguf@a/b", "https://hub/o/r/resolve/a%2Fb/q/4%20b/m.gguf", "m.gguf", 1, 1},
        {"hf:o/r/m-00001-of-00003.gguf@x", "https://hub/o/r/resolve/x/m-00003-of-00003.gguf",
         "m-00003-of-00003.gguf", 3, 3},
        {"https://h/p/m-00002-of-00003.gguf?k=1", "https://h/p/m-00001-of-00003.gguf?k=1",
         "m-00001-of-00003.gguf", 3, 1},
        {"https://h/p%2Fm.gguf?x.gguf", "https://h/p%2Fm.gguf?x.gguf", "m.gguf", 1, 1},
        {"https://h/download?m.gguf", "https://h/download?m.gguf", "", 1, 1},
        {"https://h", "https://h", "", 1, 1},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct source source;
        struct url url;
        struct pl_error err = {""};
        char file[NAME_FILE_MAX + 1];
        assert_int_equal(source_parse(ROWS[i].text, "https://hub//", &source, &err), PL_OK);
        assert_int_equal(source_n_files(&source), ROWS[i].n_files);
        assert_int_equal(source_url(&source, ROWS[i].no, NULL, &url, &err), PL_OK);
        assert_string_equal(url.text, ROWS[i].url);
        assert_int_equal(source_file(&source, ROWS[i].no, NULL, file, &err), PL_OK);
        assert_string_equal(file, ROWS[i].file);
    }
}

static void sources_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const ROWS[] = {
        "hf:",
        "hf:o",
        "hf:o/r",
        "hf:o/r/",
        "hf:/r/m.gguf",
        "hf:o//m.gguf",
        "hf:o/r/../m.gguf",
        "hf:../r/m.gguf",
        "hf:o/r/m.gguf@",
        "hf:o/r/m.gguf@..",
        "hf:o/r/m.txt",
        "hf:o/r/a b.gguf",
        "hf:o r/r/m.gguf",
        "hf:o/r/.m.gguf",
        "m.gguf",
        "/etc/passwd",
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(ROWS); i++) {
        struct source source;
        struct pl_error err = {""};
        assert_int_equal(source_parse(ROWS[i], SOURCE_ENDPOINT, &source, &err), PL_EINVAL);
        assert_true(err.msg[0] != '\0');
    }
    struct source source;
    struct pl_error err;
    assert_int_equal(source_parse("hf:o/r/m.gguf", "nonsense", &source, &err), PL_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_urls_apart),
        cmocka_unit_test(refuses_urls_that_two_parsers_could_read_differently),
        cmocka_unit_test(an_origin_is_scheme_host_and_port),
        cmocka_unit_test(names_are_cleaned),
        cmocka_unit_test(shards_are_told_by_their_names),
        cmocka_unit_test(file_names_of_dispositions_are_found),
        cmocka_unit_test(sources_become_addresses),
        cmocka_unit_test(sources_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
