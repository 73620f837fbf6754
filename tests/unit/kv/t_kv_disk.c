/*
 * The disk tier: what survives a restart, and that nothing wrong ever comes back from the file: cut, flipped,
 * swapped, forged, half written, of another model; failing writes and reads; a disk that never answers.
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fault.h"
#include "disk_file.h"
#include "base/banned.h"

#define P 4

static struct rig rig;
static struct rig_seq a;
static struct rig_seq b;
static char dir[64];

/* ---- faults of the file system --------------------------------------------------------------- */

static _Atomic long n_writes;      /* pwritev calls since set_faults */
static _Atomic long n_reads;       /* preadv calls */
static _Atomic long fail_write_at; /* the n-th fails with fail_errno; 0 = none */
static _Atomic long fail_read_at;
static _Atomic long
    cut_at; /* the n-th writes a part and all later ones nothing: the machine is off */
static _Atomic int fail_errno;
static _Atomic bool blocked; /* writes and reads wait */

ssize_t __real_pwritev(int fd, const struct iovec *part, int n, off_t offset);
ssize_t __real_preadv(int fd, const struct iovec *part, int n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *part, int n, off_t offset);
ssize_t __wrap_preadv(int fd, const struct iovec *part, int n, off_t offset);

ssize_t __wrap_pwritev(int fd, const struct iovec *part, int n, off_t offset)
{
    while (atomic_load(&blocked))
        usleep(100);
    long i = atomic_fetch_add(&n_writes, 1) + 1;
    long cut = atomic_load(&cut_at);
    if (i == atomic_load(&fail_write_at)) {
        errno = atomic_load(&fail_errno);
        return -1;
    }
    struct iovec some = *part;
    if (cut > 0 && i > cut)
        return (ssize_t)part->iov_len;
    if (cut > 0 && i == cut) {
        some.iov_len = some.iov_len * 2 / 3;
        return __real_pwritev(fd, &some, n, offset) < 0 ? -1 : (ssize_t)part->iov_len;
    }
    some.iov_len =
        some.iov_len > 100 && i % 3 == 0 ? 100 : some.iov_len; /* partial writes happen */
    return __real_pwritev(fd, &some, n, offset);
}

ssize_t __wrap_preadv(int fd, const struct iovec *part, int n, off_t offset)
{
    while (atomic_load(&blocked))
        usleep(100);
    long i = atomic_fetch_add(&n_reads, 1) + 1;
    if (i == atomic_load(&fail_read_at)) {
        errno = atomic_load(&fail_errno);
        return -1;
    }
    return __real_preadv(fd, part, n, offset);
}

static void set_faults(long write_at, long read_at, int error, long cut)
{
    atomic_store(&n_writes, 0);
    atomic_store(&n_reads, 0);
    atomic_store(&fail_errno, error);
    atomic_store(&fail_write_at, write_at);
    atomic_store(&fail_read_at, read_at);
    atomic_store(&cut_at, cut);
}

/* ---- helpers --------------------------------------------------------------------------------- */

static struct kv_cache_options options_of(uint32_t n_blocks, uint32_t n_slots)
{
    struct kv_cache_options o = rig_options(P, n_blocks, 1, NULL);
    o.disk_dir = dir;
    o.disk_bytes = 16384 + n_slots * (o.groups[0].block_bytes + 32 + 128);
    return o;
}

static void open_rig(const struct kv_cache_options *o)
{
    struct pl_error err = {{0}};
    if (rig_open(&rig, o, &err) != PL_OK)
        fail_msg("%s", err.msg);
    rig_scramble(&rig);
}

static void close_rig(void)
{
    assert_true(kv_cache_check(rig.cache));
    assert_int_equal(rig_stats(&rig).blocks_held, 0);
    rig_close(&rig);
}

/* Tokens that were cached of n tokens from `first`. */
static uint32_t run(uint32_t scope_i, int32_t first, uint32_t n)
{
    rig_seq_init(&rig, &a, scope_i);
    rig_seq_add_n(&rig, &a, first, n);
    return rig_run(&rig, &a);
}

/* Uses idle time until n blocks have been stored. */
static void await_stored(uint64_t n)
{
    for (int i = 0; i < 50000 && rig_stats(&rig).disk_stored < n; i++)
        if (!kv_cache_idle(rig.cache))
            usleep(100);
    assert_int_equal(rig_stats(&rig).disk_stored, n);
}

static void path_of(const char *name, char ret[96])
{
    snprintf(ret, 96, "%s/%s", dir, name);
}

static unsigned char *read_file(const char *name, size_t *ret_n)
{
    char path[96];
    path_of(name, path);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    unsigned char *data = malloc(1 << 20);
    assert_non_null(data);
    *ret_n = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

static void write_file(const char *name, const unsigned char *data, size_t n)
{
    char path[96];
    path_of(name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(ftruncate(fd, (off_t)n), 0); /* O_TRUNC makes some file systems wait */
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    set_faults(0, 0, EIO, 0);
    rig_make_dir(dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    set_faults(0, 0, EIO, 0);
    rig_remove_dir(dir);
    return 0;
}

/* ---- what survives --------------------------------------------------------------------------- */

static void blocks_survive_a_restart(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(16, 100);
    open_rig(&o);
    for (int32_t i = 0; i < 5; i++) {
        assert_int_equal(run(1, 1000 * i, 42), 0);
        await_stored(10 * (uint64_t)(i + 1)); /* else a full queue may leave some out */
    }
    assert_int_equal(rig_stats(&rig).disk_dropped, 0);
    close_rig();
    open_rig(&o);
    assert_int_equal(rig_stats(&rig).disk_blocks, 50);
    for (int32_t i = 0; i < 5; i++)
        assert_int_equal(run(1, 1000 * i, 42), 40);
    assert_int_equal(run(2, 0, 42), 0); /* another scope */
    struct kv_cache_stats s = rig_stats(&rig);
    assert_int_equal(s.disk_hit_tokens, 200);
    assert_int_equal(s.hit_tokens, 200);
    assert_int_equal(s.disk_dropped, 0);
    close_rig();
}

static void a_long_prefix_passes_through_few_slots(void **state)
{
    (void)state;
    const uint64_t ram_slots[] = {0, 1, 2, 5}; /* 0: staging, 64 slots */
    for (size_t i = 0; i < PL_ARRAY_LEN(ram_slots); i++) {
        struct kv_cache_options o = rig_options(1, 260, 1, NULL);
        o.disk_dir = dir;
        o.disk_bytes = 1 << 20;
        o.ram_bytes = ram_slots[i] * o.groups[0].block_bytes;
        int32_t first = (int32_t)i * 1000;
        open_rig(&o);
        assert_int_equal(run(1, first, 200), 0);
        close_rig();
        open_rig(&o);
        assert_int_equal(run(1, first, 200), 199);
        assert_int_equal(rig_stats(&rig).disk_hit_tokens, 199);
        close_rig();
    }
}

static void ram_in_front_of_disk(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(12, 200);
    o.ram_bytes = 20 * o.groups[0].block_bytes;
    open_rig(&o);
    for (int32_t i = 0; i < 6; i++) {
        assert_int_equal(run(1, 1000 * i, 42), 0);
        await_stored(10 * (uint64_t)(i + 1));
    }
    for (int32_t i = 5; i >= 0; i--)
        assert_int_equal(run(1, 1000 * i, 42), 40); /* device, RAM, disk */
    struct kv_cache_stats s = rig_stats(&rig);
    assert_true(s.ram_hit_tokens > 0 && s.disk_hit_tokens > 0);
    assert_int_equal(s.hit_tokens, 240);
    close_rig();
}

static void idle_time_brings_all_to_disk(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(40, 100);
    open_rig(&o);
    assert_int_equal(run(1, 0, 101), 0);
    await_stored(25);
    size_t n = 0;
    unsigned char *blocks = read_file("blocks", &n); /* what kill -9 would leave now */
    size_t n_key = 0;
    unsigned char *key = read_file("key", &n_key);
    assert_int_equal(n_key, 32);
    close_rig();
    write_file("blocks", blocks, n);
    write_file("key", key, n_key);
    free(blocks);
    free(key);
    open_rig(&o);
    assert_int_equal(run(1, 0, 101), 100);
    close_rig();
}

static void the_folder_keeps_to_its_bound_and_loses_tails_first(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(40, 20);
    open_rig(&o);
    uint64_t n_slots = rig_stats(&rig).disk_blocks_max;
    assert_int_equal(run(1, 0, 61), 0);
    close_rig();
    open_rig(&o);
    assert_int_equal(run(1, 1000, 61), 0);
    close_rig();
    struct stat info;
    char path[96];
    path_of("blocks", path);
    assert_int_equal(stat(path, &info), 0);
    assert_true((uint64_t)info.st_size + 4096 <= o.disk_bytes);
    open_rig(&o);
    assert_int_equal(rig_stats(&rig).disk_blocks, n_slots);
    assert_int_equal(run(1, 1000, 61), 60);
    assert_int_equal(run(1, 0, 61), (n_slots - 15) * P);
    close_rig();
}

static void without_wait_it_takes_what_is_there_now(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(16, 100);
    uint32_t n_cached = 99;
    open_rig(&o);
    (void)run(1, 0, 42);
    close_rig();
    open_rig(&o);
    rig_seq_init(&rig, &a, 1);
    rig_seq_add_n(&rig, &a, 0, 42);
    assert_int_equal(rig_try_begin(&rig, &a, 41, false, &n_cached), KV_BEGIN_OK);
    assert_int_equal(n_cached, 0);
    kv_seq_end(rig.cache, &a.kv);
    close_rig();
}

static void reset_forgets_the_disk_for_good(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(16, 100);
    open_rig(&o);
    (void)run(1, 0, 42);
    close_rig();
    open_rig(&o);
    kv_cache_reset(rig.cache);
    assert_int_equal(run(1, 0, 42), 0);
    kv_cache_reset(rig.cache); /* while stores may be under way */
    (void)run(1, 7000, 22);
    close_rig();
    open_rig(&o);
    assert_int_equal(run(1, 0, 42), 0);
    assert_int_equal(run(1, 7000, 22), 20);
    close_rig();
}

static void groups_and_windows_come_back_together(void **state)
{
    (void)state;
    const uint32_t windows[] = {10, 0};
    struct kv_cache_options o = rig_options(P, 30, 2, windows);
    o.groups[1].n_blocks = 40;
    o.disk_dir = dir;
    o.disk_bytes = 1 << 20;
    open_rig(&o);
    rig_seq_init(&rig, &b, 1);
    rig_seq_add_n(&rig, &b, 0, 90);
    assert_int_equal(rig_begin(&rig, &b), 0);
    for (uint32_t n = 10; n <= 90; n += 10)
        assert_true(rig_compute(&rig, &b, n));
    kv_seq_end(rig.cache, &b.kv);
    close_rig();
    open_rig(&o);
    rig_seq_init(&rig, &b, 1);
    rig_seq_add_n(&rig, &b, 0, 90);
    assert_int_equal(rig_begin(&rig, &b), 88);
    assert_int_equal(b.kv.n_first[0], 19);
    kv_seq_end(rig.cache, &b.kv);
    /* few loads were needed for the window group */
    close_rig();
}

/* ---- what must not come back ----------------------------------------------------------------- */

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
        memcpy(&slots.hash[slot], blocks + 4096 + slot * 128 + 24, sizeof slots.hash[slot]);
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

/* ---- faults ---------------------------------------------------------------------------------- */

static void a_write_that_fails_switches_the_tier_off(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(12, 100);
    const int errors[] = {ENOSPC, EIO};
    for (size_t e = 0; e < PL_ARRAY_LEN(errors); e++) {
        for (long n = 1; n < 60; n += n < 12 ? 1 : 7) {
            set_faults(n, 0, errors[e], 0);
            open_rig(&o);
            for (int32_t i = 0; i < 8; i++)
                (void)run(1, 1000 * (i % 4), 42);
            while (kv_cache_idle(rig.cache)) {
            }
            for (int i = 0; i < 50 && atomic_load(&n_writes) < n; i++) {
                usleep(100);
                (void)kv_cache_idle(rig.cache);
            }
            usleep(1000);
            (void)kv_cache_idle(rig.cache);
            struct kv_cache_stats s = rig_stats(&rig);
            assert_true(rig.n_logs <= 1 && s.disk_errors == rig.n_logs);
            kv_cache_close(rig.cache);
            rig.cache = NULL;
            if (atomic_load(&n_writes) >= n) {
                assert_int_equal(rig.n_logs, 1); /* at close at the latest */
                assert_non_null(strstr(rig.log, errors[e] == ENOSPC ? "No space" : "Input/output"));
            }
            rig_close(&rig);
            set_faults(0, 0, EIO, 0);
            open_rig(&o); /* and what is there is right */
            for (int32_t i = 0; i < 4; i++)
                (void)run(1, 1000 * i, 42);
            close_rig();
        }
    }
}

static void a_read_that_fails_means_computing_again(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(12, 100);
    for (long n = 1; n < 40; n++) {
        set_faults(0, 0, EIO, 0);
        open_rig(&o);
        for (int32_t i = 0; i < 3; i++)
            (void)run(1, 1000 * i, 42);
        close_rig();
        set_faults(0, n, EIO, 0);
        open_rig(&o);
        for (int32_t i = 0; i < 3; i++)
            (void)run(1, 1000 * i, 42);
        assert_int_equal(rig.n_logs, atomic_load(&n_reads) >= n);
        close_rig();
    }
}

static void a_machine_that_goes_off_leaves_nothing_wrong(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(12, 30);
    uint64_t n_hit = 0;
    for (long n = 1; n < 150; n++) { /* the folder is kept: old and new blocks mix */
        set_faults(0, 0, EIO, n);
        open_rig(&o);
        for (int32_t i = 0; i < 5; i++)
            (void)run(1, 1000 * ((i + (int32_t)n) % 7), 42);
        close_rig();
        set_faults(0, 0, EIO, 0);
        open_rig(&o);
        for (int32_t i = 0; i < 7; i++)
            n_hit += run(1, 1000 * i, 42);
        if (n % 10 != 0)
            kv_cache_reset(rig.cache);
        close_rig();
    }
    print_message("%llu tokens hit\n", (unsigned long long)n_hit);
    assert_true(n_hit > 0);
}

static void a_disk_that_hangs_holds_up_nobody(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(12, 100);
    uint32_t n_cached = 0;
    open_rig(&o);
    (void)run(1, 90000, 42);
    close_rig();
    open_rig(&o);
    atomic_store(&blocked, true);
    rig_seq_init(&rig, &b, 1);
    rig_seq_add_n(&rig, &b, 90000, 42);
    assert_int_equal(rig_try_begin(&rig, &b, 41, true, &n_cached), KV_BEGIN_LOADING);
    for (int32_t i = 0; i < 200; i++) { /* more than all queues hold */
        rig_seq_init(&rig, &a, 1);
        rig_seq_add_n(&rig, &a, 100 * i, 42);
        assert_int_equal(rig_try_begin(&rig, &a, 41, true, &n_cached), KV_BEGIN_OK);
        assert_true(rig_compute(&rig, &a, 42));
        kv_seq_end(rig.cache, &a.kv);
        (void)kv_cache_idle(rig.cache);
        assert_int_equal(rig_try_begin(&rig, &b, 41, true, &n_cached), KV_BEGIN_LOADING);
    }
    assert_true(kv_cache_check(rig.cache));
    atomic_store(&blocked, false);
    assert_int_equal(rig_begin(&rig, &b), 40);
    kv_seq_end(rig.cache, &b.kv);
    close_rig();
}

static void open_survives_any_failed_allocation(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(12, 100);
    open_rig(&o);
    (void)run(1, 0, 42);
    close_rig();
    o = rig.o;
    bool done = false;
    for (long n = 1; !done; n++) {
        struct kv_cache *cache = NULL;
        struct pl_error err;
        fault_fail_at(n);
        enum pl_status status = kv_cache_open(&o, &cache, &err);
        done = !fault_hit();
        fault_fail_at(0);
        assert_int_equal(status, done ? PL_OK : PL_ENOMEM);
        kv_cache_close(cache);
    }
    open_rig(&o);
    fault_fail_at(0);
    for (int32_t i = 0; i < 10; i++)
        (void)run(1, 1000 * (i % 4), 42);
    kv_cache_reset(rig.cache);
    (void)run(1, 0, 42);
    assert_int_equal(fault_count(), 0); /* and none later, in either thread */
    close_rig();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blocks_survive_a_restart),
        TEST(a_long_prefix_passes_through_few_slots),
        TEST(ram_in_front_of_disk),
        TEST(idle_time_brings_all_to_disk),
        TEST(the_folder_keeps_to_its_bound_and_loses_tails_first),
        TEST(without_wait_it_takes_what_is_there_now),
        TEST(reset_forgets_the_disk_for_good),
        TEST(groups_and_windows_come_back_together),
        TEST(no_flipped_bit_gets_through),
        TEST(no_cut_file_gets_through),
        TEST(no_block_is_taken_for_another),
        TEST(others_blocks_are_not_used),
        TEST(what_is_not_ours_stays_as_it_is),
        TEST(two_processes_do_not_share_a_folder),
        TEST(a_folder_that_others_can_touch_is_refused),
        TEST(a_write_that_fails_switches_the_tier_off),
        TEST(a_read_that_fails_means_computing_again),
        TEST(a_machine_that_goes_off_leaves_nothing_wrong),
        TEST(a_disk_that_hangs_holds_up_nobody),
        TEST(open_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests_name("kv disk tier", tests, NULL, NULL);
}
