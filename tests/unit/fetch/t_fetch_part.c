/* core/fetch: a part and its record, with every system call and allocation failing once. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "fault.h"
#include "part.h"
#include "store.h"
#include "base/banned.h"

#define URL  "https://h/m.gguf"
#define DATA "GGUF and then some bytes of a model"

/* ---- the n-th call fails ------------------------------------------------------------------------- */

static long calls, failing_call;

static bool call_fails(void)
{
    if (++calls != failing_call)
        return false;
    errno = ENOSPC;
    return true;
}

ssize_t __real_write(int fd, const void *bytes, size_t n);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_ftruncate(int fd, off_t bytes);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_ftruncate(int fd, off_t bytes);
int __wrap_rename(const char *from, const char *to);

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    if (fd <= STDERR_FILENO)
        return __real_write(fd, bytes, n);
    if (call_fails()) { /* as a disk fills up: some bytes get through */
        (void)!__real_write(fd, bytes, n / 2);
        errno = ENOSPC;
        return -1;
    }
    return __real_write(fd, bytes, n);
}

int __wrap_fsync(int fd)
{
    return call_fails() ? -1 : __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    return call_fails() ? -1 : __real_fdatasync(fd);
}

int __wrap_ftruncate(int fd, off_t bytes)
{
    return call_fails() ? -1 : __real_ftruncate(fd, bytes);
}

int __wrap_rename(const char *from, const char *to)
{
    return call_fails() ? -1 : __real_rename(from, to);
}

/* ---- rig ----------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/polder-part-XXXXXX";
static char path[PATH_MAX];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/m.gguf", folder);
    return 0;
}

static void clear(void)
{
    static const char *const TAILS[] = {"",      ".info",      ".info.new",
                                        ".part", ".part.info", ".part.info.new"};
    for (size_t i = 0; i < PL_ARRAY_LEN(TAILS); i++) {
        char name[PATH_MAX + 32];
        (void)snprintf(name, sizeof name, "%s%s", path, TAILS[i]);
        (void)unlink(name);
    }
}

static int remove_folder(void **state)
{
    (void)state;
    clear();
    return rmdir(folder);
}

static enum pl_status begin(struct part *part, struct pl_error *err)
{
    return part_open(part, path, URL, NULL, NULL, err);
}

static bool exists(const char *tail)
{
    char name[PATH_MAX + 32];
    (void)snprintf(name, sizeof name, "%s%s", path, tail);
    return access(name, F_OK) == 0;
}

/* A whole pull: two halves with a sync between, then the installation. */
static enum pl_status pull(struct part *part, struct pl_error *err)
{
    size_t n = strlen(DATA), half = n / 2;
    enum pl_status status = begin(part, err);
    if (status != PL_OK)
        return status;
    if (part->have < half)
        status = part_write(part, &DATA[part->have], half - (size_t)part->have, err);
    if (status == PL_OK)
        status = part_sync(part, err);
    if (status == PL_OK && part->have < n)
        status = part_write(part, &DATA[part->have], n - (size_t)part->have, err);
    if (status == PL_OK)
        status = part_sync(part, err);
    if (status == PL_OK)
        status = part_install(part, err);
    part_close(part);
    return status;
}

static void assert_installed(void)
{
    char *data = NULL;
    size_t n = 0;
    struct pl_error err;
    assert_int_equal(file_read(path, 1000, &data, &n, &err), PL_OK);
    assert_int_equal(n, strlen(DATA));
    assert_memory_equal(data, DATA, n);
    free(data);
    assert_true(exists(".info"));
    assert_false(exists(".part"));
    assert_false(exists(".part.info"));
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void a_part_becomes_the_file(void **state)
{
    (void)state;
    struct part part;
    struct pl_error err = {""};
    clear();
    assert_int_equal(pull(&part, &err), PL_OK);
    assert_installed();
}

/* Whatever call fails: no file but a right one is installed, and the next pull comes to its end. */
static void any_failing_call_leaves_what_the_next_pull_can_use(void **state)
{
    (void)state;
    long n = 1;
    for (;; n++) {
        struct part part;
        struct pl_error err = {""};
        clear();
        calls = 0;
        failing_call = n;
        enum pl_status status = pull(&part, &err);
        bool hit = calls >= n;
        failing_call = 0;
        if (status == PL_OK) { /* the sync of a folder's entry may fail last */
            assert_installed();
            if (!hit)
                break;
            continue;
        }
        assert_true(err.msg[0] != '\0');
        if (exists(""))
            assert_installed();
        assert_int_equal(pull(&part, &err), PL_OK);
        assert_installed();
    }
    assert_true(n > 10);
}

static void any_failing_allocation_is_reported(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        struct part part;
        struct pl_error err = {""};
        clear();
        fault_fail_at(n);
        enum pl_status status = pull(&part, &err);
        bool hit = fault_hit();
        fault_fail_at(0);
        if (!hit) {
            assert_int_equal(status, PL_OK);
            break;
        }
        assert_true(status == PL_OK || err.msg[0] != '\0');
        assert_int_equal(pull(&part, &err), PL_OK);
        assert_installed();
    }
}

static void a_write_that_fails_half_way_counts_for_nothing(void **state)
{
    (void)state;
    struct part part;
    struct pl_error err = {""};
    clear();
    failing_call = 0;
    assert_int_equal(begin(&part, &err), PL_OK);
    assert_int_equal(part_write(&part, "GGUF", 4, &err), PL_OK);
    calls = 0;
    failing_call = 1;
    assert_int_equal(part_write(&part, "12345678", 8, &err), PL_ELIMIT);
    failing_call = 0;
    assert_int_equal(part.have, 4);
    assert_int_equal(part_write(&part, "abcd", 4, &err), PL_OK);
    assert_int_equal(part_sync(&part, &err), PL_OK);
    part_close(&part);
    assert_int_equal(begin(&part, &err), PL_OK); /* hashes what is in the file */
    char digest[SHA256_HEX_BYTES], want[SHA256_HEX_BYTES];
    unsigned char bytes[SHA256_BYTES];
    struct sha256 h;
    part_digest(&part, digest);
    sha256_begin(&h);
    sha256_add(&h, "GGUFabcd", 8);
    sha256_end(&h, bytes);
    sha256_hex(bytes, want);
    assert_string_equal(digest, want);
    part_discard(&part);
    assert_false(exists(".part"));
}

static void another_url_s_part_is_not_built_upon(void **state)
{
    (void)state;
    struct part part;
    struct pl_error err = {""};
    clear();
    assert_int_equal(begin(&part, &err), PL_OK);
    assert_int_equal(part_write(&part, DATA, 10, &err), PL_OK);
    assert_int_equal(part_sync(&part, &err), PL_OK);
    part_close(&part);
    assert_int_equal(begin(&part, &err), PL_OK);
    assert_int_equal(part.have, 10);
    part_close(&part);
    assert_int_equal(part_open(&part, path, "https://other/m.gguf", NULL, NULL, &err), PL_OK);
    assert_int_equal(part.have, 0);
    part_close(&part);
}

static bool stop_at_once(void *user, uint64_t done, uint64_t total)
{
    (void)user, (void)done, (void)total;
    return false;
}

static void reading_back_can_be_stopped(void **state)
{
    (void)state;
    struct part part;
    struct pl_error err = {""};
    clear();
    assert_int_equal(begin(&part, &err), PL_OK);
    assert_int_equal(part_write(&part, DATA, 10, &err), PL_OK);
    assert_int_equal(part_sync(&part, &err), PL_OK);
    part_close(&part);
    assert_int_equal(part_open(&part, path, URL, stop_at_once, NULL, &err), PL_ECANCELED);
    assert_int_equal(part.fd, -1);
    assert_int_equal(begin(&part, &err), PL_OK);
    assert_int_equal(part.have, 10);
    part_close(&part);
}

static void links_in_the_part_s_place_are_not_followed(void **state)
{
    (void)state;
    struct part part;
    struct pl_error err = {""};
    char link_name[PATH_MAX + 8], target[PATH_MAX];
    clear();
    (void)snprintf(link_name, sizeof link_name, "%s.part", path);
    (void)snprintf(target, sizeof target, "%s/target", folder);
    assert_int_equal(symlink(target, link_name), 0);
    assert_int_equal(begin(&part, &err), PL_EIO);
    assert_int_not_equal(access(target, F_OK), 0);
}

static void a_lock_is_held_once(void **state)
{
    (void)state;
    struct pl_error err = {""};
    int first = -1, second = -1;
    assert_int_equal(store_lock(folder, "m", &first, &err), PL_OK);
    assert_int_equal(store_lock(folder, "m", &second, &err), PL_EBUSY);
    assert_int_equal(store_lock(folder, "other", &second, &err), PL_OK);
    store_unlock(folder, "other", second);
    store_unlock(folder, "m", first);
    assert_int_equal(store_lock(folder, "m", &second, &err), PL_OK);
    store_unlock(folder, "m", second);
}

static void records_keep_what_they_are_told(void **state)
{
    (void)state;
    struct info *in = calloc(1, sizeof *in), *out = calloc(1, sizeof *out);
    struct pl_error err = {""};
    assert_non_null(in);
    assert_non_null(out);
    *in = (struct info){
        .url = URL, .etag = "\"a b\"", .has_size = true, .size = INT64_MAX, .bytes = 7};
    memset(in->sha256, 'a', 64);
    assert_int_equal(info_write(path, in, &err), PL_OK);
    assert_int_equal(info_read(path, out, &err), PL_OK);
    assert_memory_equal(in, out, sizeof *in);
    free(in);
    free(out);
    clear();
}

static void touch(const char *name, const char *text)
{
    char file[PATH_MAX + 32];
    (void)snprintf(file, sizeof file, "%s/%s", folder, name);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* Each allocation of a listing fails once: an error and no leak, or the same list. */
static void a_folder_s_models_are_listed_or_an_error_is(void **state)
{
    (void)state;
    static const char *const FILES[] = {"b.gguf",
                                        "a-00001-of-00002.gguf",
                                        "a-00002-of-00002.gguf",
                                        "c-00001-of-00002.gguf",
                                        "d.gguf.part",
                                        "notes.txt",
                                        ".hidden.gguf",
                                        "e.gguf.part.info",
                                        "x y.gguf",
                                        "b.gguf.new"};
    struct pl_error err = {""};
    struct store_list list;
    uint64_t freed = 0;
    clear();
    for (size_t i = 0; i < PL_ARRAY_LEN(FILES); i++)
        touch(FILES[i], "12345");
    touch("b.gguf.info", "polder-file 1\nurl https://h/b.gguf\nsize 5\nbytes 5\n");
    for (long n = 1;; n++) {
        fault_fail_at(n);
        enum pl_status status = store_list(folder, &list, &err);
        bool hit = fault_hit();
        fault_fail_at(0);
        if (status == PL_OK)
            store_free_list(&list);
        if (!hit)
            break;
    }
    assert_int_equal(store_list(folder, &list, &err), PL_OK);
    assert_int_equal(list.n, 4);
    assert_string_equal(list.entries[0].name, "a");
    assert_true(list.entries[0].whole && list.entries[0].bytes == 10);
    assert_string_equal(list.entries[1].url, "https://h/b.gguf");
    assert_string_equal(list.entries[2].name, "c");
    assert_false(list.entries[2].whole);
    assert_string_equal(list.entries[3].name, "d");
    assert_false(list.entries[3].whole);
    store_free_list(&list);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(
            store_remove(folder, (const char *[]){"a", "b", "c", "d"}[i], &freed, &err), PL_OK);
    assert_int_equal(store_remove(folder, "a", &freed, &err), PL_ENOENT);
    assert_int_equal(store_list(folder, &list, &err), PL_OK);
    assert_int_equal(list.n, 0);
    for (size_t i = 5; i < PL_ARRAY_LEN(FILES); i++) { /* what is not a model's stays */
        char file[PATH_MAX + 32];
        (void)snprintf(file, sizeof file, "%s/%s", folder, FILES[i]);
        assert_int_equal(unlink(file), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_becomes_the_file),
        cmocka_unit_test(any_failing_call_leaves_what_the_next_pull_can_use),
        cmocka_unit_test(any_failing_allocation_is_reported),
        cmocka_unit_test(a_write_that_fails_half_way_counts_for_nothing),
        cmocka_unit_test(another_url_s_part_is_not_built_upon),
        cmocka_unit_test(reading_back_can_be_stopped),
        cmocka_unit_test(links_in_the_part_s_place_are_not_followed),
        cmocka_unit_test(a_lock_is_held_once),
        cmocka_unit_test(records_keep_what_they_are_told),
        cmocka_unit_test(a_folder_s_models_are_listed_or_an_error_is),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
