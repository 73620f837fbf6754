/* The disk tier: what survives a restart; writes and reads that fail, a machine that goes off, a disk that hangs. */
#include "disk_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fault.h"
#include "base/banned.h"

static struct rig_seq b;

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

/* ---- threads --------------------------------------------------------------------------------- */

static _Atomic bool stop_asking;

static void *ask_for_ever(void *user)
{
    static struct rig_seq mine;
    uint64_t *n = user;
    rig_seq_init(&rig, &mine, 3);
    rig_seq_add_n(&rig, &mine, 0, 60);
    while (!atomic_load(&stop_asking)) {
        struct kv_cache_stats s = rig_stats(&rig);
        mine.kv.n_hashes = 0;
        kv_seq_hash(rig.cache, &mine.kv, mine.ids, mine.n_tokens);
        *n += s.blocks_total + mine.kv.n_hashes;
        usleep(100);
    }
    return NULL;
}

static void statistics_and_names_are_for_any_thread(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(12, 60);
    o.ram_bytes = 8 * o.groups[0].block_bytes;
    pthread_t thread;
    uint64_t n = 0;
    open_rig(&o);
    atomic_store(&stop_asking, false);
    assert_int_equal(pthread_create(&thread, NULL, ask_for_ever, &n), 0);
    for (int32_t i = 0; i < 300; i++) {
        (void)run(1, 1000 * (i * i % 11), 42);
        (void)kv_cache_idle(rig.cache);
    }
    atomic_store(&stop_asking, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close_rig();
}

static void a_full_queue_tells_when_it_is_empty(void **state)
{
    (void)state;
    struct kv_cache_options o = options_of(60, 100);
    o.ram_bytes = 4 * o.groups[0].block_bytes;
    open_rig(&o);
    atomic_store(&blocked, true);
    (void)run(1, 0, 201);
    while (kv_cache_idle(rig.cache)) {
    }
    uint64_t n_ready = atomic_load(&rig.n_ready);
    usleep(2000);
    assert_int_equal(atomic_load(&rig.n_ready), n_ready);
    atomic_store(&blocked, false);
    for (int rounds = 0; rig_stats(&rig).disk_stored < 48;
         rounds++) { /* the last ones need no waking */
        assert_true(rounds < 100);
        for (int i = 0; i < 100000 && atomic_load(&rig.n_ready) == n_ready; i++)
            usleep(50); /* an idle owner sleeps until it is woken */
        assert_true(atomic_load(&rig.n_ready) > n_ready);
        n_ready = atomic_load(&rig.n_ready);
        while (kv_cache_idle(rig.cache)) {
        }
    }
    await_stored(50);
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
        TEST(a_write_that_fails_switches_the_tier_off),
        TEST(a_read_that_fails_means_computing_again),
        TEST(a_machine_that_goes_off_leaves_nothing_wrong),
        TEST(a_disk_that_hangs_holds_up_nobody),
        TEST(statistics_and_names_are_for_any_thread),
        TEST(a_full_queue_tells_when_it_is_empty),
        TEST(open_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests_name("kv disk tier", tests, NULL, NULL);
}
