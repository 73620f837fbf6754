/*
 * bench/ops_run.h - runs one case on the device under test and on the oracle, and judges it.
 *
 * Judged are: distance from the oracle; guards around every tensor; the same bits when run again; no
 * allocation in a submit; and on a device that promises it (the CPU): the same bits for a row alone, in
 * chunks, in another order of sequences and blocks, and with one thread.
 *
 * Ownership: the caller's.  Threads: one.  Errors: in the verdict.  Limits: none.  Source: ours.
 */
#ifndef BENCH_OPS_RUN_H
#define BENCH_OPS_RUN_H

#include "ops_rig.h"

enum ops_outcome {
    OPS_PASS,
    OPS_FAIL,
    OPS_UNSUPPORTED, /* by the device under test */
    OPS_UNCHECKED,   /* supported, but the oracle does not know the op */
};

struct ops_verdict {
    enum ops_outcome outcome;
    double nmse, max; /* PASS, FAIL by distance */
    char why[PL_ERROR_MAX];
};

struct ops_bench {
    struct ops_device tested;
    struct ops_device one_thread; /* table NULL: not judged */
    struct ops_device oracle;
    bool exact; /* the tested device promises row results that do not depend on the batch */
};

void ops_run_case(const struct ops_bench *bench, const struct ops_case *c, struct ops_verdict *ret);

#endif
