/*
 * Fuzzes the disk tier's file: any bytes as 'blocks' are opened, scanned and read. Nothing that the file says may lead
 * beyond a buffer, and no block may come back that was not written under the folder's key.
 *
 * Input: edits of a good file of six slots in two groups, each {offset u16, value u8, flags u8}. With flag 1 the
 * header around the offset, with flag 2 the superblock is signed again: else no edit would get past the MACs.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk_file.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define FILE_MAX 65536

static char dir[64];
static unsigned char good[FILE_MAX];
static size_t n_good;
static struct kv_disk_options options = {
    .bytes = 28672,
    .block_tokens = 4,
    .n_groups = 2,
    .groups = {{.n_blocks = 3, .block_bytes = 64}, {.n_blocks = 3, .block_bytes = 100}},
};
static const struct kv_hash names[3] = {{{1, 2}}, {{3, 4}}, {{5, 6}}};

static void fill(unsigned char *block, size_t n, uint32_t g, uint32_t slot)
{
    for (size_t i = 0; i < n; i++)
        block[i] = (unsigned char)(i * 7 + (size_t)slot * 50 + (size_t)g * 100);
}

static void remove_dir(void)
{
    char path[96];
    const char *files[] = {"blocks", "key", "lock"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void make_good(void)
{
    struct kv_disk_file file;
    unsigned char block[100];
    snprintf(dir, sizeof dir, "%s/polder-fuzz-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (mkdtemp(dir) == NULL)
        abort();
    atexit(remove_dir);
    options.dir = dir;
    if (kv_disk_open(&options, &file, NULL) != PL_OK)
        abort();
    for (uint32_t g = 0; g < 2; g++) {
        for (uint32_t slot = 0; slot < 3; slot++) {
            fill(block, sizeof block, g, slot);
            if (kv_disk_write(&file, g, slot, slot + 1, &names[slot], block, NULL) != PL_OK)
                abort();
        }
    }
    ssize_t got = pread(file.fd, good, sizeof good, 0);
    if (got <= 0)
        abort();
    n_good = (size_t)got;
    kv_disk_close(&file);
}

static void sign(const struct blake2b *key, unsigned char *at, size_t n)
{
    struct blake2b state = *key;
    blake2b_update(&state, at, n);
    blake2b_final(&state, at + n);
}

/* A header that says what this harness signed itself proves nothing: only data under a digest counts. */
static void on_slot(void *user, uint32_t slot, uint64_t number, const struct kv_hash *hash)
{
    (void)number;
    struct kv_hash *found = user;
    if (slot < 8)
        found[slot] = *hash;
}

static void read_all(struct kv_disk_file *file)
{
    for (uint32_t g = 0; g < 2; g++) {
        struct kv_hash found[8] = {{{0, 0}}};
        unsigned char block[100];
        unsigned char expected[100];
        uint64_t n_bad = 0;
        if (kv_disk_scan(file, g, on_slot, found, &n_bad, NULL) != PL_OK)
            abort();
        for (uint32_t slot = 0; slot < file->groups[g].n_slots && slot < 8; slot++) {
            if (kv_disk_read(file, g, slot, &found[slot], block, NULL) != PL_OK)
                continue;
            fill(expected, sizeof expected, g, slot);
            if (slot >= 3 || memcmp(block, expected, file->groups[g].block_bytes) != 0)
                abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static unsigned char bytes[FILE_MAX];
    struct kv_disk_file file;
    if (n_good == 0)
        make_good();
    memcpy(bytes, good, n_good);
    if (kv_disk_open(&options, &file, NULL) != PL_OK)
        return 0; /* another fuzzer's turn */
    size_t n_bytes = n_good;
    for (size_t i = 0; i + 4 <= n; i += 4) {
        size_t at = (data[i] | (size_t)data[i + 1] << 8) % n_good;
        if ((data[i + 3] & 4) != 0)
            n_bytes = at;
        bytes[at] = data[i + 2];
        if ((data[i + 3] & 1) != 0 && at >= 4096) {
            at -= at % KV_DISK_HEADER_BYTES;
            if (at + KV_DISK_HEADER_BYTES <= n_good)
                sign(&file.header_mac, bytes + at, 96);
        }
        if ((data[i + 3] & 2) != 0)
            sign(&file.super_mac, bytes, 240);
    }
    if (pwrite(file.fd, bytes, n_bytes, 0) != (ssize_t)n_bytes ||
        ftruncate(file.fd, (off_t)n_bytes) != 0)
        abort();
    kv_disk_close(&file);
    if (kv_disk_open(&options, &file, NULL) == PL_OK)
        read_all(&file);
    kv_disk_close(&file);
    return 0;
}
