/* See impl.h. Reads the header, the key-value pairs and the tensor table of a GGUF file.
 *
 *   offset  bytes  what (all numbers little-endian)
 *   0       4      magic "GGUF"
 *   4       4      version, u32: 2 or 3
 *   8       8      tensor count, u64
 *   16      8      key count, u64
 *   24      ...    keys: string key | u32 type | value
 *                  array value: u32 element type | u64 n | n values
 *                  string: u64 length | bytes
 *   ...     ...    tensors: string name | u32 n_dims | n_dims x u64 | u32 type | u64 offset
 *   align   ...    data; tensor offsets count from here
 *
 * Nothing nests (arrays of arrays are refused), so nothing recurses. A count is believed only after
 * the bytes that are left could hold it. */
#include "impl.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* Smallest encodings, for the plausibility of counts. */
#define KV_BYTES_MIN     (8 + 1 + 4 + 1)
#define TENSOR_BYTES_MIN (8 + 1 + 4 + 8 + 4 + 8)
#define STRING_BYTES_MIN 8

struct cursor {
    const unsigned char *data;
    size_t bytes;
    size_t at;                      /* next byte; at <= bytes */
    char subject[GGUF_SUBJECT_MAX]; /* what is being read, for messages */
    struct pl_error *err;
};

static size_t left(const struct cursor *c)
{
    return c->bytes - c->at;
}

static void set_subject(struct cursor *c, const char *kind, struct gguf_str name)
{
    char text[GGUF_SUBJECT_MAX - 16];
    gguf_printable(name, text, sizeof text);
    snprintf(c->subject, sizeof c->subject, "%s '%s'", kind, text);
}

static enum pl_status ends_inside(const struct cursor *c, const char *part)
{
    return pl_error_set(c->err, PL_EFORMAT,
                        "gguf: %s: file of %zu bytes ends inside %s at byte %zu", c->subject,
                        c->bytes, part, c->at);
}

static enum pl_status read_u32(struct cursor *c, const char *part, uint32_t *ret)
{
    if (left(c) < sizeof *ret)
        return ends_inside(c, part);
    memcpy(ret, c->data + c->at, sizeof *ret);
    c->at += sizeof *ret;
    return PL_OK;
}

static enum pl_status read_u64(struct cursor *c, const char *part, uint64_t *ret)
{
    if (left(c) < sizeof *ret)
        return ends_inside(c, part);
    memcpy(ret, c->data + c->at, sizeof *ret);
    c->at += sizeof *ret;
    return PL_OK;
}

static enum pl_status read_str(struct cursor *c, const char *part, struct gguf_str *ret)
{
    uint64_t len = 0;
    size_t at = c->at;
    enum pl_status status = read_u64(c, part, &len);
    if (status != PL_OK)
        return status;
    if (len > left(c))
        return pl_error_set(c->err, PL_EFORMAT,
                            "gguf: %s: %s at byte %zu claims %llu bytes, %zu are left", c->subject,
                            part, at, (unsigned long long)len, left(c));
    *ret = (struct gguf_str){(const char *)c->data + c->at, (size_t)len};
    c->at += (size_t)len;
    return PL_OK;
}

/* ---- keys ------------------------------------------------------------------------------------ */

size_t gguf_type_bytes(enum gguf_type type)
{
    switch (type) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL: return 1;
    case GGUF_U16:
    case GGUF_I16: return 2;
    case GGUF_U32:
    case GGUF_I32:
    case GGUF_F32: return 4;
    case GGUF_U64:
    case GGUF_I64:
    case GGUF_F64: return 8;
    case GGUF_STRING:
    case GGUF_ARRAY: break;
    }
    return 0;
}

static enum pl_status read_strings(struct cursor *c, struct gguf *file, struct gguf_kv *kv)
{
    uint64_t n = kv->n_elems;
    if (n > left(c) / STRING_BYTES_MIN)
        return pl_error_set(c->err, PL_EFORMAT,
                            "gguf: %s: array at byte %zu claims %llu strings, %zu bytes are left",
                            c->subject, c->at, (unsigned long long)n, left(c));
    if (n > GGUF_STRINGS_MAX - file->n_strings)
        return pl_error_set(c->err, PL_ELIMIT,
                            "gguf: %s: more than %u strings in the file's arrays", c->subject,
                            GGUF_STRINGS_MAX);
    file->n_strings += (size_t)n;
    struct gguf_str *strings = arena_alloc(file->arena, (size_t)n * sizeof *strings);
    if (strings == NULL)
        return pl_error_set(c->err, PL_ENOMEM, "gguf: %s: out of memory", c->subject);
    for (uint64_t i = 0; i < n; i++) {
        enum pl_status status = read_str(c, "string", &strings[i]);
        if (status != PL_OK)
            return status;
    }
    kv->strings = strings;
    return PL_OK;
}

static enum pl_status read_plain(struct cursor *c, const struct gguf_kv *kv)
{
    size_t bytes = gguf_type_bytes(kv->elem_type);
    if (kv->n_elems > left(c) / bytes)
        return pl_error_set(c->err, PL_EFORMAT,
                            "gguf: %s: value at byte %zu claims %llu x %s, %zu bytes are left",
                            c->subject, c->at, (unsigned long long)kv->n_elems,
                            gguf_type_name(kv->elem_type), left(c));
    if (kv->elem_type == GGUF_BOOL) {
        for (size_t i = 0; i < kv->n_elems; i++) {
            if (kv->data[i] > 1)
                return pl_error_set(c->err, PL_EFORMAT,
                                    "gguf: %s: bool at byte %zu is %u, expected 0 or 1", c->subject,
                                    c->at + i, kv->data[i]);
        }
    }
    c->at += (size_t)kv->n_elems * bytes;
    return PL_OK;
}

static enum pl_status read_array_head(struct cursor *c, struct gguf_kv *kv)
{
    uint32_t elem_type = 0;
    size_t at = c->at;
    enum pl_status status = read_u32(c, "array type", &elem_type);
    if (status == PL_OK)
        status = read_u64(c, "array length", &kv->n_elems);
    if (status != PL_OK)
        return status;
    if (elem_type == GGUF_ARRAY)
        return pl_error_set(c->err, PL_EFORMAT, "gguf: %s: array of arrays at byte %zu", c->subject,
                            at);
    if (elem_type > GGUF_F64)
        return pl_error_set(c->err, PL_EFORMAT, "gguf: %s: array of unknown type %u at byte %zu",
                            c->subject, elem_type, at);
    kv->elem_type = (enum gguf_type)elem_type;
    return PL_OK;
}

static enum pl_status read_value(struct cursor *c, struct gguf *file, struct gguf_kv *kv)
{
    uint32_t type = 0;
    size_t at = c->at;
    enum pl_status status = read_u32(c, "value type", &type);
    if (status != PL_OK)
        return status;
    if (type > GGUF_F64)
        return pl_error_set(c->err, PL_EFORMAT, "gguf: %s: unknown value type %u at byte %zu",
                            c->subject, type, at);
    kv->type = (enum gguf_type)type;
    kv->elem_type = kv->type;
    kv->n_elems = 1;
    if (kv->type == GGUF_ARRAY) {
        status = read_array_head(c, kv);
        if (status != PL_OK)
            return status;
    }
    kv->data = c->data + c->at;
    return kv->elem_type == GGUF_STRING ? read_strings(c, file, kv) : read_plain(c, kv);
}

static enum pl_status read_kv(struct cursor *c, struct gguf *file, uint64_t i)
{
    struct gguf_kv *kv = &file->kvs[i];
    size_t at = c->at;
    snprintf(c->subject, sizeof c->subject, "key number %llu", (unsigned long long)i);
    enum pl_status status = read_str(c, "its name", &kv->key);
    if (status != PL_OK)
        return status;
    if (kv->key.len == 0 || kv->key.len > GGUF_KEY_BYTES_MAX)
        return pl_error_set(c->err, PL_EFORMAT,
                            "gguf: %s at byte %zu has a name of %zu bytes, expected 1 to %u",
                            c->subject, at, kv->key.len, GGUF_KEY_BYTES_MAX);
    set_subject(c, "key", kv->key);
    uint32_t *slot = gguf_index_slot(file, &file->kv_index, gguf_kv_name, kv->key);
    if (*slot != 0)
        return pl_error_set(c->err, PL_EFORMAT, "gguf: %s at byte %zu is there twice", c->subject,
                            at);
    *slot = (uint32_t)i + 1;
    return read_value(c, file, kv);
}

static enum pl_status read_kvs(struct cursor *c, struct gguf *file, uint64_t n)
{
    if (n > left(c) / KV_BYTES_MIN)
        return pl_error_set(c->err, PL_EFORMAT,
                            "gguf: key count at byte 16 claims %llu keys, %zu bytes are left",
                            (unsigned long long)n, left(c));
    if (n > GGUF_KEYS_MAX)
        return pl_error_set(c->err, PL_ELIMIT,
                            "gguf: key count at byte 16 claims %llu keys, at most %u",
                            (unsigned long long)n, GGUF_KEYS_MAX);
    file->kvs = arena_array(file->arena, (size_t)n, sizeof *file->kvs);
    if (file->kvs == NULL || !gguf_index_init(&file->kv_index, file->arena, n))
        return pl_error_set(c->err, PL_ENOMEM, "gguf: out of memory for %llu keys",
                            (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++) {
        enum pl_status status = read_kv(c, file, i);
        if (status != PL_OK)
            return status;
        file->n_kv = i + 1;
    }
    return PL_OK;
}

static enum pl_status read_alignment(struct gguf *file, struct pl_error *err)
{
    file->alignment = GGUF_ALIGN_DEFAULT;
    if (gguf_find(file, "general.alignment") == NULL)
        return PL_OK;
    uint32_t value = 0;
    enum pl_status status = gguf_get_u32(file, "general.alignment", &value, err);
    if (status != PL_OK)
        return status;
    if (value < GGUF_ALIGN_MIN || value > GGUF_ALIGN_MAX || (value & (value - 1)) != 0)
        return pl_error_set(
            err, PL_EFORMAT,
            "gguf: key 'general.alignment' is %u, expected a power of two from %u to %u", value,
            GGUF_ALIGN_MIN, GGUF_ALIGN_MAX);
    file->alignment = value;
    return PL_OK;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* dims, dtype -> bytes, every product checked. */
static enum pl_status size_tensor(const struct cursor *c, struct gguf_tensor *t, uint32_t dtype)
{
    struct pl_dtype_info info = pl_dtype_info(dtype);
    if (info.name == NULL || dtype > GGUF_TENSOR_TYPE_MAX)
        return pl_error_set(c->err, PL_ENOTSUP, "gguf: %s: tensor type %u is not supported",
                            c->subject, dtype);
    t->dtype = (enum pl_dtype)dtype;
    if (t->dims[0] % (int64_t)info.block_elems != 0)
        return pl_error_set(c->err, PL_EFORMAT,
                            "gguf: %s: rows of %lld elements, %s needs a multiple of %u",
                            c->subject, (long long)t->dims[0], info.name, info.block_elems);
    size_t elems = (size_t)t->dims[0];
    bool fits = pl_row_bytes(dtype, t->dims[0], &t->bytes);
    for (uint32_t i = 1; fits && i < t->n_dims; i++)
        fits = pl_mul_size(t->bytes, (size_t)t->dims[i], &t->bytes) &&
               pl_mul_size(elems, (size_t)t->dims[i], &elems);
    if (!fits || elems > INT64_MAX || t->bytes > INT64_MAX)
        return pl_error_set(c->err, PL_EFORMAT, "gguf: %s: its dimensions overflow", c->subject);
    return PL_OK;
}

static enum pl_status read_dims(struct cursor *c, struct gguf_tensor *t)
{
    size_t at = c->at;
    enum pl_status status = read_u32(c, "dimension count", &t->n_dims);
    if (status != PL_OK)
        return status;
    if (t->n_dims < 1 || t->n_dims > GGUF_DIMS_MAX)
        return pl_error_set(c->err, PL_EFORMAT, "gguf: %s: %u dims at byte %zu, expected 1 to %d",
                            c->subject, t->n_dims, at, GGUF_DIMS_MAX);
    for (uint32_t i = 0; i < GGUF_DIMS_MAX; i++)
        t->dims[i] = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        uint64_t dim = 0;
        status = read_u64(c, "dimensions", &dim);
        if (status != PL_OK)
            return status;
        if (dim < 1 || dim > INT64_MAX)
            return pl_error_set(c->err, PL_EFORMAT, "gguf: %s: dimension %u is %llu at byte %zu",
                                c->subject, i, (unsigned long long)dim, c->at - sizeof dim);
        t->dims[i] = (int64_t)dim;
    }
    return PL_OK;
}

static enum pl_status read_tensor(struct cursor *c, struct gguf *file, uint64_t i,
                                  uint64_t *ret_offset)
{
    struct gguf_tensor *t = &file->tensors[i];
    size_t at = c->at;
    snprintf(c->subject, sizeof c->subject, "tensor number %llu", (unsigned long long)i);
    enum pl_status status = read_str(c, "its name", &t->name);
    if (status != PL_OK)
        return status;
    if (t->name.len == 0 || t->name.len > GGUF_NAME_BYTES_MAX)
        return pl_error_set(c->err, PL_EFORMAT,
                            "gguf: %s at byte %zu has a name of %zu bytes, expected 1 to %u",
                            c->subject, at, t->name.len, GGUF_NAME_BYTES_MAX);
    gguf_printable(t->name, t->name_text, sizeof t->name_text);
    set_subject(c, "tensor", t->name);
    uint32_t *slot = gguf_index_slot(file, &file->tensor_index, gguf_tensor_name, t->name);
    if (*slot != 0)
        return pl_error_set(c->err, PL_EFORMAT, "gguf: %s at byte %zu is there twice", c->subject,
                            at);
    *slot = (uint32_t)i + 1;
    status = read_dims(c, t);
    uint32_t dtype = 0;
    if (status == PL_OK)
        status = read_u32(c, "tensor type", &dtype);
    if (status == PL_OK)
        status = size_tensor(c, t, dtype);
    if (status == PL_OK)
        status = read_u64(c, "data offset", ret_offset);
    return status;
}

static enum pl_status read_tensors(struct cursor *c, struct gguf *file, uint64_t n)
{
    if (n > left(c) / TENSOR_BYTES_MIN)
        return pl_error_set(c->err, PL_EFORMAT,
                            "gguf: tensor count at byte 8 claims %llu tensors, %zu bytes are left",
                            (unsigned long long)n, left(c));
    if (n > GGUF_TENSORS_MAX)
        return pl_error_set(c->err, PL_ELIMIT,
                            "gguf: tensor count at byte 8 claims %llu tensors, at most %u",
                            (unsigned long long)n, GGUF_TENSORS_MAX);
    file->tensors = arena_array(file->arena, (size_t)n, sizeof *file->tensors);
    uint64_t *offsets = arena_array(file->arena, (size_t)n, sizeof *offsets);
    if (file->tensors == NULL || offsets == NULL ||
        !gguf_index_init(&file->tensor_index, file->arena, n))
        return pl_error_set(c->err, PL_ENOMEM, "gguf: out of memory for %llu tensors",
                            (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++) {
        enum pl_status status = read_tensor(c, file, i, &offsets[i]);
        if (status != PL_OK)
            return status;
        file->n_tensors = i + 1;
    }
    return gguf_place_tensors(file, offsets, c->at, c->err);
}

/* ---- header ---------------------------------------------------------------------------------- */

static enum pl_status read_version(struct cursor *c, struct gguf *file)
{
    uint32_t magic = 0;
    snprintf(c->subject, sizeof c->subject, "header");
    enum pl_status status = read_u32(c, "the magic", &magic);
    if (status != PL_OK)
        return status;
    if (magic != GGUF_MAGIC)
        return pl_error_set(c->err, PL_EFORMAT,
                            "gguf: magic at byte 0 is %02x %02x %02x %02x, expected \"GGUF\"",
                            c->data[0], c->data[1], c->data[2], c->data[3]);
    status = read_u32(c, "the version", &file->version);
    if (status != PL_OK)
        return status;
    if (file->version != 0 && (file->version & 0xFFFFFF) == 0)
        return pl_error_set(c->err, PL_ENOTSUP,
                            "gguf: version at byte 4 is byte-swapped: big-endian file");
    if (file->version < 2 || file->version > 3)
        return pl_error_set(c->err, PL_ENOTSUP, "gguf: version %u at byte 4, expected 2 or 3",
                            file->version);
    return PL_OK;
}

enum pl_status gguf_parse(struct gguf *file, struct pl_error *err)
{
    struct cursor c = {.data = file->map.data, .bytes = file->map.bytes, .err = err};
    uint64_t n_tensors = 0;
    uint64_t n_kv = 0;
    enum pl_status status = read_version(&c, file);
    if (status == PL_OK)
        status = read_u64(&c, "the tensor count", &n_tensors);
    if (status == PL_OK)
        status = read_u64(&c, "the key count", &n_kv);
    if (status == PL_OK)
        status = read_kvs(&c, file, n_kv);
    if (status == PL_OK)
        status = read_alignment(file, err);
    if (status == PL_OK)
        status = read_tensors(&c, file, n_tensors);
    return status;
}
