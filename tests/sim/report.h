/*
 * sim/report.h - the figures of a run for people and for programs.
 *
 * Threads: one.  Source: ours.
 */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include "scenario.h"

void report_table(const struct scenario *s, const struct scenario_run *run, FILE *out);
void report_json(const struct scenario *s, const struct scenario_run *run, FILE *out);

#endif
