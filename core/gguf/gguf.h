/*
 * gguf/gguf.h - reads a GGUF model: metadata, tensor table, and the mapped tensor bytes.
 *
 * A model split over files (NAME-00001-of-00003.gguf) is opened by any of them and is one model then: the
 * tensors of all, the metadata of the first.
 *
 * A file is untrusted: every count, length, offset and type is checked before it is used, memory is
 * bounded by the file's own size, and a refusal is one line naming the key, tensor or offset. After
 * gguf_open every accessor is total: no later error is possible. Nothing here knows what an architecture
 * or a tokenizer is.
 *
 * Ownership: everything returned points into the opened file and lives until gguf_close.
 * Threads: immutable after open.
 * Errors: PL_EFORMAT (malformed), PL_ENOTSUP (version, tensor type), PL_ENOENT/PL_EIO, PL_ENOMEM.
 * Limits: GGUF_*_MAX; memory is below 52 MiB whatever the file claims (PL_ELIMIT).  A file that another
 * process truncates while it is open ends this one with SIGBUS: model files are replaced, never rewritten.
 * Source: GGUF specification (ggml docs/gguf.md), v2 and v3.
 */
#ifndef GGUF_GGUF_H
#define GGUF_GGUF_H

#include <polder/status.h>
#include <polder/tensor.h>

#define GGUF_DIMS_MAX        4
#define GGUF_TENSORS_MAX     131072u  /* unmerged experts of the largest models: about 70,000 */
#define GGUF_KEYS_MAX        65536u   /* real files: below 100 */
#define GGUF_KEY_BYTES_MAX   65535u   /* the specification's */
#define GGUF_NAME_BYTES_MAX  64u      /* of a tensor; the specification's */
#define GGUF_STRINGS_MAX     1500000u /* of all arrays; the largest tokenizers have 800,000 */
#define GGUF_SHARDS_MAX      1024u    /* of a split model; the largest published have below 300 */
#define GGUF_ALIGN_MIN       8u       /* the specification's */
#define GGUF_ALIGN_MAX       1048576u /* a huge page and more */
#define GGUF_TENSOR_TYPE_MAX 99u      /* enum pl_dtype beyond are ours, never in files */

enum gguf_type { /* metadata value types, numbers of the file format */
                 GGUF_U8 = 0,
                 GGUF_I8 = 1,
                 GGUF_U16 = 2,
                 GGUF_I16 = 3,
                 GGUF_U32 = 4,
                 GGUF_I32 = 5,
                 GGUF_F32 = 6,
                 GGUF_BOOL = 7,
                 GGUF_STRING = 8,
                 GGUF_ARRAY = 9,
                 GGUF_U64 = 10,
                 GGUF_I64 = 11,
                 GGUF_F64 = 12,
};

struct gguf_str {
    const char *data; /* not NUL-terminated; may hold any byte */
    size_t len;
};

struct gguf_kv {
    struct gguf_str key;
    enum gguf_type type;            /* GGUF_ARRAY: elem_type and n_elems say of what */
    enum gguf_type elem_type;       /* of an array (never GGUF_ARRAY), else = type */
    uint64_t n_elems;               /* of an array, else 1 */
    const unsigned char *data;      /* the value's bytes in the file, unaligned */
    const struct gguf_str *strings; /* string or array of strings: n_elems entries, else NULL */
};

struct gguf_tensor {
    struct gguf_str name;
    char name_text[72]; /* the name for messages: NUL-terminated, other than plain bytes as \xNN */
    enum pl_dtype dtype;
    uint32_t n_dims;             /* 1..GGUF_DIMS_MAX */
    int64_t dims[GGUF_DIMS_MAX]; /* dims[0] = elements of a row; unused ones are 1 */
    const unsigned char *data;   /* in the mapping */
    size_t bytes;
};

struct gguf;

/* path: a model file, or any shard of one. A shard that is absent is PL_ENOENT, naming it. */
PL_NODISCARD enum pl_status gguf_open(const char *path, struct gguf **ret, struct pl_error *err);
void gguf_close(struct gguf *file);

uint32_t gguf_version(const struct gguf *file);
size_t gguf_file_bytes(const struct gguf *file); /* of all shards */
uint32_t gguf_n_shards(const struct gguf *file); /* 1: not split */
uint64_t gguf_n_kv(const struct gguf *file);
const struct gguf_kv *gguf_kv_at(const struct gguf *file, uint64_t i);
uint64_t gguf_n_tensors(const struct gguf *file);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *file, uint64_t i);

/* By name; NULL if absent. Constant time. */
const struct gguf_kv *gguf_find(const struct gguf *file, const char *key);
const struct gguf_tensor *gguf_find_tensor(const struct gguf *file, const char *name);

/* Typed look-ups. Any integer type of the file that holds the value is accepted (F32/F64 for get_f64 too).
 * Absent key: PL_ENOENT; wrong type or out of range: PL_EFORMAT, the message naming key and types. */
PL_NODISCARD enum pl_status gguf_get_u32(const struct gguf *file, const char *key, uint32_t *ret,
                                         struct pl_error *err);
PL_NODISCARD enum pl_status gguf_get_f64(const struct gguf *file, const char *key, double *ret,
                                         struct pl_error *err);
PL_NODISCARD enum pl_status gguf_get_bool(const struct gguf *file, const char *key, bool *ret,
                                          struct pl_error *err);
PL_NODISCARD enum pl_status gguf_get_str(const struct gguf *file, const char *key,
                                         struct gguf_str *ret, struct pl_error *err);

/* Element i of a numeric array or scalar, as double / int64 (i < n_elems, checked by PL_CHECK). */
double gguf_elem_f64(const struct gguf_kv *kv, uint64_t i);
int64_t gguf_elem_i64(const struct gguf_kv *kv, uint64_t i);

/* "u32", "string"; static. */
const char *gguf_type_name(enum gguf_type type);

/* text as printable ASCII for messages, into out[cap], NUL-terminated: other bytes become \xNN, what does
 * not fit ends in "...". Text from a file goes nowhere else unescaped. cap >= 8. */
void gguf_printable(struct gguf_str text, char *out, size_t cap);

/* Tells the kernel that a tensor's pages will not be read again (its weights are packed elsewhere). */
void gguf_release_tensor(const struct gguf *file, const struct gguf_tensor *tensor);

#endif
