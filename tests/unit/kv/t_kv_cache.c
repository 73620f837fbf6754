/* The contract of kv/cache.h, rule by rule, on the device and in RAM. */
#include "rig.h"

#include <string.h>

#include "fault.h"
#include "base/banned.h"

#define P 4

static struct rig rig;
static struct rig_seq a;
static struct rig_seq b;
static struct rig_seq c;

static void open_rig(const struct kv_cache_options *o)
{
    assert_int_equal(rig_open(&rig, o, NULL), PL_OK);
}

static void close_rig(void)
{
    assert_true(kv_cache_check(rig.cache));
    assert_int_equal(rig_stats(&rig).blocks_held, 0);
    rig_close(&rig);
}

/* A sequence of n tokens from `first`; its scope. */
static void make(struct rig_seq *seq, uint32_t scope_i, int32_t first, uint32_t n)
{
    rig_seq_init(&rig, seq, scope_i);
    rig_seq_add_n(&rig, seq, first, n);
}

static void refuses_options_that_mean_nothing(void **state)
{
    (void)state;
    const struct kv_cache_options good = rig_options(P, 10, 1, NULL);
    struct kv_cache_options cases[9];
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++)
        cases[i] = good;
    cases[0].block_tokens = 0;
    cases[1].n_groups = 0;
    cases[2].n_groups = KV_GROUPS_MAX + 1;
    cases[3].seqs_max = 0;
    cases[4].groups[0].n_blocks = 0;
    cases[5].groups[0].n_blocks = KV_BLOCKS_MAX + 1;
    cases[6].ram_bytes = 31; /* less than a block */
    cases[7].ram_bytes = 1 << 20;
    cases[7].groups[0].block_bytes = 0;
    cases[8].disk_dir = "/nowhere/at/all";
    cases[8].disk_bytes = 100;
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct kv_cache *cache = NULL;
        struct pl_error err;
        cases[i].device.read = (enum pl_status(*)(void *, uint32_t, int32_t, void *,
                                                  struct pl_error *))1; /* not called */
        cases[i].device.write =
            (enum pl_status(*)(void *, uint32_t, int32_t, const void *, struct pl_error *))1;
        assert_int_equal(kv_cache_open(&cases[i], &cache, &err), PL_EINVAL);
        assert_null(cache);
    }
    kv_cache_close(NULL);
}

static void cached_tokens_are_whole_blocks_below_the_bound(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 40, 1, NULL);
    open_rig(&o);
    make(&a, 0, 100, 18);
    assert_int_equal(rig_run(&rig, &a), 0);
    const struct {
        uint32_t n_tokens, n_reuse_max, expected;
    } cases[] = {{18, 17, 16}, {18, 16, 16}, {18, 15, 12}, {16, 15, 12},        {17, 16, 16},
                 {3, 2, 0},    {18, 0, 0},   {7, 6, 4},    {18, UINT32_MAX, 16}};
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        uint32_t n_cached = 99;
        make(&b, 0, 100, cases[i].n_tokens);
        assert_int_equal(rig_try_begin(&rig, &b, cases[i].n_reuse_max, true, &n_cached),
                         KV_BEGIN_OK);
        assert_int_equal(n_cached, cases[i].expected);
        kv_seq_end(rig.cache, &b.kv);
    }
    make(&b, 0, 100, 9); /* eight tokens in common, then others */
    rig_seq_add_n(&rig, &b, 500, 9);
    assert_int_equal(rig_run(&rig, &b), 8);
    struct kv_cache_stats s = rig_stats(&rig);
    assert_int_equal(s.hit_tokens, 8); /* those that only began don't count */
    assert_int_equal(s.queried_tokens, 16 + 16);
    close_rig();
}

static void scopes_share_nothing(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 40, 1, NULL);
    open_rig(&o);
    make(&a, 1, 7, 20);
    assert_int_equal(rig_run(&rig, &a), 0);
    make(&b, 2, 7, 20);
    assert_int_equal(rig_run(&rig, &b), 0);
    make(&c, 1, 7, 20);
    assert_int_equal(rig_run(&rig, &c), 16);
    const struct {
        const char *name, *salt;
    } scopes[] = {{"", ""}, {"a", ""}, {"", "a"}, {"ab", "c"}, {"a", "bc"}, {"abc", ""}};
    for (size_t i = 0; i < PL_ARRAY_LEN(scopes); i++) {
        for (size_t j = 0; j < PL_ARRAY_LEN(scopes); j++) {
            struct kv_hash x = kv_scope(rig.cache, scopes[i].name, strlen(scopes[i].name),
                                        scopes[i].salt, strlen(scopes[i].salt));
            struct kv_hash y = kv_scope(rig.cache, scopes[j].name, strlen(scopes[j].name),
                                        scopes[j].salt, strlen(scopes[j].salt));
            assert_int_equal(memcmp(&x, &y, sizeof x) == 0, i == j);
        }
    }
    close_rig();
}

static void names_differ_between_processes(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 40, 1, NULL);
    open_rig(&o);
    struct kv_hash x = kv_scope(rig.cache, "o", 1, NULL, 0);
    close_rig();
    open_rig(&o);
    struct kv_hash y = kv_scope(rig.cache, "o", 1, NULL, 0);
    assert_memory_not_equal(&x, &y, sizeof x);
    close_rig();
}

static void waits_for_who_computes_the_same(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 40, 1, NULL);
    uint32_t n_cached = 0;
    open_rig(&o);
    make(&a, 0, 1, 20);
    make(&b, 0, 1, 20);
    assert_int_equal(rig_begin(&rig, &a), 0);
    for (uint32_t n = 0; n < 16; n += P) { /* a comes on, block by block */
        assert_int_equal(rig_try_begin(&rig, &b, 19, true, &n_cached), KV_BEGIN_PENDING);
        assert_int_equal(rig_try_begin(&rig, &b, 19, true, &n_cached), KV_BEGIN_PENDING);
        assert_true(rig_compute(&rig, &a, n + P));
    }
    assert_int_equal(rig_try_begin(&rig, &b, 19, true, &n_cached), KV_BEGIN_OK);
    assert_int_equal(n_cached, 16);
    kv_seq_end(rig.cache, &b.kv);
    kv_seq_end(rig.cache, &a.kv);
    close_rig();
}

static void does_not_wait_for_who_went_away(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 40, 1, NULL);
    uint32_t n_cached = 0;
    open_rig(&o);
    make(&a, 0, 1, 20);
    make(&b, 0, 1, 20);
    make(&c, 0, 1, 20);
    assert_int_equal(rig_begin(&rig, &a), 0);
    assert_true(rig_compute(&rig, &a, 6));
    assert_int_equal(rig_try_begin(&rig, &b, 19, true, &n_cached), KV_BEGIN_PENDING);
    assert_int_equal(rig_try_begin(&rig, &c, 19, false, &n_cached), KV_BEGIN_OK); /* at once */
    assert_int_equal(n_cached, 4);
    kv_seq_end(rig.cache, &a.kv);
    assert_int_equal(rig_try_begin(&rig, &b, 19, true, &n_cached), KV_BEGIN_PENDING); /* for c */
    kv_seq_end(rig.cache, &c.kv);
    assert_int_equal(rig_try_begin(&rig, &b, 19, true, &n_cached), KV_BEGIN_OK);
    assert_int_equal(n_cached, 4);
    kv_seq_end(rig.cache, &b.kv);
    close_rig();
}

static void of_two_that_computed_the_same_one_stays(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 40, 1, NULL);
    uint32_t n_cached = 0;
    open_rig(&o);
    make(&a, 0, 1, 20);
    make(&b, 0, 1, 20);
    assert_int_equal(rig_begin(&rig, &a), 0);
    assert_int_equal(rig_try_begin(&rig, &b, 19, false, &n_cached), KV_BEGIN_OK);
    assert_true(rig_compute(&rig, &a, 20) && rig_compute(&rig, &b, 20));
    assert_int_equal(rig_stats(&rig).blocks_held, 10);
    kv_seq_end(rig.cache, &a.kv);
    kv_seq_end(rig.cache, &b.kv);
    assert_int_equal(rig_stats(&rig).blocks_cached, 5);
    make(&c, 0, 1, 21);
    assert_int_equal(rig_run(&rig, &c), 20);
    close_rig();
}

static void evicts_the_tail_of_the_oldest_first(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 10, 1, NULL);
    open_rig(&o);
    make(&a, 0, 100, 20);
    (void)rig_run(&rig, &a);
    make(&b, 0, 200, 20);
    (void)rig_run(&rig, &b);
    make(&c, 0, 300, 8); /* two blocks more than there are */
    (void)rig_run(&rig, &c);
    make(&a, 0, 100, 21);
    assert_int_equal(rig_begin(&rig, &a), 12);
    kv_seq_end(rig.cache, &a.kv);
    make(&b, 0, 200, 21);
    assert_int_equal(rig_begin(&rig, &b), 20);
    kv_seq_end(rig.cache, &b.kv);
    close_rig();
}

static void forks_share_until_one_writes(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 8, 2, NULL);
    open_rig(&o);
    make(&a, 0, 1, 10);
    assert_int_equal(rig_begin(&rig, &a), 0);
    assert_true(rig_compute(&rig, &a, 10));
    make(&b, 0, 1, 10);
    make(&c, 0, 1, 10);
    assert_true(kv_seq_fork(rig.cache, &a.kv, &b.kv, 10));
    assert_true(kv_seq_fork(rig.cache, &a.kv, &c.kv, 10));
    b.n_computed = c.n_computed = 10;
    assert_int_equal(rig_stats(&rig).blocks_held, 3);
    rig_seq_add(&rig, &b, 77);
    assert_true(rig_compute(&rig, &b, 11)); /* a copy of the third block */
    assert_int_equal(rig_stats(&rig).blocks_held, 4);
    assert_int_equal(b.kv.blocks[0][1], a.kv.blocks[0][1]);
    assert_int_not_equal(b.kv.blocks[0][2], a.kv.blocks[0][2]);
    rig_seq_add(&rig, &a, 78);
    assert_true(rig_compute(&rig, &a, 11));
    rig_seq_add(&rig, &c, 79);
    assert_true(rig_compute(&rig, &c, 11)); /* the last owner writes in place */
    assert_int_equal(rig_stats(&rig).blocks_held, 5);
    rig_check_content(&rig, &a);
    rig_check_content(&rig, &b);
    rig_check_content(&rig, &c);
    kv_seq_end(rig.cache, &a.kv);
    kv_seq_end(rig.cache, &b.kv);
    kv_seq_end(rig.cache, &c.kv);
    close_rig();
}

static void a_fork_needs_room_for_its_copy(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 3, 1, NULL);
    open_rig(&o);
    make(&a, 0, 1, 10);
    assert_int_equal(rig_begin(&rig, &a), 0);
    assert_true(rig_compute(&rig, &a, 10));
    make(&b, 0, 1, 10);
    assert_false(kv_seq_fork(rig.cache, &a.kv, &b.kv, 10));
    assert_false(b.kv.held);
    assert_true(kv_seq_fork(rig.cache, &a.kv, &b.kv, 8)); /* whole blocks need none */
    b.n_computed = 8;
    rig_check_content(&rig, &b);
    kv_seq_end(rig.cache, &b.kv);
    kv_seq_end(rig.cache, &a.kv);
    close_rig();
}

static void a_found_block_that_would_be_written_is_copied(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 10, 1, NULL);
    open_rig(&o);
    make(&a, 0, 1, 9);
    (void)rig_run(&rig, &a);
    make(&b, 0, 1, 9);
    assert_int_equal(rig_begin(&rig, &b), 8);
    b.n_computed = 6; /* computes two tokens again */
    assert_true(rig_compute(&rig, &b, 9));
    kv_seq_end(rig.cache, &b.kv);
    make(&c, 0, 1, 9);
    assert_int_equal(rig_run(&rig, &c), 8);
    close_rig();
}

static void windows_give_back_and_prefixes_need_what_they_see(void **state)
{
    (void)state;
    const uint32_t windows[] = {0, 6};
    struct kv_cache_options o = rig_options(P, 20, 2, windows);
    open_rig(&o);
    make(&a, 0, 1, 32);
    assert_int_equal(rig_begin(&rig, &a), 0);
    for (uint32_t n = P; n <= 32; n += P)
        assert_true(rig_compute(&rig, &a, n));
    assert_int_equal(a.kv.n_first[0], 0);
    assert_int_equal(a.kv.n_first[1], 6); /* position 32 sees 27 .. 32 */
    kv_seq_end(rig.cache, &a.kv);
    make(&b, 0, 1, 33);
    assert_int_equal(rig_begin(&rig, &b), 32);
    assert_int_equal(b.kv.n_first[1], 6);
    kv_seq_end(rig.cache, &b.kv);
    /* 20 blocks of the window group: 8 are a's, c takes all others and the 6 that a gave back first */
    make(&c, 0, 1000, 72);
    assert_int_equal(rig_begin(&rig, &c), 0);
    assert_true(rig_compute(&rig, &c, 72));
    kv_seq_end(rig.cache, &c.kv);
    make(&b, 0, 1, 33);
    uint32_t n_cached = 0;
    assert_int_equal(rig_try_begin(&rig, &b, 32, true, &n_cached), KV_BEGIN_OK);
    assert_true(n_cached <= 8); /* tails went first in the full group */
    kv_seq_end(rig.cache, &b.kv);
    close_rig();
}

static void room_is_judged_by_windows_and_chunks(void **state)
{
    (void)state;
    const uint32_t windows[] = {0, 6};
    struct kv_cache_options o = rig_options(P, 20, 2, windows);
    o.groups[0].n_blocks = 100;
    open_rig(&o);
    assert_int_equal(kv_cache_blocks_for(rig.cache, 0), 0);
    assert_int_equal(kv_cache_blocks_for(rig.cache, 5), 2);
    assert_true(kv_cache_fits(rig.cache, 80) && !kv_cache_fits(rig.cache, 81));
    close_rig();
    o.grow_tokens_max = 16;
    open_rig(&o); /* at most 5 + 16 positions, on at most 7 blocks */
    assert_true(kv_cache_fits(rig.cache, 400) && !kv_cache_fits(rig.cache, 401));
    make(&a, 0, 1, 200);
    assert_int_equal(rig_begin(&rig, &a), 0);
    for (uint32_t n = 3; n <= 200; n += 16) {
        assert_true(rig_compute(&rig, &a, n));
        assert_true(a.kv.n_blocks - a.kv.n_first[1] <= 7);
    }
    assert_true(kv_cache_has_room(rig.cache, 52 * P - 6));
    kv_seq_end(rig.cache, &a.kv);
    close_rig();
}

static void no_sharing_computes_all(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 20, 1, NULL);
    o.no_sharing = true;
    open_rig(&o);
    make(&a, 0, 1, 20);
    assert_int_equal(rig_run(&rig, &a), 0);
    assert_int_equal(rig_run(&rig, &a), 0);
    assert_int_equal(rig_stats(&rig).blocks_cached, 0);
    close_rig();
}

static void a_preempted_sequence_finds_itself_again(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 20, 1, NULL);
    open_rig(&o);
    make(&a, 0, 1, 10);
    assert_int_equal(rig_begin(&rig, &a), 0);
    assert_true(rig_compute(&rig, &a, 10));
    for (int32_t i = 0; i < 7; i++) {
        rig_seq_add(&rig, &a, 50 + i);
        assert_true(rig_compute(&rig, &a, a.n_tokens));
    }
    kv_seq_end(rig.cache, &a.kv);
    rig_seq_add(&rig, &a, 60);
    assert_int_equal(rig_begin(&rig, &a), 16); /* generated tokens too */
    assert_true(rig_compute(&rig, &a, a.n_tokens));
    assert_int_equal(rig_stats(&rig).hit_tokens, 0); /* counted once: at its first begin */
    assert_int_equal(rig_stats(&rig).queried_tokens, 8);
    kv_seq_end(rig.cache, &a.kv);
    kv_seq_end(rig.cache, &a.kv); /* of one that is not held: nothing */
    close_rig();
}

static void ram_keeps_what_the_device_evicts(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 6, 1, NULL);
    o.ram_bytes = 64 * o.groups[0].block_bytes;
    open_rig(&o);
    for (int32_t i = 0; i < 10; i++) {
        make(&a, 0, 1000 * i, 21);
        assert_int_equal(rig_run(&rig, &a), 0);
    }
    for (int32_t i = 0; i < 10; i++) {
        make(&a, 0, 1000 * i, 21);
        assert_int_equal(rig_run(&rig, &a), 20);
    }
    struct kv_cache_stats s = rig_stats(&rig);
    assert_int_equal(s.hit_tokens, 200);
    assert_int_equal(s.ram_hit_tokens, 200);
    assert_int_equal(s.ram_blocks_max, 64);
    assert_true(s.ram_blocks >= 44 && s.ram_blocks <= 64);
    close_rig();
}

static void reset_forgets_what_nobody_holds(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 8, 1, NULL);
    o.ram_bytes = 64 * o.groups[0].block_bytes;
    open_rig(&o);
    make(&a, 0, 1, 21);
    make(&b, 0, 500, 21);
    (void)rig_run(&rig, &a);
    (void)rig_run(&rig, &b); /* evicts some of a */
    make(&c, 0, 500, 5);
    assert_int_equal(rig_begin(&rig, &c), 4);
    kv_cache_reset(rig.cache);
    assert_true(kv_cache_check(rig.cache));
    assert_int_equal(rig_begin(&rig, &a), 0);
    kv_seq_end(rig.cache, &a.kv);
    assert_int_equal(rig_begin(&rig, &b), 4); /* c holds it */
    kv_seq_end(rig.cache, &b.kv);
    kv_seq_end(rig.cache, &c.kv);
    assert_int_equal(rig_stats(&rig).ram_blocks, 0);
    close_rig();
}

static void a_failed_copy_is_told_and_never_found(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 6, 1, NULL);
    o.ram_bytes = 64 * o.groups[0].block_bytes;
    for (uint64_t fail_at = 1; fail_at < 40; fail_at++) {
        open_rig(&o);
        rig.fail_at = fail_at;
        for (int32_t round = 0; round < 4; round++) {
            for (int32_t i = 0; i < 3; i++) {
                make(&a, 0, 1000 * i, 21);
                (void)rig_run(&rig, &a); /* checks what it finds */
            }
        }
        struct pl_error err = {{0}};
        bool failed = rig.n_calls >= fail_at;
        assert_int_equal(kv_cache_error(rig.cache, &err), failed ? PL_ELOST : PL_OK);
        assert_int_equal(err.msg[0] != '\0', failed);
        assert_int_equal(kv_cache_error(rig.cache, &err), PL_OK);
        close_rig();
    }
}

static void open_survives_any_failed_allocation(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 6, 3, NULL);
    o.ram_bytes = 6400 * o.groups[0].block_bytes;
    bool done = false;
    for (long n = 1; !done; n++) {
        struct kv_cache *cache = NULL;
        struct pl_error err;
        o.device = rig.o.device;
        fault_fail_at(n);
        enum pl_status status = kv_cache_open(&o, &cache, &err);
        done = !fault_hit();
        fault_fail_at(0);
        assert_int_equal(status, done ? PL_OK : PL_ENOMEM);
        kv_cache_close(cache);
    }
}

static void allocates_nothing_after_open(void **state)
{
    (void)state;
    struct kv_cache_options o = rig_options(P, 6, 1, NULL);
    o.ram_bytes = 8 * o.groups[0].block_bytes;
    open_rig(&o);
    fault_fail_at(0);
    for (int32_t i = 0; i < 10; i++) {
        make(&a, 0, 1000 * (i % 3), 21);
        (void)rig_run(&rig, &a);
    }
    kv_cache_reset(rig.cache);
    assert_int_equal(fault_count(), 0);
    close_rig();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_options_that_mean_nothing),
        cmocka_unit_test(cached_tokens_are_whole_blocks_below_the_bound),
        cmocka_unit_test(scopes_share_nothing),
        cmocka_unit_test(names_differ_between_processes),
        cmocka_unit_test(waits_for_who_computes_the_same),
        cmocka_unit_test(does_not_wait_for_who_went_away),
        cmocka_unit_test(of_two_that_computed_the_same_one_stays),
        cmocka_unit_test(evicts_the_tail_of_the_oldest_first),
        cmocka_unit_test(forks_share_until_one_writes),
        cmocka_unit_test(a_fork_needs_room_for_its_copy),
        cmocka_unit_test(a_found_block_that_would_be_written_is_copied),
        cmocka_unit_test(windows_give_back_and_prefixes_need_what_they_see),
        cmocka_unit_test(room_is_judged_by_windows_and_chunks),
        cmocka_unit_test(no_sharing_computes_all),
        cmocka_unit_test(a_preempted_sequence_finds_itself_again),
        cmocka_unit_test(ram_keeps_what_the_device_evicts),
        cmocka_unit_test(reset_forgets_what_nobody_holds),
        cmocka_unit_test(a_failed_copy_is_told_and_never_found),
        cmocka_unit_test(open_survives_any_failed_allocation),
        cmocka_unit_test(allocates_nothing_after_open),
    };
    return cmocka_run_group_tests_name("kv cache", tests, NULL, NULL);
}
