/* The disk tier's file: superblock, slots, scan; see disk_file.h and docs/formats/kv-disk.md. */
#include "disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"

#include "disk_folder.h"
#include "base/banned.h"

/* Superblock. */
#define AT_VERSION      16
#define AT_SUPER_BYTES  20
#define AT_HEADER_BYTES 24
#define AT_BLOCK_TOKENS 28
#define AT_MODEL_ID     32
#define AT_EPOCH        64
#define AT_N_GROUPS     72
#define AT_GROUPS       80 /* 40 bytes each */
#define GROUP_BYTES     40
#define AT_SUPER_MAC    240
#define SUPER_USED      272

static const char super_magic[16] = "polder kv blocks";
#define VERSION 1u

/* Header of a slot. */
#define AT_MAGIC      0
#define AT_GROUP      4
#define AT_SLOT       8
#define AT_NUMBER     16
#define AT_HASH       24
#define AT_BYTES      40
#define AT_SLOT_EPOCH 48
#define AT_DIGEST     56
#define AT_HEADER_MAC 96
#define MAC_BYTES     32
#define HEADER_MAGIC  0x424b4c50u /* "PLKB" */
#define SCAN_HEADERS  4096u       /* read at a time: 512 KiB */

_Static_assert(AT_GROUPS + KV_GROUPS_MAX * GROUP_BYTES <= AT_SUPER_MAC,
               "groups fit the superblock");
_Static_assert(AT_DIGEST + MAC_BYTES <= AT_HEADER_MAC, "digest fits the header");
_Static_assert(AT_HEADER_MAC + MAC_BYTES == KV_DISK_HEADER_BYTES, "header ends with its MAC");
_Static_assert(sizeof(struct kv_hash) == AT_BYTES - AT_HASH, "hash fits the header");

static void put32(unsigned char *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static void put64(unsigned char *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get64(const unsigned char *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

/* ---- reading and writing --------------------------------------------------------------------- */

static enum pl_status io_error(struct pl_error *err, const char *what)
{
    return pl_error_set(err, PL_EIO, "kv: disk tier: %s: %s", what, strerrordesc_np(errno));
}

/* What was read, less than n only at the end of the file; -1 with errno. */
static ssize_t read_all(int fd, void *data, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        struct iovec part = {(char *)data + done, n - done};
        ssize_t got = preadv(fd, &part, 1, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static bool write_all(int fd, const void *data, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        union { /* writev reads only, its type does not say so */
            const void *in;
            void *out;
        } from = {.in = (const char *)data + done};
        struct iovec part = {from.out, n - done};
        ssize_t put = pwritev(fd, &part, 1, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put == 0)
            errno = ENOSPC;
        if (put <= 0)
            return false;
        done += (size_t)put;
    }
    return true;
}

static void mac_of(const struct blake2b *keyed, const void *data, size_t n, unsigned char *ret)
{
    struct blake2b state = *keyed;
    blake2b_update(&state, data, n);
    blake2b_final(&state, ret);
}

static bool is_zero(const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* ---- geometry -------------------------------------------------------------------------------- */

bool kv_share_bytes(uint64_t bytes, uint32_t n_groups, const struct kv_group_options *groups,
                    const uint64_t *slot_bytes, uint32_t *ret_n_slots)
{
    double all = 0;
    for (uint32_t g = 0; g < n_groups; g++)
        all += (double)groups[g].n_blocks * (double)slot_bytes[g];
    uint64_t used = 0;
    for (uint32_t g = 0; g < n_groups; g++) {
        double n = (double)bytes / all * (double)groups[g].n_blocks;
        ret_n_slots[g] = n >= KV_BLOCKS_MAX ? KV_BLOCKS_MAX : (uint32_t)n;
        used += ret_n_slots[g] * slot_bytes[g];
    }
    for (uint32_t g = 0; g < n_groups; g++) {
        while (used > bytes && ret_n_slots[g] > 0) { /* rounding, at most a slot */
            ret_n_slots[g]--;
            used -= slot_bytes[g];
        }
        if (ret_n_slots[g] == 0)
            return false;
    }
    return true;
}

static uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static enum pl_status lay_out(const struct kv_disk_options *o, struct kv_disk_file *file,
                              struct pl_error *err)
{
    uint64_t slot_bytes[KV_GROUPS_MAX];
    uint32_t n_slots[KV_GROUPS_MAX];
    uint64_t least =
        (uint64_t)2 * KV_DISK_SUPER_BYTES; /* superblock, key; then parts start on pages */
    for (uint32_t g = 0; g < o->n_groups; g++) {
        uint64_t bytes = o->groups[g].block_bytes;
        file->groups[g].block_bytes = bytes;
        file->groups[g].stride_bytes = align_up(bytes, bytes >= 4096 ? 4096 : 64);
        slot_bytes[g] = file->groups[g].stride_bytes + KV_DISK_HEADER_BYTES;
        least += (uint64_t)2 * 4096;
    }
    if (o->bytes < least ||
        !kv_share_bytes(o->bytes - least, o->n_groups, o->groups, slot_bytes, n_slots))
        return pl_error_set(err, PL_EINVAL, "kv: %llu bytes of disk are too few for a block",
                            (unsigned long long)o->bytes);
    uint64_t offset = KV_DISK_SUPER_BYTES;
    for (uint32_t g = 0; g < o->n_groups; g++) {
        file->groups[g].n_slots = n_slots[g];
        file->groups[g].header_offset = offset;
        offset = align_up(offset + (uint64_t)n_slots[g] * KV_DISK_HEADER_BYTES, 4096);
    }
    for (uint32_t g = 0; g < o->n_groups; g++) {
        file->groups[g].data_offset = offset;
        offset = align_up(offset + n_slots[g] * file->groups[g].stride_bytes, 4096);
    }
    return PL_OK;
}

/* ---- superblock ------------------------------------------------------------------------------ */

static void make_super(const struct kv_disk_file *file, unsigned char *super)
{
    memset(super, 0, KV_DISK_SUPER_BYTES);
    memcpy(super, super_magic, sizeof super_magic);
    put32(super + AT_VERSION, VERSION);
    put32(super + AT_SUPER_BYTES, KV_DISK_SUPER_BYTES);
    put32(super + AT_HEADER_BYTES, KV_DISK_HEADER_BYTES);
    put32(super + AT_BLOCK_TOKENS, file->block_tokens);
    memcpy(super + AT_MODEL_ID, file->model_id, sizeof file->model_id);
    put64(super + AT_EPOCH, file->epoch);
    put32(super + AT_N_GROUPS, file->n_groups);
    for (uint32_t g = 0; g < file->n_groups; g++) {
        const struct kv_disk_group *group = &file->groups[g];
        unsigned char *at = super + AT_GROUPS + (size_t)g * GROUP_BYTES;
        put64(at, group->block_bytes);
        put64(at + 8, group->stride_bytes);
        put64(at + 16, group->header_offset);
        put64(at + 24, group->data_offset);
        put32(at + 32, group->n_slots);
    }
    mac_of(&file->super_mac, super, AT_SUPER_MAC, super + AT_SUPER_MAC);
}

static enum pl_status write_super(struct kv_disk_file *file, struct pl_error *err)
{
    unsigned char super[KV_DISK_SUPER_BYTES];
    make_super(file, super);
    if (!write_all(file->fd, super, sizeof super, 0))
        return io_error(err, "the superblock can't be written");
    return PL_OK;
}

/* Uses the file as it is, or makes it anew. */
static enum pl_status use_file(struct kv_disk_file *file, struct pl_error *err)
{
    unsigned char found[KV_DISK_SUPER_BYTES];
    unsigned char expected[KV_DISK_SUPER_BYTES];
    ssize_t n = read_all(file->fd, found, sizeof found, 0);
    if (n < 0)
        return io_error(err, "the superblock can't be read");
    bool ours =
        n >= (ssize_t)sizeof super_magic && memcmp(found, super_magic, sizeof super_magic) == 0;
    if (!ours && !is_zero(found, (size_t)n)) /* zero: new, or a crash of the machine took it */
        return pl_error_set(err, PL_EFORMAT,
                            "kv: disk tier: 'blocks' in its folder is not a file of KV blocks");
    if (n == KV_DISK_SUPER_BYTES) {
        file->epoch = get64(found + AT_EPOCH);
        make_super(file, expected);
        if (memcmp(found, expected, sizeof found) == 0) /* the MAC included: it is no secret */
            return PL_OK;
    }
    file->epoch = 1; /* another version, geometry, model or key: nothing of it can be used */
    if (ftruncate(file->fd, 0) != 0)
        return io_error(err, "'blocks' can't be emptied");
    return write_super(file, err);
}

static void derive_keys(struct kv_disk_file *file, const unsigned char *key)
{
    const struct {
        const char *use;
        struct blake2b *mac;
    } macs[] = {
        {"polder-kv-super", &file->super_mac},
        {"polder-kv-header", &file->header_mac},
        {"polder-kv-data", &file->data_mac},
    };
    for (size_t i = 0; i < PL_ARRAY_LEN(macs); i++)
        blake2b_init(macs[i].mac, MAC_BYTES, key, KV_DISK_KEY_BYTES, macs[i].use);
    struct blake2b state;
    blake2b_init(&state, sizeof file->hash_key, key, KV_DISK_KEY_BYTES, "polder-kv-names");
    blake2b_final(&state, file->hash_key);
}

enum pl_status kv_disk_open(const struct kv_disk_options *options, struct kv_disk_file *ret,
                            struct pl_error *err)
{
    struct kv_disk_file file = {
        .dir_fd = -1,
        .lock_fd = -1,
        .fd = -1,
        .n_groups = options->n_groups,
        .block_tokens = options->block_tokens,
    };
    memcpy(file.model_id, options->model_id, sizeof file.model_id);
    *ret = file;
    unsigned char key[KV_DISK_KEY_BYTES];
    enum pl_status status = lay_out(options, &file, err);
    if (status == PL_OK)
        status = kv_folder_open(options->dir, &file.dir_fd, &file.lock_fd, key, err);
    if (status == PL_OK) {
        derive_keys(&file, key);
        status = kv_folder_file(file.dir_fd, "blocks", &file.fd, err);
    }
    if (status == PL_OK)
        status = use_file(&file, err);
    if (status != PL_OK)
        kv_disk_close(&file);
    *ret = file;
    return status;
}

void kv_disk_close(struct kv_disk_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->lock_fd >= 0)
        close(file->lock_fd); /* and with it the lock */
    if (file->dir_fd >= 0)
        close(file->dir_fd);
    file->fd = file->lock_fd = file->dir_fd = -1;
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* All of a header but its MAC, digest included if it is known. */
static void make_header(const struct kv_disk_file *file, uint32_t group_i, uint32_t slot,
                        uint64_t number, const struct kv_hash *hash, unsigned char *header)
{
    memset(header, 0, KV_DISK_HEADER_BYTES);
    put32(header + AT_MAGIC, HEADER_MAGIC);
    put32(header + AT_GROUP, group_i);
    put32(header + AT_SLOT, slot);
    put64(header + AT_NUMBER, number);
    memcpy(header + AT_HASH, hash, sizeof *hash);
    put64(header + AT_BYTES, file->groups[group_i].block_bytes);
    put64(header + AT_SLOT_EPOCH, file->epoch);
}

/* Whether the header is genuine, of this slot and of this epoch. */
static bool parse_header(const struct kv_disk_file *file, uint32_t group_i, uint32_t slot,
                         const unsigned char *header, uint64_t *ret_number,
                         struct kv_hash *ret_hash)
{
    unsigned char mac[MAC_BYTES];
    mac_of(&file->header_mac, header, AT_HEADER_MAC, mac);
    if (!blake2b_equal(mac, header + AT_HEADER_MAC, MAC_BYTES))
        return false;
    unsigned char expected[KV_DISK_HEADER_BYTES];
    *ret_number = get64(header + AT_NUMBER);
    memcpy(ret_hash, header + AT_HASH, sizeof *ret_hash);
    make_header(file, group_i, slot, *ret_number, ret_hash, expected);
    return memcmp(header, expected, AT_DIGEST) == 0 && (ret_hash->w[0] | ret_hash->w[1]) != 0;
}

enum pl_status kv_disk_scan(struct kv_disk_file *file, uint32_t group_i, kv_disk_slot_fn *on_slot,
                            void *user, uint64_t *ret_n_bad, struct pl_error *err)
{
    const struct kv_disk_group *group = &file->groups[group_i];
    unsigned char *headers = malloc((size_t)SCAN_HEADERS * KV_DISK_HEADER_BYTES);
    if (headers == NULL)
        return pl_error_set(err, PL_ENOMEM, "kv: no memory to read the disk tier's headers");
    uint64_t n_bad = 0;
    enum pl_status status = PL_OK;
    for (uint32_t first = 0; first < group->n_slots; first += SCAN_HEADERS) {
        uint32_t n = PL_MIN(group->n_slots - first, SCAN_HEADERS);
        uint64_t offset = group->header_offset + (uint64_t)first * KV_DISK_HEADER_BYTES;
        ssize_t got = read_all(file->fd, headers, (size_t)n * KV_DISK_HEADER_BYTES, offset);
        if (got < 0) {
            status = io_error(err, "headers can't be read");
            break;
        }
        for (uint32_t i = 0; i < (size_t)got / KV_DISK_HEADER_BYTES; i++) {
            const unsigned char *header = headers + (size_t)i * KV_DISK_HEADER_BYTES;
            uint64_t number = 0;
            struct kv_hash hash;
            if (is_zero(header, KV_DISK_HEADER_BYTES))
                continue;
            if (parse_header(file, group_i, first + i, header, &number, &hash))
                on_slot(user, first + i, number, &hash);
            else
                n_bad++;
        }
        if ((size_t)got < (size_t)n * KV_DISK_HEADER_BYTES)
            break; /* the file ends here: the rest is empty */
    }
    free(headers);
    if (status == PL_OK)
        *ret_n_bad = n_bad;
    return status;
}

static uint64_t header_at(const struct kv_disk_group *group, uint32_t slot)
{
    return group->header_offset + (uint64_t)slot * KV_DISK_HEADER_BYTES;
}

enum pl_status kv_disk_write(struct kv_disk_file *file, uint32_t group_i, uint32_t slot,
                             uint64_t number, const struct kv_hash *hash, const void *data,
                             struct pl_error *err)
{
    const struct kv_disk_group *group = &file->groups[group_i];
    PL_CHECK(slot < group->n_slots);
    unsigned char header[KV_DISK_HEADER_BYTES];
    make_header(file, group_i, slot, number, hash, header);
    mac_of(&file->data_mac, data, group->block_bytes, header + AT_DIGEST);
    mac_of(&file->header_mac, header, AT_HEADER_MAC, header + AT_HEADER_MAC);
    /* While the block is half written the slot's old header, if any, has another digest. */
    if (!write_all(file->fd, data, group->block_bytes,
                   group->data_offset + slot * group->stride_bytes) ||
        !write_all(file->fd, header, sizeof header, header_at(group, slot)))
        return io_error(err, "a block can't be written");
    return PL_OK;
}

enum pl_status kv_disk_read(struct kv_disk_file *file, uint32_t group_i, uint32_t slot,
                            const struct kv_hash *hash, void *data, struct pl_error *err)
{
    const struct kv_disk_group *group = &file->groups[group_i];
    PL_CHECK(slot < group->n_slots);
    unsigned char header[KV_DISK_HEADER_BYTES] = {0};
    ssize_t n_header = read_all(file->fd, header, sizeof header, header_at(group, slot));
    ssize_t n_data = n_header < 0 ? -1
                                  : read_all(file->fd, data, group->block_bytes,
                                             group->data_offset + slot * group->stride_bytes);
    if (n_header < 0 || n_data < 0)
        return io_error(err, "a block can't be read");
    uint64_t number = 0;
    struct kv_hash found;
    unsigned char digest[MAC_BYTES];
    if ((size_t)n_header < sizeof header || (size_t)n_data < group->block_bytes ||
        !parse_header(file, group_i, slot, header, &number, &found) ||
        memcmp(&found, hash, sizeof found) != 0)
        return pl_error_set(err, PL_EFORMAT, "kv: disk tier: the header of a block is not its own");
    mac_of(&file->data_mac, data, group->block_bytes, digest);
    if (!blake2b_equal(digest, header + AT_DIGEST, MAC_BYTES))
        return pl_error_set(err, PL_EFORMAT, "kv: disk tier: a block is torn");
    return PL_OK;
}

enum pl_status kv_disk_clear(struct kv_disk_file *file, struct pl_error *err)
{
    file->epoch++;
    enum pl_status status = write_super(file, err); /* from here on all headers are void */
    if (status == PL_OK && ftruncate(file->fd, KV_DISK_SUPER_BYTES) != 0)
        status = io_error(err, "'blocks' can't be cut");
    return status;
}
