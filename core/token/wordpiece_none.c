/* See impl.h. Stands in where utf8proc was absent at configure time: WordPiece is refused. */
#include "impl.h"

#include "base/banned.h"

enum pl_status token_wordpiece_init(struct token_vocab *v, const struct gguf *file,
                                    struct pl_error *err)
{
    (void)v;
    (void)file;
    return pl_error_set(err, PL_ENOTSUP, "token: WordPiece vocabulary: built without utf8proc");
}

bool token_wordpiece_encode(struct token_encoder *e, const char *text, size_t n)
{
    (void)e;
    (void)text;
    (void)n;
    return false;
}
