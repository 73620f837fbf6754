/*
 * sim/points.h - runs a published point of a profile: closed loop users on one worker.
 *
 * Threads: one.  Errors: pl_status.  Source: the profile's.
 */
#ifndef SIM_POINTS_H
#define SIM_POINTS_H

#include "sim.h"

/* *ret_tok_s: output tokens per second in the steady state. */
PL_NODISCARD enum pl_status points_run(const char *profile, const struct sim_point *point,
                                       double *ret_tok_s, struct pl_error *err);

#endif
