/* core/exec/plan.c: activations that are alive together never share bytes; others do. */
#include "internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/banned.h"

enum { VALUES = 40, OPS = 60, ALIGN = 64 };

struct span {
    int first, last; /* ops; first = -1: unused */
};

static void note(struct span *spans, int32_t value, int op)
{
    if (value == PL_NO_VALUE)
        return;
    if (spans[value].first < 0)
        spans[value].first = op;
    spans[value].last = op;
}

/* A random program: every op reads up to two values and writes one. */
static void fill(struct graph *graph, struct span *spans, unsigned *seed)
{
    graph_init(graph);
    for (int i = 0; i < VALUES; i++) {
        struct pl_value value = {.kind = PL_VALUE_ACT, .dtype = PL_DTYPE_F32, .rows = 1};
        *seed = *seed * 1103515245u + 12345u;
        value.cols = 1 + (*seed >> 16) % 300;
        (void)graph_add_value(graph, &value);
        spans[i] = (struct span){-1, -1};
    }
    for (int i = 0; i < OPS; i++) {
        struct pl_op op = graph_op(PL_OP_ADD);
        for (int k = 0; k < 3; k++) {
            *seed = *seed * 1103515245u + 12345u;
            int32_t value = (int32_t)((*seed >> 16) % VALUES);
            if (k < 2)
                op.in[k] = value;
            else
                op.out[0] = value;
            note(spans, value, i);
        }
        graph_add_op(graph, &op);
    }
}

static void never_overlaps_values_that_are_alive_together(void **state)
{
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 200; round++) {
        struct graph graph;
        struct span spans[VALUES];
        uint64_t bytes = 0;
        fill(&graph, spans, &seed);
        assert_int_equal(exec_plan_acts(&graph, ALIGN, &bytes, NULL), PL_OK);
        for (int a = 0; a < VALUES; a++) {
            uint64_t a_end = graph.values[a].offset + (uint64_t)graph.values[a].cols * 4;
            assert_int_equal(graph.values[a].offset % ALIGN, 0);
            assert_true(spans[a].first < 0 || a_end <= bytes);
            for (int b = 0; b < a; b++) {
                bool together = spans[a].first >= 0 && spans[b].first >= 0 &&
                                spans[a].first <= spans[b].last && spans[b].first <= spans[a].last;
                uint64_t b_end = graph.values[b].offset + (uint64_t)graph.values[b].cols * 4;
                bool apart = a_end <= graph.values[b].offset || b_end <= graph.values[a].offset;
                assert_true(!together || apart);
            }
        }
        graph_deinit(&graph);
    }
}

static void reuses_bytes_of_values_that_are_gone(void **state)
{
    (void)state;
    struct graph graph;
    uint64_t bytes = 0;
    graph_init(&graph);
    for (int i = 0; i < 10; i++)
        (void)graph_add_value(
            &graph,
            &(struct pl_value){.kind = PL_VALUE_ACT, .dtype = PL_DTYPE_F32, .rows = 1, .cols = 16});
    for (int i = 1; i < 10; i++) { /* a chain: at most two are alive */
        struct pl_op op = graph_op(PL_OP_ACT);
        op.in[0] = i - 1;
        op.out[0] = i;
        graph_add_op(&graph, &op);
    }
    assert_int_equal(exec_plan_acts(&graph, ALIGN, &bytes, NULL), PL_OK);
    assert_int_equal(bytes, 2 * 16 * 4);
    graph_deinit(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_overlaps_values_that_are_alive_together),
        cmocka_unit_test(reuses_bytes_of_values_that_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
