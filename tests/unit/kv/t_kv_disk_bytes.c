/* Nothing wrong comes back from the disk tier's file: flipped, cut, swapped, of another model, not ours. */
#include "disk_rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk_file.h"
#include "base/banned.h"

static struct kv_cache_options make_small(unsigned char **ret_blocks, size_t *ret_n)
{
    struct kv_cache_options o = options_of(8, 6);
    open_rig(&o);
    assert_int_equal(run(1, 0, 21), 0);
    close_rig();
    *ret_blocks = read_file("blocks", ret_n);
    open_rig(&o);
    assert_int_equal(run(1, 0, 21), 20);
    close_rig();
    return o;
}

/* Opens what lies in the folder and runs; content is checked inside. Returns the tokens that were found. */
static uint32_t try_file(const struct kv_cache_options *o, const unsigned char *blocks, size_t n)
{
    write_file("blocks", blocks, n);
    open_rig(o);
    uint32_t n_cached = run(1, 0, 21);
    close_rig();
    return n_cached;
}

/* Slots that a scan found, and what a good file says of them. */
struct slots {
    struct kv_hash hash[16];
    bool found[16];
};

static void note_slot(void *user, uint32_t slot, uint64_t number, const struct kv_hash *hash)
{
    struct slots *slots = user;
    (void)number;
    assert_true(slot < PL_ARRAY_LEN(slots->hash));
    slots->found[slot] = true;
    slots->hash[slot] = *hash;
}

/* Below the cache, without its thread: slots that the file gives, which must be those of the good file. */
static uint32_t count_good(const struct kv_cache_options *o, const unsigned char *blocks, size_t n,
                           const unsigned char *good, const struct slots *good_slots)
{
    struct kv_disk_options options = {.dir = dir,
                                      .bytes = o->disk_bytes,
                                      .block_tokens = o->block_tokens,
                                      .n_groups = o->n_groups};
    struct kv_disk_file file;
    struct slots slots = {.found = {false}};
    uint64_t n_bad = 0;
    uint32_t n_good = 0;
    memcpy(options.groups, o->groups, sizeof options.groups);
    memcpy(options.model_id, o->model_id, sizeof options.model_id);
    write_file("blocks", blocks, n);
    if (kv_disk_open(&options, &file, NULL) != PL_OK)
        return 0;
    assert_int_equal(kv_disk_scan(&file, 0, note_slot, &slots, &n_bad, NULL), PL_OK);
    for (uint32_t slot = 0; slot < PL_ARRAY_LEN(slots.hash); slot++) {
        unsigned char data[32];
        if (!slots.found[slot])
            continue;
        assert_true(good_slots->found[slot]);
        assert_memory_equal(&slots.hash[slot], &good_slots->hash[slot], sizeof slots.hash[slot]);
        if (kv_disk_read(&file, 0, slot, &slots.hash[slot], data, NULL) != PL_OK)
            continue;
        assert_memory_equal(data,
                            good + file.groups[0].data_offset + slot * file.groups[0].stride_bytes,
                            sizeof data);
        n_good++;
    }
    kv_disk_close(&file);
    return n_good;
}

/* The slots of a good file: five. */
static struct slots slots_of(const unsigned char *blocks)
{
    struct slots slots = {.found = {false}};
    for (uint32_t slot = 0; slot < 5; slot++) {
        memcpy(&slots.hash[slot], blocks + 4096 + (size_t)slot * 128 + 24, sizeof slots.hash[slot]);
        slots.found[slot] = true;
    }
    return slots;
}

static void no_flipped_bit_gets_through(void **state)
{
    (void)state;
    size_t n = 0;
    unsigned char *blocks = NULL;
    struct kv_cache_options o = make_small(&blocks, &n);
    struct slots slots = slots_of(blocks);
    size_t n_key = 0;
    unsigned char *good = read_file("blocks", &n);
    unsigned char *key = read_file("key", &n_key);
    uint32_t n_whole = 0;
    uint32_t n_less = 0;
    for (size_t i = 0; i < n; i++) {
        blocks[i] ^= (unsigned char)(1u << i % 8);
        if (count_good(&o, blocks, n, good, &slots) == 5)
            n_whole++;
        else
            n_less++;
        if (i % 97 == 0)
            (void)try_file(&o, blocks, n);
        blocks[i] ^= (unsigned char)(1u << i % 8);
    }
    print_message("%u flips harmless, %u noticed, of %zu bytes\n", n_whole, n_less, n);
    assert_int_equal(n_less, 4096 + 5 * (32 + 128)); /* all that is not filling */
    for (size_t i = 0; i < n_key; i++) {
        key[i] ^= 0x80;
        write_file("key", key, n_key);
        assert_int_equal(count_good(&o, blocks, n, good, &slots), 0);
        key[i] ^= 0x80;
    }
    write_file("key", key, n_key);
    assert_int_equal(count_good(&o, blocks, n, good, &slots), 5);
    assert_int_equal(try_file(&o, blocks, n), 20);
    free(key);
    free(good);
    free(blocks);
}

static void no_cut_file_gets_through(void **state)
{
    (void)state;
    size_t n = 0;
    unsigned char *blocks = NULL;
    struct kv_cache_options o = make_small(&blocks, &n);
    struct slots slots = slots_of(blocks);
    for (size_t i = 0; i < n; i++)
        assert_true(count_good(&o, blocks, i, blocks, &slots) < 5);
    for (size_t i = 4096; i < n; i += 97)
        (void)try_file(&o, blocks, i);
    free(blocks);
}

static void no_block_is_taken_for_another(void **state)
{
    (void)state;
    size_t n = 0;
    unsigned char *blocks = NULL;
    struct kv_cache_options o = make_small(&blocks, &n);
    unsigned char *headers = blocks + 4096;
    unsigned char *data = blocks + 8192;
    unsigned char *copy = malloc(n);
    assert_non_null(copy);
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 5; j++) {
            if (i == j)
                continue;
            memcpy(copy, blocks, n);
            memcpy(copy + 8192 + i * 64, data + j * 64, 32); /* the data alone */
            assert_true(try_file(&o, copy, n) < 20);
            memcpy(copy + 4096 + i * 128, headers + j * 128, 128); /* header and data */
            assert_true(try_file(&o, copy, n) < 20);
        }
    }
    free(copy);
    free(blocks);
}

static void others_blocks_are_not_used(void **state)
{
    (void)state;
    for (int what = 0; what < 5; what++) {
        struct kv_cache_options o = options_of(32, 100);
        open_rig(&o);
        (void)run(1, 0, 42);
        close_rig();
        struct kv_cache_options other = o;
        if (what == 0)
            other.model_id[31] ^= 1;
        if (what == 1)
            other.disk_bytes += 10000;
        if (what == 2)
            other.groups[0].block_bytes *= 2;
        if (what == 3)
            other.block_tokens = 2;
        if (what == 4) { /* a new key */
            char path[96];
            path_of("key", path);
            assert_int_equal(unlink(path), 0);
        }
        open_rig(&other);
        assert_int_equal(run(1, 0, 42), 0);
        assert_int_equal(rig.n_logs, 0);
        close_rig();
        open_rig(&other); /* the file was made anew */
        assert_int_equal(run(1, 0, 42), 40);
        close_rig();
        open_rig(&o);
        assert_int_equal(run(1, 0, 42), what == 4 ? 40 : 0);
        close_rig();
    }
}

static void expect_off(const struct kv_cache_options *o, const char *why)
{
    open_rig(o);
    assert_int_equal(rig.n_logs, 1);
    assert_non_null(strstr(rig.log, why));
    (void)run(1, 0, 42);
    assert_int_equal(run(1, 0, 42), 40); /* requests go on */
    assert_int_equal(rig_stats(&rig).disk_errors, 1);
    assert_int_equal(rig_stats(&rig).disk_stored, 0);
    close_rig();
}

static void what_is_not_ours_stays_as_it_is(void **state)
{
    (void)state;
    const unsigned char letter[] = "Dear diary, today I wrote this file.";
    struct kv_cache_options o = options_of(16, 100);
    write_file("blocks", letter, sizeof letter);
    expect_off(&o, "not a file of KV blocks");
    size_t n = 0;
    unsigned char *found = read_file("blocks", &n);
    assert_int_equal(n, sizeof letter);
    assert_memory_equal(found, letter, n);
    free(found);
}

static void two_processes_do_not_share_a_folder(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(16, 100);
    static struct rig other;
    assert_int_equal(rig_open(&other, &o, NULL), PL_OK);
    assert_int_equal(other.n_logs, 0);
    expect_off(&o, "in use by another process");
    rig_close(&other);
    open_rig(&o);
    assert_int_equal(rig.n_logs, 0);
    close_rig();
}

static void a_folder_that_others_can_touch_is_refused(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(16, 100);
    char path[96];
    assert_int_equal(chmod(dir, 0777), 0);
    expect_off(&o, "can be written by others");
    assert_int_equal(chmod(dir, 0700), 0);
    open_rig(&o);
    close_rig();
    path_of("key", path);
    assert_int_equal(chmod(path, 0644), 0);
    expect_off(&o, "only we can use");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("lock", path), 0);
    expect_off(&o, "key");
    assert_int_equal(unlink(path), 0);
    o.disk_dir = "/proc/polder-nowhere/kv";
    expect_off(&o, "can't be made");
}

static int set_up(void **state)
{
    (void)state;
    rig_make_dir(dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_remove_dir(dir);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_flipped_bit_gets_through),
        TEST(no_cut_file_gets_through),
        TEST(no_block_is_taken_for_another),
        TEST(others_blocks_are_not_used),
        TEST(what_is_not_ours_stays_as_it_is),
        TEST(two_processes_do_not_share_a_folder),
        TEST(a_folder_that_others_can_touch_is_refused),
    };
    return cmocka_run_group_tests_name("kv disk file", tests, NULL, NULL);
}
