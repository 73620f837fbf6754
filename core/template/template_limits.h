/*
 * template/template_limits.h - the bounds of a template, each with its reason.
 *
 * A template comes with a model file and its input from a client: both may be hostile. Whatever they
 * hold, parsing and rendering end, within this memory and this stack, with PL_ELIMIT.
 *
 * Source: ours. The largest of the published templates at hand has 20 KB, 1,500 nodes, nests 14 deep.
 */
#ifndef TEMPLATE_TEMPLATE_LIMITS_H
#define TEMPLATE_TEMPLATE_LIMITS_H

/* fifty times the largest published template */
#define TEMPLATE_SOURCE_BYTES_MAX ((size_t)1 << 20)

/* tokens and tree of the largest source of the densest kind */
#define TEMPLATE_TREE_BYTES_MAX ((size_t)192 << 20)

/* nesting of blocks, brackets and operators while parsing: at most 2 KB of stack each */
#define TEMPLATE_PARSE_DEPTH_MAX 200

/* nested evaluations: at most 0.4 KB of stack each (the deepest templates that we could think of end with
 * 768 KB of stack, built by gcc 12 for release); a recursive macro that prints a
 * JSON schema takes about ten per level, which leaves 200 levels where Python gives up at about 200 */
#define TEMPLATE_EVAL_DEPTH_MAX 2000

/* nesting of JSON that is read: what can be printed again; about 0.2 KB of stack each */
#define TEMPLATE_JSON_DEPTH_MAX 500

/* one step is one node, or 16 items or 64 bytes looked at: about one second of CPU. A conversation of
 * 10,000 messages takes about 1 million */
#define TEMPLATE_STEPS_MAX 32000000u

/* values of one render and its input: 50 times the text of a context of 1 million tokens. A turn of a
 * for statement takes about 150 bytes of it */
#define TEMPLATE_VALUES_BYTES_MAX ((size_t)256 << 20)

/* rendered text, and the longest string built on the way: 16 bytes for each of 4 million tokens */
#define TEMPLATE_OUTPUT_BYTES_MAX ((size_t)64 << 20)

/* items of range(): the bound of Jinja's sandbox */
#define TEMPLATE_RANGE_MAX 100000

/* arguments of one call, after * and ** are expanded: far above any real call */
#define TEMPLATE_ARGS_MAX 1024

#endif
