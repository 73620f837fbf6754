/* core/gguf: what is in a file is found again; what is wrong with one is refused in one line. */
#include "gguf/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "fault.h"
#include "gguf_bytes.h"

#include "base/file.h"
#include "base/banned.h"

static const uint64_t dims_8[] = {8};
static const uint64_t dims_32x2[] = {32, 2};

/* ---- a small valid file ---------------------------------------------------------------------- */

static void make_small(struct gguf_bytes *b, uint32_t version)
{
    gguf_bytes_begin(b, version, 2, 6);
    gguf_bytes_key(b, "general.architecture", GGUF_STRING);
    gguf_bytes_str(b, "llama");
    gguf_bytes_key(b, "a.u32", GGUF_U32);
    gguf_bytes_u32(b, 7);
    gguf_bytes_key(b, "a.i64", GGUF_I64);
    gguf_bytes_u64(b, (uint64_t)-5);
    gguf_bytes_key(b, "a.f32", GGUF_F32);
    gguf_bytes_f32(b, 0.5f);
    gguf_bytes_key(b, "a.bool", GGUF_BOOL);
    buf_char(&b->out, 1);
    gguf_bytes_array(b, "a.strings", GGUF_STRING, 2);
    gguf_bytes_str(b, "one");
    gguf_bytes_str(b, "");
    gguf_bytes_tensor(b, "a.weight", 1, dims_8, PL_DTYPE_F32, 0);
    gguf_bytes_tensor(b, "b.weight", 2, dims_32x2, PL_DTYPE_Q8_0, 32);
    gguf_bytes_data(b, 32, 32 + 68);
}

static void check_small(const struct gguf *file)
{
    uint32_t u32 = 0;
    double f64 = 0;
    bool flag = false;
    struct gguf_str text = {0};
    struct pl_error err = {""};
    assert_int_equal(gguf_n_kv(file), 6);
    assert_int_equal(gguf_n_tensors(file), 2);
    assert_int_equal(gguf_get_u32(file, "a.u32", &u32, &err), PL_OK);
    assert_int_equal(u32, 7);
    assert_int_equal(gguf_get_u32(file, "a.i64", &u32, &err), PL_EFORMAT);
    assert_string_equal(err.msg, "gguf: key 'a.i64' is -5, expected 0 to 4294967295");
    assert_int_equal(gguf_get_u32(file, "a.bool", &u32, &err), PL_EFORMAT);
    assert_int_equal(gguf_get_u32(file, "a.none", &u32, &err), PL_ENOENT);
    assert_int_equal(u32, 7);
    assert_int_equal(gguf_get_f64(file, "a.f32", &f64, &err), PL_OK);
    assert_true(f64 == 0.5);
    assert_int_equal(gguf_get_f64(file, "a.i64", &f64, &err), PL_OK);
    assert_true(f64 == -5);
    assert_int_equal(gguf_get_f64(file, "general.architecture", &f64, &err), PL_EFORMAT);
    assert_int_equal(gguf_get_bool(file, "a.bool", &flag, &err), PL_OK);
    assert_true(flag);
    assert_int_equal(gguf_get_bool(file, "a.u32", &flag, &err), PL_EFORMAT);
    assert_int_equal(gguf_get_str(file, "general.architecture", &text, &err), PL_OK);
    assert_int_equal(text.len, 5);
    assert_memory_equal(text.data, "llama", 5);
    assert_int_equal(gguf_get_str(file, "a.strings", &text, &err), PL_EFORMAT);
    assert_string_equal(err.msg, "gguf: key 'a.strings' is an array of string, expected a string");
    const struct gguf_kv *kv = gguf_find(file, "a.strings");
    assert_int_equal(kv->n_elems, 2);
    assert_int_equal(kv->strings[0].len, 3);
    assert_int_equal(kv->strings[1].len, 0);
    assert_int_equal(gguf_elem_i64(gguf_find(file, "a.i64"), 0), -5);

    const struct gguf_tensor *t = gguf_find_tensor(file, "b.weight");
    assert_non_null(t);
    assert_ptr_equal(t, gguf_tensor_at(file, 1));
    assert_string_equal(t->name_text, "b.weight");
    assert_int_equal(t->bytes, 68);
    assert_int_equal(t->dims[0], 32);
    assert_int_equal(t->dims[1], 2);
    assert_int_equal(t->dims[2], 1);
    assert_int_equal(t->data[0], 32);
    assert_int_equal(t->data[67], 99);
    assert_null(gguf_find_tensor(file, "b.weigh"));
    gguf_release_tensor(file, t);
    assert_int_equal(t->data[67], 99);
}

static void finds_what_a_file_holds(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct gguf_bytes b;
        struct gguf *file = NULL;
        struct pl_error err = {""};
        make_small(&b, version);
        assert_int_equal(gguf_open(gguf_bytes_path(&b), &file, &err), PL_OK);
        assert_int_equal(gguf_version(file), version);
        assert_int_equal(gguf_file_bytes(file), b.out.len);
        check_small(file);
        gguf_close(file);
        gguf_bytes_end(&b);
    }
}

static void reads_numbers_of_every_type(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *bytes;
        size_t n;
        int64_t value;
    } rows[] = {
        {GGUF_U8, "\xFE", 1, 254},
        {GGUF_I8, "\xFE", 1, -2},
        {GGUF_U16, "\xFE\xFF", 2, 65534},
        {GGUF_I16, "\xFE\xFF", 2, -2},
        {GGUF_U32, "\xFE\xFF\xFF\xFF", 4, 4294967294},
        {GGUF_I32, "\xFE\xFF\xFF\xFF", 4, -2},
        {GGUF_F32, "\0\0\x20\xC0", 4, -2},
        {GGUF_U64, "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8, INT64_MAX},
        {GGUF_I64, "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8, -2},
        {GGUF_F64, "\0\0\0\0\0\0\x08\xC0", 8, -3},
        {GGUF_F64, "\0\0\0\0\0\0\xF0\x7F", 8, INT64_MAX}, /* infinite */
        {GGUF_F64, "\0\0\0\0\0\0\xF8\x7F", 8, 0},         /* not a number */
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct gguf_bytes b;
        struct gguf *file = NULL;
        gguf_bytes_begin(&b, 3, 0, 1);
        gguf_bytes_array(&b, "k", rows[i].type, 2);
        buf_append(&b.out, rows[i].bytes, rows[i].n);
        buf_append(&b.out, rows[i].bytes, rows[i].n);
        assert_int_equal(gguf_open(gguf_bytes_path(&b), &file, NULL), PL_OK);
        int64_t got = gguf_elem_i64(gguf_find(file, "k"), 1);
        if (got != rows[i].value)
            fail_msg("row %zu: %lld, expected %lld", i, (long long)got, (long long)rows[i].value);
        gguf_close(file);
        gguf_bytes_end(&b);
    }
}

/* n values, alternately 0 and 1, or "" and "odd". */
static void put_array(struct gguf_bytes *b, uint32_t type, uint64_t n)
{
    static const size_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    gguf_bytes_array(b, "k", type, n);
    for (uint64_t i = 0; i < n; i++) {
        char value[8] = {(char)(i & 1)};
        if (type == GGUF_STRING)
            gguf_bytes_str(b, i % 2 == 0 ? "" : "odd");
        else
            buf_append(&b->out, value, bytes[type]);
    }
}

static void check_array(const struct gguf_kv *kv, uint32_t type, uint64_t n)
{
    bool integer = type != GGUF_F32 && type != GGUF_F64;
    assert_int_equal(kv->type, GGUF_ARRAY);
    assert_int_equal(kv->elem_type, type);
    assert_int_equal(kv->n_elems, n);
    for (uint64_t i = 0; i < n; i += 9999) {
        if (type == GGUF_STRING)
            assert_int_equal(kv->strings[i].len, i % 2 == 0 ? 0 : 3);
        else if (integer)
            assert_int_equal(gguf_elem_i64(kv, i), i & 1);
        else
            assert_true(gguf_elem_f64(kv, i) < 1e-40);
    }
}

static void arrays_of_every_type_may_be_empty_or_long(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0, 1, 70001}; /* odd: what follows is unaligned */
    for (size_t row = 0; row < 13 * PL_ARRAY_LEN(lengths); row++) {
        uint32_t type = (uint32_t)(row % 13);
        uint64_t n = lengths[row / 13];
        struct gguf_bytes b;
        struct gguf *file = NULL;
        struct pl_error err = {""};
        if (type == GGUF_ARRAY)
            continue;
        gguf_bytes_begin(&b, 3, 0, 2);
        put_array(&b, type, n);
        gguf_bytes_key(&b, "behind", GGUF_U32);
        gguf_bytes_u32(&b, 77);
        if (gguf_open(gguf_bytes_path(&b), &file, &err) != PL_OK)
            fail_msg("type %u x %llu: %s", type, (unsigned long long)n, err.msg);
        check_array(gguf_find(file, "k"), type, n);
        uint32_t behind = 0;
        assert_int_equal(gguf_get_u32(file, "behind", &behind, &err), PL_OK);
        assert_int_equal(behind, 77);
        gguf_close(file);
        gguf_bytes_end(&b);
    }
}

/* 4.5 GiB of hole, then a tensor: costs no disk and no memory. */
static void tensors_may_be_larger_than_four_gib(void **state)
{
    (void)state;
    static const uint64_t big[] = {32768, 36864};
    static const uint64_t big_bytes = (uint64_t)32768 * 36864 * 4;
    struct gguf_bytes b;
    struct gguf *file = NULL;
    struct pl_error err = {""};
    gguf_bytes_begin(&b, 3, 2, 0);
    gguf_bytes_tensor(&b, "big", 2, big, PL_DTYPE_F32, 0);
    gguf_bytes_tensor(&b, "behind", 1, dims_8, PL_DTYPE_F32, big_bytes);
    gguf_bytes_data(&b, 32, 0);
    size_t data_at = b.out.len;
    const char *path = gguf_bytes_path(&b);
    gguf_bytes_cut(&b, data_at + big_bytes + 31);
    assert_int_equal(gguf_open(path, &file, &err), PL_EFORMAT);
    assert_string_equal(err.msg, "gguf: tensor 'behind': offset 4831838208 + 32 bytes is beyond "
                                 "the data, 4831838239 bytes from byte 128");
    gguf_bytes_cut(&b, data_at + big_bytes + 32);
    gguf_bytes_poke(&b, data_at + big_bytes - 1, 41);
    gguf_bytes_poke(&b, data_at + big_bytes, 42);
    gguf_bytes_poke(&b, data_at + big_bytes + 31, 43);
    if (gguf_open(path, &file, &err) != PL_OK)
        fail_msg("%s", err.msg);
    const struct gguf_tensor *t = gguf_find_tensor(file, "big");
    assert_true(t->bytes == big_bytes);
    assert_int_equal(t->data[big_bytes - 1], 41);
    gguf_release_tensor(file, t);
    assert_int_equal(t->data[big_bytes - 1], 41);
    t = gguf_find_tensor(file, "behind");
    assert_int_equal(t->data[0], 42);
    assert_int_equal(t->data[31], 43);
    assert_true(gguf_file_bytes(file) == data_at + big_bytes + 32);
    gguf_close(file);
    gguf_bytes_end(&b);
}

/* ---- refusals -------------------------------------------------------------------------------- */

typedef void (*make_fn)(struct gguf_bytes *b);

static void make_twice(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        gguf_bytes_key(b, "same", GGUF_U32);
        gguf_bytes_u32(b, 1);
    }
}

static void make_nested(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 3, 0, 1);
    gguf_bytes_array(b, "k", GGUF_ARRAY, 1);
    gguf_bytes_u32(b, GGUF_ARRAY);
    gguf_bytes_u64(b, 1);
}

static void make_bool(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 3, 0, 1);
    gguf_bytes_array(b, "k", GGUF_BOOL, 3);
    buf_append(&b->out, "\1\0\2", 3);
}

static void make_empty_key(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 3, 0, 1);
    gguf_bytes_key(b, "", GGUF_U32);
    gguf_bytes_u32(b, 1);
}

static void make_odd_key(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 3, 0, 1);
    gguf_bytes_key(b, "a\x1b[31m'\n\xff", 99);
    gguf_bytes_u32(b, 1);
}

static void make_alignment_string(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 3, 0, 1);
    gguf_bytes_key(b, "general.alignment", GGUF_STRING);
    gguf_bytes_str(b, "32");
}

static void make_long_name(struct gguf_bytes *b)
{
    char name[80];
    memset(name, 'n', 65);
    name[65] = '\0';
    gguf_bytes_begin(b, 3, 1, 0);
    gguf_bytes_tensor(b, name, 1, dims_8, PL_DTYPE_F32, 0);
    gguf_bytes_data(b, 32, 32);
}

static void make_partial_overlap(struct gguf_bytes *b)
{
    static const uint64_t dims[] = {16};
    gguf_bytes_begin(b, 3, 3, 0);
    gguf_bytes_tensor(b, "c", 1, dims_8, PL_DTYPE_F32, 64);
    gguf_bytes_tensor(b, "a", 1, dims, PL_DTYPE_F32, 0);
    gguf_bytes_tensor(b, "b", 1, dims_8, PL_DTYPE_F32, 32);
    gguf_bytes_data(b, 32, 96);
}

static void make_swapped(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 0x03000000, 0, 0);
}

static void make_version_1(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 1, 0, 0);
}

static void make_own_type(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 3, 1, 0);
    gguf_bytes_tensor(b, "t", 1, dims_8, 5, 0);
    gguf_bytes_data(b, 32, 32);
}

static void make_no_dims(struct gguf_bytes *b)
{
    gguf_bytes_begin(b, 3, 1, 0);
    gguf_bytes_tensor(b, "t", 0, dims_8, PL_DTYPE_F32, 0);
    gguf_bytes_data(b, 32, 32);
}

static void refuses_in_one_line_that_names_the_fault(void **state)
{
    (void)state;
    static const struct {
        make_fn make;
        enum pl_status status;
        const char *message;
    } rows[] = {
        {make_twice, PL_EFORMAT, "gguf: key 'same' at byte 44 is there twice"},
        {make_nested, PL_EFORMAT, "gguf: key 'k': array of arrays at byte 37"},
        {make_bool, PL_EFORMAT, "gguf: key 'k': bool at byte 51 is 2, expected 0 or 1"},
        {make_empty_key, PL_EFORMAT,
         "gguf: key number 0 at byte 24 has a name of 0 bytes, expected 1 to 65535"},
        {make_odd_key, PL_EFORMAT,
         "gguf: key 'a\\x1b[31m\\x27\\x0a\\xff': unknown value type 99 at byte 41"},
        {make_alignment_string, PL_EFORMAT,
         "gguf: key 'general.alignment' is of type string, expected an integer"},
        {make_long_name, PL_EFORMAT,
         "gguf: tensor number 0 at byte 24 has a name of 65 bytes, expected 1 to 64"},
        {make_partial_overlap, PL_EFORMAT, "gguf: tensor 'b' overlaps tensor 'a'"},
        {make_swapped, PL_ENOTSUP, "gguf: version at byte 4 is byte-swapped: big-endian file"},
        {make_version_1, PL_ENOTSUP, "gguf: version 1 at byte 4, expected 2 or 3"},
        {make_own_type, PL_ENOTSUP, "gguf: tensor 't': tensor type 5 is not supported"},
        {make_no_dims, PL_EFORMAT, "gguf: tensor 't': 0 dims at byte 33, expected 1 to 4"},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct gguf_bytes b;
        struct gguf *file = NULL;
        struct pl_error err = {""};
        rows[i].make(&b);
        enum pl_status status = gguf_open(gguf_bytes_path(&b), &file, &err);
        if (status != rows[i].status || strcmp(err.msg, rows[i].message) != 0)
            fail_msg("row %zu: %d '%s', expected %d '%s'", i, status, err.msg, rows[i].status,
                     rows[i].message);
        assert_null(file);
        gguf_bytes_end(&b);
    }
}

static void names_a_file_that_is_not_there(void **state)
{
    (void)state;
    struct gguf *file = NULL;
    struct pl_error err = {""};
    assert_int_equal(gguf_open("/nowhere/x.gguf", &file, &err), PL_ENOENT);
    assert_non_null(strstr(err.msg, "/nowhere/x.gguf"));
    assert_int_equal(gguf_open("/", &file, &err), PL_EIO);
    gguf_close(NULL);
}

static void refuses_the_file_cut_at_any_byte(void **state)
{
    (void)state;
    struct gguf_bytes b;
    struct gguf *file = NULL;
    make_small(&b, 3);
    const char *path = gguf_bytes_path(&b);
    for (size_t n = b.out.len; n-- > 0;) {
        struct pl_error err = {""};
        gguf_bytes_cut(&b, n);
        enum pl_status status = gguf_open(path, &file, &err);
        if (status != PL_EFORMAT || strncmp(err.msg, "gguf: ", 6) != 0)
            fail_msg("cut at %zu of %zu: %d '%s'", n, b.out.len, status, err.msg);
    }
    gguf_bytes_end(&b);
}

/* Any byte may be anything: the file opens, and then every accessor works, or it is refused. */
static void survives_any_byte_changed(void **state)
{
    (void)state;
    static const unsigned char masks[] = {0x01, 0x08, 0x80, 0xFF};
    struct gguf_bytes b;
    make_small(&b, 3);
    const char *path = gguf_bytes_path(&b);
    unsigned opened = 0;
    for (size_t at = 0; at < b.out.len; at++) {
        for (size_t m = 0; m < sizeof masks; m++) {
            struct gguf *file = NULL;
            struct pl_error err = {""};
            unsigned char was = (unsigned char)b.out.data[at];
            gguf_bytes_poke(&b, at, was ^ masks[m]);
            if (gguf_open(path, &file, &err) == PL_OK) {
                opened++;
                uint64_t sum = 0;
                for (uint64_t i = 0; i < gguf_n_tensors(file); i++) {
                    const struct gguf_tensor *t = gguf_tensor_at(file, i);
                    sum += t->data[0] + t->data[t->bytes - 1];
                }
                for (uint64_t i = 0; i < gguf_n_kv(file); i++) {
                    const struct gguf_kv *kv = gguf_kv_at(file, i);
                    if (kv->elem_type != GGUF_STRING && kv->n_elems > 0)
                        sum += (uint64_t)gguf_elem_i64(kv, kv->n_elems - 1);
                }
                assert_true(sum != UINT64_MAX);
                gguf_close(file);
            } else {
                assert_non_null(strchr(err.msg, ':'));
            }
            gguf_bytes_poke(&b, at, was);
        }
    }
    assert_true(opened > 0);
    gguf_bytes_end(&b);
}

static void counts_never_cost_memory(void **state)
{
    (void)state;
    /* 64 MiB of nothing on disk: whatever is claimed, tables stay within the reader's budget. */
    static const struct {
        uint64_t n_tensors, n_keys, n_strings;
    } rows[] = {{0, UINT64_MAX, 0}, {UINT64_MAX, 0, 0}, {0, 1 << 20, 0},
                {1 << 20, 0, 0},    {0, 1, UINT64_MAX}, {0, 1, 1 << 22}};
    struct rusage before;
    struct rusage after;
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++) {
        struct gguf_bytes b;
        struct gguf *file = NULL;
        gguf_bytes_begin(&b, 3, rows[i].n_tensors, rows[i].n_keys);
        if (rows[i].n_strings != 0)
            gguf_bytes_array(&b, "k", GGUF_STRING, rows[i].n_strings);
        const char *path = gguf_bytes_path(&b);
        gguf_bytes_cut(&b, 64 << 20);
        struct pl_error err = {""};
        if (gguf_open(path, &file, &err) == PL_OK)
            fail_msg("row %zu opened", i);
        gguf_bytes_end(&b);
    }
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 64L * 1024);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    struct gguf_bytes b;
    make_small(&b, 3);
    const char *path = gguf_bytes_path(&b);
    bool hit = true;
    for (long n = 1; hit; n++) {
        struct gguf *file = NULL;
        struct pl_error err = {""};
        fault_fail_at(n);
        enum pl_status status = gguf_open(path, &file, &err);
        hit = fault_hit();
        fault_fail_at(0);
        if (hit) {
            assert_int_equal(status, PL_ENOMEM);
            assert_null(file);
        } else {
            assert_int_equal(status, PL_OK);
            assert_true(n > 2);
        }
        gguf_close(file);
    }
    gguf_bytes_end(&b);
}

/* ---- the files of ../shared ------------------------------------------------------------------ */

/* Wrong only in what an architecture or a tokenizer demands: core/model and core/token refuse these. */
static const char *const above_this_room[] = {
    "no-tensors",          "no-architecture", "no-block-count",
    "no-embedding-length", "no-head-count",   "no-tokens",
    "arch-unknown",        "arch-number",     "tokens-ints",
    "block-count-string",  "heads-3",         "heads-0",
    "embedding-17",        "blocks-2",        "scores-short",
    "embd-rows-60",        "no-attn-q",       "valid",
};

static bool is_above(const char *name)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(above_this_room); i++) {
        if (strcmp(above_this_room[i], name) == 0)
            return true;
    }
    return false;
}

static void judges_the_malformed_files(void **state)
{
    (void)state;
    char dir[400];
    const char *shared = getenv("PL_SHARED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    snprintf(dir, sizeof dir, "%s/data/bad-gguf", shared != NULL ? shared : "");
    char path[512];
    char *manifest = NULL;
    size_t bytes = 0;
    snprintf(path, sizeof path, "%s/manifest.json", dir);
    if (file_read(path, 1 << 20, &manifest, &bytes, NULL) != PL_OK) {
        print_message("# no %s: skipped\n", path);
        skip();
    }
    unsigned n = 0;
    static const char mark[] = "\"file\": \"";
    for (const char *p = strstr(manifest, mark); p != NULL; p = strstr(p, mark)) {
        char name[80];
        p += strlen(mark);
        snprintf(name, sizeof name, "%.*s", (int)(strchr(p, '.') - p), p);
        snprintf(path, sizeof path, "%s/%s.gguf", dir, name);
        struct gguf *file = NULL;
        struct pl_error err = {""};
        enum pl_status status = gguf_open(path, &file, &err);
        if ((status == PL_OK) != is_above(name))
            fail_msg("%s: %d '%s'", name, status, err.msg);
        if (status != PL_OK &&
            (strchr(err.msg, '\n') != NULL ||
             (strstr(err.msg, "key") == NULL && strstr(err.msg, "tensor") == NULL &&
              strstr(err.msg, "byte") == NULL)))
            fail_msg("%s: '%s' names no key, tensor or offset", name, err.msg);
        gguf_close(file);
        n++;
    }
    assert_true(n >= 61);
    free(manifest);
    struct gguf *file = NULL;
    struct pl_error err = {""};
    snprintf(path, sizeof path, "%s/valid.gguf", dir);
    assert_int_equal(gguf_open(path, &file, &err), PL_OK);
    gguf_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_a_file_holds),
        cmocka_unit_test(reads_numbers_of_every_type),
        cmocka_unit_test(arrays_of_every_type_may_be_empty_or_long),
        cmocka_unit_test(tensors_may_be_larger_than_four_gib),
        cmocka_unit_test(refuses_in_one_line_that_names_the_fault),
        cmocka_unit_test(names_a_file_that_is_not_there),
        cmocka_unit_test(refuses_the_file_cut_at_any_byte),
        cmocka_unit_test(survives_any_byte_changed),
        cmocka_unit_test(counts_never_cost_memory),
        cmocka_unit_test(every_failed_allocation_is_reported),
        cmocka_unit_test(judges_the_malformed_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
