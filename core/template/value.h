/*
 * template/value.h - Python-like values in an arena.
 *
 * A value never changes once it is built, but for what templates may change: the names of a namespace,
 * the items that a list has left (pop, clear), and the positions of a cycler, joiner, generator or loop. Strings are UTF-8 and know how
 * many characters they have; a dict keeps insertion order:
 *
 *     struct dict -> entries [0][1][2]...   (key, item, hash), in order of insertion
 *                    index   [.][2][.][0]   open addressing, entry number + 1; absent up to 8 entries
 *
 * Ownership: the arena of a template_values.  Threads: reading from any, since nothing is cached in a
 * value after it is built.  Errors: constructors return NULL when the arena is exhausted.
 * Limits: TEMPLATE_VALUES_BYTES_MAX.  Source: ours; semantics of Python 3.
 */
#ifndef TEMPLATE_VALUE_H
#define TEMPLATE_VALUE_H

#include "template.h"
#include "template_limits.h"

#include <base/arena.h>

struct eval;
struct frame;
struct node;
struct builtin;
struct call_args;

enum value_kind {
    VALUE_UNDEFINED,
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_BIG, /* an integer beyond 64 bits: its decimal digits in u.string */
    VALUE_FLOAT,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_TUPLE,
    VALUE_DICT,
    VALUE_VIEW,      /* dict.keys(), values(), items() */
    VALUE_RANGE,     /* start, stop, step */
    VALUE_ITERATOR,  /* a generator: read once, made when first read */
    VALUE_NAMESPACE, /* namespace() */
    VALUE_LOOP,      /* the variable of a for statement */
    VALUE_MACRO,     /* a macro, or the caller of a call block */
    VALUE_BUILTIN,   /* a global function or a bound method */
    VALUE_CYCLER,
    VALUE_JOINER,
};

enum view_kind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS };

/* Storage of strings that grow at their end (x = x + y in a loop): the string that ends where the
 * storage is used up appends in place. */
struct grow {
    size_t used;     /* bytes */
    size_t capacity; /* bytes */
};

struct dict_entry {
    struct template_value *key;
    struct template_value *item;
    uint64_t hash;
};

struct dict {
    struct dict_entry *entries; /* n of capacity */
    size_t n;
    size_t capacity;
    uint32_t *index; /* index_n slots, a power of two; NULL while small */
    size_t index_n;
};

typedef struct template_value *(*iterator_fn)(struct eval *ev, struct template_value *source,
                                              const struct call_args *args);

struct iterator {
    iterator_fn make; /* returns the list of items; NULL once made */
    struct template_value *source;
    const struct call_args *args;
    const struct builtin *self; /* what made it, for its name */
    struct template_value **items;
    size_t n;
    size_t pos; /* items before it are consumed */
};

struct macro {
    const struct node *node; /* NODE_MACRO or NODE_CALL_BLOCK */
    struct frame *frame;     /* where it was defined */
};

struct cycler {
    struct template_value **items;
    size_t n;
    size_t pos;
};

struct template_value {
    uint8_t kind; /* enum value_kind */
    uint8_t view; /* enum view_kind */
    bool safe;    /* a string marked safe: Markup */
    bool used;    /* a joiner that was called */
    bool named;   /* a tuple made by groupby: has .grouper and .list */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct {
            const char *text; /* bytes and a NUL, but not where it shares a grow */
            size_t bytes;
            size_t chars;
            struct grow *grow; /* may be NULL */
        } string;
        struct {
            struct template_value **items;
            size_t n;
            size_t capacity;
        } list;            /* and tuple */
        struct dict *dict; /* and namespace and view */
        struct {
            int64_t start, step;
            size_t n;
            int64_t stop;
        } range;
        struct iterator *iterator;
        struct loop *loop;
        struct macro macro;
        struct {
            const struct builtin *builtin;
            struct template_value *self; /* NULL: a function */
        } function;
        struct cycler *cycler;
        struct template_value *separator; /* joiner */
        struct {
            const char *what; /* a sentence, or NULL: then made of name and owner */
            struct template_value *name;
            const char *owner; /* Python's name of the owner's type; NULL: a variable */
        } undefined;
    } u;
};

#define TEMPLATE_SMALL_INT_MIN (-5)
#define TEMPLATE_SMALL_INT_MAX 256 /* as CPython shares them; loop indexes mostly */
#define TEMPLATE_SMALL_INT_N   (TEMPLATE_SMALL_INT_MAX - TEMPLATE_SMALL_INT_MIN + 1)

struct template_values {
    struct arena arena;
    struct template_value *none;
    struct template_value *boolean[2];
    struct template_value *empty; /* '' */
    struct template_value *ints[TEMPLATE_SMALL_INT_N];
    struct template_value *ascii[128]; /* one-character strings; NULL until asked for */
};

/* ---- constructors: NULL when memory is exhausted ---------------------------------------------- */

/* The arena with a budget of its own: a parse tree needs less than a render. */
PL_NODISCARD enum pl_status template_values_init(struct template_values *values,
                                                 size_t budget_bytes);
void template_values_deinit(struct template_values *values);

struct template_value *template_value_new(struct template_values *values, enum value_kind kind);
struct template_value *template_string_ref(struct template_values *values, const char *text,
                                           size_t n);
struct template_value *template_tuple(struct template_values *values,
                                      struct template_value *const *items, size_t n);
struct template_value *template_pair(struct template_values *values, struct template_value *a,
                                     struct template_value *b);
struct template_value *template_list_of(struct template_values *values,
                                        struct template_value **items, size_t n);

/* ---- integers beyond 64 bits: value_big.c ----------------------------------------------------- */

__extension__ typedef __int128 pl_int128;

/* Of decimal digits, "-" before them or not; VALUE_INT where they fit. */
struct template_value *template_int_digits(struct template_values *values, const char *text,
                                           size_t n);
struct template_value *template_int_wide(struct template_values *values, pl_int128 wide);
struct template_value *template_big_negate(struct template_values *values,
                                           const struct template_value *big);
/* -1, 0, 1 */
int template_big_compare(const struct template_value *a, const struct template_value *b);
int template_big_compare_double(const struct template_value *a, double d); /* d: not NaN */
double template_big_double(const struct template_value *big);              /* may be infinite */
int64_t template_big_remainder(const struct template_value *big, int64_t n);

/* ---- dicts ------------------------------------------------------------------------------------ */

struct dict *template_dict_new(struct template_values *values);
uint64_t template_hash_text(const char *text, size_t n);

/* Entry whose key is the string, or NULL. */
struct dict_entry *template_dict_find_text(const struct dict *dict, const char *text, size_t n);

/* Sets or adds under a string key. */
PL_NODISCARD bool template_dict_put_text(struct template_values *values, struct dict *dict,
                                         struct template_value *key, struct template_value *item);

/* Adds an entry; the caller knows that no equal key is there. */
PL_NODISCARD bool template_dict_append(struct template_values *values, struct dict *dict,
                                       struct template_value *key, uint64_t hash,
                                       struct template_value *item);

/* First candidate slot walk: entries whose hash is equal, in probe order. *cursor starts at 0. */
struct dict_entry *template_dict_probe(const struct dict *dict, uint64_t hash, size_t *cursor);

#endif
