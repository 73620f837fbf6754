/*
 * cpu/ref.h - formulas in double that several reference ops share.
 *
 * Threads: any.  Source: polder/op.h; activations: Hendrycks and Gimpel 2016, Shazeer 2020.
 */
#ifndef CPU_REF_H
#define CPU_REF_H

#include <stdint.h>

double ref_activation(uint32_t act, double x);
double ref_glu_value(uint32_t act, double gate, double up, double alpha, double limit);

/* dst[i] = x[i] / sqrt(mean(x^2) + eps) * w[i]; w may be NULL. */
void ref_rms(double *dst, const float *x, const float *w, int64_t n, double eps);

#endif
