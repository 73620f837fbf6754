/*
 * aarch64/cmocka.h - the few names of cmocka that the kernel tests use, for a cross build without it.
 *
 * A failing assertion ends the test; the group goes on with the next and prints TAP.
 *
 * Threads: one.  Source: ours, after cmocka's interface (cmocka.org).
 */
#ifndef AARCH64_CMOCKA_H
#define AARCH64_CMOCKA_H

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
    void *setup, *teardown, *state;
};

/* One per program: each test is one source beside the rig, which fails through these too. */
extern jmp_buf cmocka_back;
__attribute__((weak)) jmp_buf cmocka_back;

#define print_message(...) printf(__VA_ARGS__)
#define fail_msg(...)                                                                              \
    do {                                                                                           \
        printf("# %s:%d: ", __FILE__, __LINE__);                                                   \
        printf(__VA_ARGS__);                                                                       \
        printf("\n");                                                                              \
        longjmp(cmocka_back, 1);                                                                   \
    } while (0)
#define skip() longjmp(cmocka_back, 2)

#define assert_true(x)                                                                             \
    do {                                                                                           \
        if (!(x))                                                                                  \
            fail_msg("%s", #x);                                                                    \
    } while (0)
#define assert_non_null(x)           assert_true((x) != NULL)
#define assert_null(x)               assert_true((x) == NULL)
#define assert_int_equal(a, b)       assert_true((long long)(a) == (long long)(b))
#define assert_memory_equal(a, b, n) assert_true(memcmp((a), (b), (n)) == 0)

static inline int cmocka_run_all(const struct CMUnitTest *tests, size_t n)
{
    volatile int failed = 0; /* kept across longjmp */
    printf("1..%zu\n", n);
    for (volatile size_t i = 0; i < n; i++) {
        void *state = NULL;
        int how = setjmp(cmocka_back);
        if (how == 0)
            tests[i].run(&state);
        failed = failed + (how == 1);
        printf("%s %zu - %s%s\n", how == 1 ? "not ok" : "ok", i + 1, tests[i].name,
               how == 2 ? " # SKIP" : "");
        fflush(stdout);
    }
    return failed;
}

#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cmocka_run_all((tests), sizeof(tests) / sizeof((tests)[0]))

#endif
