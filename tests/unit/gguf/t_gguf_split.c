/* core/gguf: a model split over files opens by any of them as one; shards that don't fit are refused. */
#include "gguf/gguf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fault.h"
#include "gguf_bytes.h"

#include "base/banned.h"

#define SHARDS  3
#define TENSORS 7

static char folder[64];

/* What is wrong with one shard of an otherwise right model; zero = nothing. */
struct flaw {
    int shard;             /* of which shard (from 0) the rest speaks */
    bool absent;           /* it isn't written */
    bool no_no, no_count;  /* a key is left out */
    int no_add, count_add; /* added to the keys */
    int tensors_add;       /* added to split.tensors.count */
    bool text_no;          /* split.no is a string */
    const char *arch;      /* the shard repeats general.architecture */
    const char *key;       /* one more key */
    const char *tensor;    /* name of its first tensor instead of the right one */
    bool cut;              /* its last byte is missing */
    bool foreign_type;     /* split.count as u64, like some writers */
};

static void put_u16(struct gguf_bytes *b, const char *key, uint16_t value)
{
    gguf_bytes_key(b, key, GGUF_U16);
    buf_append(&b->out, &value, sizeof value);
}

static void put_keys(struct gguf_bytes *b, int shard, const struct flaw *f)
{
    if (shard == 0 || f->arch != NULL) {
        gguf_bytes_key(b, "general.architecture", GGUF_STRING);
        gguf_bytes_str(b, f->arch != NULL ? f->arch : "llama");
    }
    if (shard == 0) {
        gguf_bytes_array(b, "a.strings", GGUF_STRING, 2);
        gguf_bytes_str(b, "one");
        gguf_bytes_str(b, "two");
    }
    if (f->text_no) {
        gguf_bytes_key(b, "split.no", GGUF_STRING);
        gguf_bytes_str(b, "0");
    } else if (!f->no_no) {
        put_u16(b, "split.no", (uint16_t)(shard + f->no_add));
    }
    if (f->foreign_type) {
        gguf_bytes_key(b, "split.count", GGUF_U64);
        gguf_bytes_u64(b, SHARDS);
    } else if (!f->no_count) {
        put_u16(b, "split.count", (uint16_t)(SHARDS + f->count_add));
    }
    gguf_bytes_key(b, "split.tensors.count", GGUF_I32);
    gguf_bytes_u32(b, (uint32_t)(TENSORS + f->tensors_add));
    if (f->key != NULL) {
        gguf_bytes_key(b, f->key, GGUF_U32);
        gguf_bytes_u32(b, 1);
    }
}

/* Tensor i lies in shard i % SHARDS and holds 8 floats of value i. */
static void put_shard(const char *path, int shard, const struct flaw *f)
{
    struct gguf_bytes b;
    uint64_t n_keys = 1 + (f->no_no ? 0u : 1u) + (f->no_count ? 0u : 1u) +
                      (f->key != NULL ? 1u : 0u) + (shard == 0 || f->arch != NULL ? 1u : 0u) +
                      (shard == 0 ? 1u : 0u);
    uint64_t n_tensors = 0;
    for (int i = shard; i < TENSORS; i += SHARDS)
        n_tensors++;
    gguf_bytes_begin(&b, 3, n_tensors, n_keys);
    put_keys(&b, shard, f);
    for (int i = shard; i < TENSORS; i += SHARDS) {
        static const uint64_t dims[] = {8};
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        gguf_bytes_tensor(&b, i == shard && f->tensor != NULL ? f->tensor : name, 1, dims,
                          PL_DTYPE_F32, (uint64_t)(i / SHARDS) * 32);
    }
    gguf_bytes_data(&b, 32, 0);
    for (int i = shard; i < TENSORS; i += SHARDS) {
        for (int k = 0; k < 8; k++)
            gguf_bytes_f32(&b, (float)i);
    }
    b.out.len -= f->cut ? 1 : 0;
    gguf_bytes_save(&b, path);
    gguf_bytes_end(&b);
}

static const char *path_of(int shard, char path[160])
{
    snprintf(path, 160, "%s/model-%05d-of-%05d.gguf", folder, shard + 1, SHARDS);
    return path;
}

static void put_model(const struct flaw *flaw)
{
    static const struct flaw none;
    for (int i = 0; i < SHARDS; i++) {
        char path[160];
        bool flawed = flaw != NULL && flaw->shard == i;
        (void)unlink(path_of(i, path));
        if (!flawed || !flaw->absent)
            put_shard(path, i, flawed ? flaw : &none);
    }
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/t_gguf_split.XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    for (int i = 0; i < SHARDS; i++) {
        char path[160];
        (void)unlink(path_of(i, path));
    }
    return rmdir(folder);
}

static void check_model(const struct gguf *file)
{
    char path[160];
    size_t bytes = 0;
    for (int i = 0; i < SHARDS; i++) {
        struct stat st;
        assert_int_equal(stat(path_of(i, path), &st), 0);
        bytes += (size_t)st.st_size;
    }
    assert_int_equal(gguf_file_bytes(file), bytes);
    assert_int_equal(gguf_n_shards(file), SHARDS);
    assert_int_equal(gguf_n_tensors(file), TENSORS);
    assert_int_equal(gguf_find(file, "a.strings")->n_elems, 2);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < TENSORS; i++) {
            char name[16];
            float value = -1;
            snprintf(name, sizeof name, "t%d", i);
            const struct gguf_tensor *t = gguf_find_tensor(file, name);
            assert_non_null(t);
            assert_string_equal(t->name_text, name);
            assert_int_equal(t->bytes, 32);
            memcpy(&value, t->data + 28, sizeof value);
            assert_true(value == (float)i);
            gguf_release_tensor(file, t); /* harms nothing: the next round reads it again */
        }
    }
    assert_null(gguf_find_tensor(file, "t7"));
    for (uint64_t i = 0; i < TENSORS; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(file, i);
        assert_ptr_equal(gguf_find_tensor(file, t->name_text), t);
    }
}

static void any_shard_opens_the_whole_model(void **state)
{
    (void)state;
    static const struct flaw harmless[] = {
        {0},
        {.shard = 1, .arch = "llama"},
        {.shard = 0, .foreign_type = true},
    };
    for (size_t f = 0; f < PL_ARRAY_LEN(harmless); f++) {
        put_model(&harmless[f]);
        for (int i = 0; i < SHARDS; i++) {
            char path[160];
            struct gguf *file = NULL;
            struct pl_error err = {""};
            if (gguf_open(path_of(i, path), &file, &err) != PL_OK)
                fail_msg("row %zu by shard %d: %s", f, i, err.msg);
            check_model(file);
            gguf_close(file);
        }
    }
}

static const struct {
    struct flaw flaw;
    enum pl_status status;
    const char *message;
} refusals[] = {
    {{.shard = 1, .absent = true},
     PL_ENOENT,
     "gguf: shard 2 of 3 is missing: 'model-00002-of-00003.gguf'"},
    {{.shard = 2, .absent = true},
     PL_ENOENT,
     "gguf: shard 3 of 3 is missing: 'model-00003-of-00003.gguf'"},
    {{.shard = 1, .no_add = 1},
     PL_EFORMAT,
     "gguf: shard 'model-00002-of-00003.gguf': key 'split.no' is 2, expected 1"},
    {{.shard = 0, .no_add = 1},
     PL_EFORMAT,
     "gguf: shard 'model-00001-of-00003.gguf': key 'split.no' is 1, expected 0"},
    {{.shard = 2, .no_no = true},
     PL_EFORMAT,
     "gguf: shard 'model-00003-of-00003.gguf': key 'split.no' is absent"},
    {{.shard = 2, .text_no = true},
     PL_EFORMAT,
     "gguf: shard 'model-00003-of-00003.gguf': key 'split.no' is no integer from 0 on"},
    {{.shard = 1, .no_count = true},
     PL_EFORMAT,
     "gguf: shard 'model-00002-of-00003.gguf': key 'split.count' is absent"},
    {{.shard = 1, .count_add = 1},
     PL_EFORMAT,
     "gguf: shard 'model-00002-of-00003.gguf': key 'split.count' is 4, expected 3"},
    {{.shard = 0, .count_add = 1},
     PL_EFORMAT,
     "gguf: shard 'model-00001-of-00003.gguf': key 'split.count' is 4, its name says 3"},
    {{.shard = 0, .count_add = 2000},
     PL_ELIMIT,
     "gguf: key 'split.count' is 2003, at most 1024 shards"},
    {{.shard = 1, .tensors_add = 1},
     PL_EFORMAT,
     "gguf: shard 'model-00002-of-00003.gguf' is of another model: key 'split.tensors.count' "
     "differs from the first shard"},
    {{.shard = 2, .arch = "qwen2"},
     PL_EFORMAT,
     "gguf: shard 'model-00003-of-00003.gguf' is of another model: key 'general.architecture' "
     "differs from the first shard"},
    {{.shard = 2, .key = "x.y"},
     PL_EFORMAT,
     "gguf: shard 'model-00003-of-00003.gguf' is of another model: key 'x.y' is not in the first "
     "shard"},
    {{.shard = 2, .tensor = "t1"},
     PL_EFORMAT,
     "gguf: tensor 't1' of shard 3 of 3 is in an earlier shard too"},
    {{.shard = 1, .cut = true},
     PL_EFORMAT,
     "gguf: shard 'model-00002-of-00003.gguf': tensor 't4': offset 32 + 32 bytes is beyond the "
     "data, 63 bytes from byte 192"},
};

static void refuses_shards_that_do_not_fit(void **state)
{
    (void)state;
    for (size_t i = 0; i < PL_ARRAY_LEN(refusals); i++) {
        char path[160];
        struct gguf *file = NULL;
        struct pl_error err = {""};
        put_model(&refusals[i].flaw);
        enum pl_status status = gguf_open(path_of(0, path), &file, &err);
        if (status != refusals[i].status || strcmp(err.msg, refusals[i].message) != 0)
            fail_msg("row %zu: %d '%s', expected %d '%s'", i, status, err.msg, refusals[i].status,
                     refusals[i].message);
        assert_null(file);
        for (int k = 1; k < SHARDS; k++) { /* by another shard: refused too, for some reason */
            status = gguf_open(path_of(k, path), &file, &err);
            if (status == PL_OK)
                fail_msg("row %zu opened by shard %d", i, k);
            assert_null(file);
        }
    }
}

static void refuses_a_count_of_tensors_that_is_not_theirs(void **state)
{
    (void)state;
    static const struct flaw none = {.tensors_add = -1};
    char path[160];
    for (int i = 0; i < SHARDS; i++)
        put_shard(path_of(i, path), i, &none);
    struct gguf *file = NULL;
    struct pl_error err = {""};
    assert_int_equal(gguf_open(path_of(0, path), &file, &err), PL_EFORMAT);
    assert_string_equal(err.msg,
                        "gguf: key 'split.tensors.count' is 6, the 3 shards have 7 tensors");
}

static void names_the_first_shard_when_it_is_missing(void **state)
{
    (void)state;
    char path[160];
    struct gguf *file = NULL;
    struct pl_error err = {""};
    put_model(&(struct flaw){.absent = true});
    assert_int_equal(gguf_open(path_of(1, path), &file, &err), PL_ENOENT);
    assert_string_equal(err.msg, "gguf: shard 1 of 3 is missing: 'model-00001-of-00003.gguf'");
    /* Shards that were renamed: the name doesn't tell where the others are. */
    put_model(NULL);
    static const char *const names[] = {"renamed.gguf",
                                        "model-00000-of-00003.gguf",
                                        "model-0001-of-00003.gguf",
                                        "model-00001-of-00003.GGUF",
                                        "model-00001-of-0000x.gguf",
                                        "-00001-of-00003.gguf.x"};
    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++) {
        char other[160];
        snprintf(other, sizeof other, "%s/%s", folder, names[i]);
        assert_int_equal(link(path_of(0, path), other), 0);
        assert_int_equal(gguf_open(other, &file, &err), PL_EFORMAT);
        if (strstr(err.msg, "doesn't end in -00001-of-00003.gguf or the like") == NULL)
            fail_msg("%s: '%s'", names[i], err.msg);
        assert_int_equal(unlink(other), 0);
    }
    assert_null(file);
}

static void one_shard_is_a_plain_file(void **state)
{
    (void)state;
    /* Tools that merge shards leave the keys behind, with a count of 0. */
    for (uint16_t count = 0; count <= 1; count++) {
        struct gguf_bytes b;
        struct gguf *file = NULL;
        gguf_bytes_begin(&b, 3, 0, 1);
        put_u16(&b, "split.count", count);
        assert_int_equal(gguf_open(gguf_bytes_path(&b), &file, NULL), PL_OK);
        assert_int_equal(gguf_n_shards(file), 1);
        gguf_close(file);
        gguf_bytes_end(&b);
    }
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    put_model(NULL);
    for (int by = 0; by < 2; by++) {
        bool hit = true;
        for (long n = 1; hit; n++) {
            char path[160];
            struct gguf *file = NULL;
            struct pl_error err = {""};
            path_of(by, path);
            fault_fail_at(n);
            enum pl_status status = gguf_open(path, &file, &err);
            hit = fault_hit();
            fault_fail_at(0);
            if (status != (hit ? PL_ENOMEM : PL_OK))
                fail_msg("by shard %d, allocation %ld: %d '%s'", by, n, status, err.msg);
            assert_true(hit || n > 6);
            gguf_close(file);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_shard_opens_the_whole_model),
        cmocka_unit_test(refuses_shards_that_do_not_fit),
        cmocka_unit_test(refuses_a_count_of_tensors_that_is_not_theirs),
        cmocka_unit_test(names_the_first_shard_when_it_is_missing),
        cmocka_unit_test(one_shard_is_a_plain_file),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
