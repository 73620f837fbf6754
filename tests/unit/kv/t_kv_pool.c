/* The block pool: its invariants under churn, sharing, exhaustion, and a pool that can't be made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "fault.h"
#include "kv/kv.h"
#include "base/rng.h"
#include "base/banned.h"

#define N_BLOCKS 37
#define N_TABLES 12
#define ROOM     20

static struct kv_pool make_pool(uint32_t n_blocks, uint32_t block_tokens)
{
    struct kv_pool pool;
    assert_int_equal(kv_pool_init(&pool, n_blocks, block_tokens, NULL), PL_OK);
    return pool;
}

static void counts_blocks_without_overflow(void **state)
{
    (void)state;
    const struct {
        uint32_t block_tokens, n_tokens, expected;
    } cases[] = {
        {16, 0, 0},        {16, 1, 1}, {16, 16, 1}, {16, 17, 2}, {16, UINT32_MAX, 268435456},
        {1, 12345, 12345}, {5, 11, 3},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct kv_pool pool = {.block_tokens = cases[i].block_tokens};
        assert_int_equal(kv_blocks_for(&pool, cases[i].n_tokens), cases[i].expected);
    }
}

static void gives_each_block_once_and_takes_it_back(void **state)
{
    (void)state;
    struct kv_pool pool = make_pool(N_BLOCKS, 16);
    bool seen[N_BLOCKS] = {false};
    int32_t block = -1;
    for (uint32_t i = 0; i < N_BLOCKS; i++) {
        assert_true(kv_block_alloc(&pool, &block));
        assert_in_range(block, 0, N_BLOCKS - 1);
        assert_false(seen[block]);
        seen[block] = true;
        assert_true(kv_pool_check(&pool));
    }
    int32_t untouched = -5;
    assert_false(kv_block_alloc(&pool, &untouched));
    assert_int_equal(untouched, -5);
    for (int32_t i = 0; i < N_BLOCKS; i++)
        kv_block_unref(&pool, i);
    assert_int_equal(pool.n_free, N_BLOCKS);
    assert_true(kv_pool_check(&pool));
    kv_pool_deinit(&pool);
}

static void a_shared_block_is_free_after_its_last_owner(void **state)
{
    (void)state;
    struct kv_pool pool = make_pool(2, 16);
    int32_t block = -1;
    assert_true(kv_block_alloc(&pool, &block));
    kv_block_ref(&pool, block);
    kv_block_ref(&pool, block);
    kv_block_unref(&pool, block);
    kv_block_unref(&pool, block);
    assert_int_equal(pool.n_free, 1);
    kv_block_unref(&pool, block);
    assert_int_equal(pool.n_free, 2);
    assert_true(kv_pool_check(&pool));
    kv_pool_deinit(&pool);
}

static void a_table_grows_by_all_blocks_or_none(void **state)
{
    (void)state;
    struct kv_pool pool = make_pool(4, 16);
    int32_t storage[2][8];
    struct kv_table a = {.blocks = storage[0], .n_blocks_max = 8};
    struct kv_table b = {.blocks = storage[1], .n_blocks_max = 8};
    assert_true(kv_table_grow(&a, &pool, 33));
    assert_int_equal(a.n_blocks, 3);
    assert_true(kv_table_grow(&a, &pool, 48)); /* fits already */
    assert_true(kv_table_grow(&a, &pool, 1));
    assert_int_equal(a.n_blocks, 3);
    assert_false(kv_table_grow(&b, &pool, 17));
    assert_int_equal(b.n_blocks, 0);
    assert_int_equal(pool.n_free, 1);
    kv_table_clear(&a, &pool);
    assert_true(kv_table_grow(&b, &pool, 64));
    assert_int_equal(pool.n_free, 0);
    kv_table_clear(&b, &pool);
    kv_table_clear(&b, &pool); /* empty already */
    assert_int_equal(pool.n_free, 4);
    kv_pool_deinit(&pool);
}

/* Counts owners from the tables, which the pool can't see (invariant 3). */
static void assert_owners(const struct kv_pool *pool, const struct kv_table *tables)
{
    uint32_t refs[N_BLOCKS] = {0};
    for (int t = 0; t < N_TABLES; t++)
        for (uint32_t i = 0; i < tables[t].n_blocks; i++)
            refs[tables[t].blocks[i]]++;
    assert_memory_equal(refs, pool->refs, sizeof refs);
    assert_true(kv_pool_check(pool));
}

static void invariants_hold_under_random_churn(void **state)
{
    (void)state;
    struct kv_pool pool = make_pool(N_BLOCKS, 4);
    static int32_t storage[N_TABLES][ROOM];
    struct kv_table tables[N_TABLES];
    uint32_t n_refused = 0;
    for (int t = 0; t < N_TABLES; t++)
        tables[t] = (struct kv_table){.blocks = storage[t], .n_blocks_max = ROOM};
    fault_fail_at(0);
    for (uint64_t step = 0; step < 20000; step++) {
        uint32_t words[4];
        rng_philox(99, step, 0, words);
        struct kv_table *table = &tables[words[0] % N_TABLES];
        const struct kv_table *other = &tables[words[1] % N_TABLES];
        if (words[2] % 3 == 0) {
            kv_table_clear(table, &pool);
        } else if (words[2] % 7 == 1 && table->n_blocks == 0) {
            /* shares the other's beginning, as a cached prefix will */
            for (uint32_t i = 0; i < other->n_blocks / 2; i++) {
                kv_block_ref(&pool, other->blocks[i]);
                table->blocks[table->n_blocks++] = other->blocks[i];
            }
        } else {
            uint32_t n_tokens = words[3] % (ROOM * 4 + 1);
            uint32_t before = table->n_blocks;
            bool grown = kv_table_grow(table, &pool, n_tokens);
            assert_int_equal(table->n_blocks,
                             grown ? PL_MAX(before, kv_blocks_for(&pool, n_tokens)) : before);
            n_refused += !grown;
        }
        assert_owners(&pool, tables);
    }
    assert_int_equal(fault_count(), 0); /* nothing allocates after init */
    assert_true(n_refused > 100);
    for (int t = 0; t < N_TABLES; t++)
        kv_table_clear(&tables[t], &pool);
    assert_int_equal(pool.n_free, N_BLOCKS);
    kv_pool_deinit(&pool);
}

static void the_check_sees_damage(void **state)
{
    (void)state;
    for (int damage = 0; damage < 4; damage++) {
        struct kv_pool pool = make_pool(8, 16);
        int32_t block = -1;
        assert_true(kv_block_alloc(&pool, &block));
        switch (damage) {
        case 0: pool.n_free++; break;
        case 1: pool.refs[block] = 0; break;
        case 2: pool.refs[pool.free_head] = 1; break;
        default: pool.next[7] = pool.free_head; break; /* a cycle */
        }
        assert_false(kv_pool_check(&pool));
        kv_pool_deinit(&pool);
    }
}

static void refuses_a_pool_of_nothing_and_one_without_memory(void **state)
{
    (void)state;
    struct kv_pool pool = {0};
    struct pl_error err = {{0}};
    assert_int_equal(kv_pool_init(&pool, 0, 16, &err), PL_EINVAL);
    assert_int_equal(kv_pool_init(&pool, 4, 0, &err), PL_EINVAL);
    assert_int_equal(kv_pool_init(&pool, KV_BLOCKS_MAX + 1, 16, &err), PL_EINVAL);
    fault_fail_at(1);
    assert_int_equal(kv_pool_init(&pool, 4, 16, &err), PL_ENOMEM);
    fault_fail_at(0);
    assert_null(pool.next);
    kv_pool_deinit(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_blocks_without_overflow),
        cmocka_unit_test(gives_each_block_once_and_takes_it_back),
        cmocka_unit_test(a_shared_block_is_free_after_its_last_owner),
        cmocka_unit_test(a_table_grows_by_all_blocks_or_none),
        cmocka_unit_test(invariants_hold_under_random_churn),
        cmocka_unit_test(the_check_sees_damage),
        cmocka_unit_test(refuses_a_pool_of_nothing_and_one_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
