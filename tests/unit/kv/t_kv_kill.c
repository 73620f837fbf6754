/*
 * kill -9 at any moment of disk-tier writes, 200 times: each next process finds blocks, and all that it finds is right.
 *
 * The folder is kept over all rounds, smaller than what is written, so that slots are overwritten all the time. The
 * child checks each hit cell by cell (rig.h) and exits on a wrong one; only a death by signal counts as passed.
 */
#include "rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/banned.h"

#define P         4
#define ROUNDS    200
#define N_PROMPTS 12
#define PIECE     4096 /* written at a time: a block is 16 of them, so that a kill finds it half done */

ssize_t __real_pwritev(int fd, const struct iovec *part, int n, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *part, int n, off_t offset);

static _Atomic long n_pieces;

ssize_t __wrap_pwritev(int fd, const struct iovec *part, int n, off_t offset)
{
    struct iovec some = *part;
    if (some.iov_len > PIECE)
        some.iov_len = PIECE;
    if (atomic_fetch_add(&n_pieces, 1) % 8 == 5)
        usleep(100); /* a slow disk: more kills meet a half-written block */
    return __real_pwritev(fd, &some, n, offset);
}

static struct rig rig;
static struct rig_seq seq;
static _Atomic uint64_t *n_torn; /* shared with the children: blocks that they dropped */

static struct kv_cache_options options_of(const char *dir)
{
    struct kv_cache_options o = rig_options(P, 24, 1, NULL);
    o.groups[0].block_bytes = (uint64_t)16 * PIECE;
    o.disk_dir = dir;
    o.disk_bytes = (uint64_t)60 * (16 * PIECE + 128) + 32768;
    return o;
}

static uint32_t run(uint32_t prompt)
{
    rig_seq_init(&rig, &seq, prompt % 3);
    rig_seq_add_n(&rig, &seq, (int32_t)(prompt / 3) * 1000, 30 + 4 * prompt);
    return rig_run(&rig, &seq);
}

/* Never returns: works until it is killed. Ready: a byte once the cache is open. */
static void be_killed(const char *dir, int ready_fd, uint64_t seed)
{
    struct kv_cache_options o = options_of(dir);
    if (rig_open(&rig, &o, NULL) != PL_OK || rig.n_logs > 0)
        _exit(3);
    rig_scramble(&rig);
    if (write(ready_fd, "r", 1) != 1)
        _exit(4);
    for (uint64_t n = 0;; n++) {
        uint32_t words[4];
        rng_philox(seed, n, 0, words);
        uint64_t n_before = rig_stats(&rig).disk_dropped;
        (void)run(words[0] % N_PROMPTS);
        atomic_fetch_add(n_torn, rig_stats(&rig).disk_dropped - n_before);
        while (kv_cache_idle(rig.cache)) {
        }
        if (rig_stats(&rig).disk_errors > 0)
            _exit(5);
    }
}

static void kill_9_never_leaves_wrong_content(void **state)
{
    (void)state;
    char dir[64];
    uint64_t n_hit = 0;
    n_torn = mmap(NULL, sizeof *n_torn, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(n_torn != MAP_FAILED);
    rig_make_dir(dir);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            be_killed(dir, ready[1], round);
        char byte = 0;
        assert_int_equal(read(ready[0], &byte, 1), 1);
        uint32_t words[4];
        rng_philox(7, round, 0, words);
        usleep(words[0] % 12000);
        assert_int_equal(kill(child, SIGKILL), 0);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(ready[0]);
        close(ready[1]);
        if (round % 10 != 9)
            continue;
        struct kv_cache_options o = options_of(dir); /* a look in between, stored blocks and all */
        assert_int_equal(rig_open(&rig, &o, NULL), PL_OK);
        rig_scramble(&rig);
        for (uint32_t prompt = 0; prompt < N_PROMPTS; prompt++)
            n_hit += run(prompt);
        atomic_fetch_add(n_torn, rig_stats(&rig).disk_dropped);
        assert_int_equal(rig.n_logs, 0);
        assert_true(kv_cache_check(rig.cache));
        rig_close(&rig);
    }
    print_message("%llu tokens hit, %llu torn blocks dropped\n", (unsigned long long)n_hit,
                  (unsigned long long)atomic_load(n_torn));
    assert_true(n_hit > 0);
    rig_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kill_9_never_leaves_wrong_content)};
    return cmocka_run_group_tests_name("kv kill -9", tests, NULL, NULL);
}
