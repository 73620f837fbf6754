/* A rig over a folder for its disk tier; see disk_rig.h. */
#include "disk_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/banned.h"

struct rig rig;
struct rig_seq a;
char dir[64];

struct kv_cache_options options_of(uint32_t n_blocks, uint32_t n_slots)
{
    struct kv_cache_options o = rig_options(P, n_blocks, 1, NULL);
    o.disk_dir = dir;
    o.disk_bytes = 16384 + n_slots * (o.groups[0].block_bytes + 32 + 128);
    return o;
}

void open_rig(const struct kv_cache_options *o)
{
    struct pl_error err = {{0}};
    if (rig_open(&rig, o, &err) != PL_OK)
        fail_msg("%s", err.msg);
    rig_scramble(&rig);
}

void close_rig(void)
{
    assert_true(kv_cache_check(rig.cache));
    assert_int_equal(rig_stats(&rig).blocks_held, 0);
    rig_close(&rig);
}

/* Tokens that were cached of n tokens from `first`. */
uint32_t run(uint32_t scope_i, int32_t first, uint32_t n)
{
    rig_seq_init(&rig, &a, scope_i);
    rig_seq_add_n(&rig, &a, first, n);
    return rig_run(&rig, &a);
}

/* Uses idle time until n blocks have been stored. */
void await_stored(uint64_t n)
{
    for (int i = 0; i < 50000 && rig_stats(&rig).disk_stored < n; i++)
        if (!kv_cache_idle(rig.cache))
            usleep(100);
    assert_int_equal(rig_stats(&rig).disk_stored, n);
}

void path_of(const char *name, char ret[96])
{
    snprintf(ret, 96, "%s/%s", dir, name);
}

unsigned char *read_file(const char *name, size_t *ret_n)
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

void write_file(const char *name, const unsigned char *data, size_t n)
{
    char path[96];
    path_of(name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(ftruncate(fd, (off_t)n), 0); /* O_TRUNC makes some file systems wait */
    close(fd);
}
