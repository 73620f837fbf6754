/*
 * cpu/rope.c - rotary angles: base, linear interpolation and YaRN come down to one factor per pair.
 *
 * theta(pos, i) = pos * inv[i] / factor[i] with
 *   inv[i] = freq_base^(-2i/rot_dim) * (freq_scale * (1 - mix_i) + mix_i)
 *   mix_i  = ext_factor * (1 - clamp((i - low) / (high - low), 0, 1)), 0 without YaRN
 * Sources: Su et al. 2021 eq. 34; Peng et al. 2023 (YaRN) section 3.2 with the bounds low and high
 * rounded outwards as GGUF's reference does.
 */
#include "ops.h"

#include <math.h>

#define TWO_PI 6.283185307179586

/* The pair that turns `turns` times within the original context (YaRN, eq. 17 solved for the pair). */
static double pair_of_turns(const struct pl_qkv_post_params *p, double turns)
{
    return p->rot_dim * log(p->orig_ctx / (turns * TWO_PI)) / (2.0 * log((double)p->freq_base));
}

static double yarn_mix(const struct pl_qkv_post_params *p, uint32_t i)
{
    if (p->ext_factor == 0.0F)
        return 0.0;
    double low = fmax(0.0, floor(pair_of_turns(p, (double)p->beta_fast)));
    double high = fmin(p->rot_dim - 1.0, ceil(pair_of_turns(p, (double)p->beta_slow)));
    double ramp = ((double)i - low) / fmax(0.001, high - low);
    return (1.0 - fmin(1.0, fmax(0.0, ramp))) * (double)p->ext_factor;
}

void rope_inverse_frequencies(double *dst, const struct pl_qkv_post_params *p)
{
    for (uint32_t i = 0; i < p->rot_dim / 2; i++) {
        double mix = yarn_mix(p, i);
        dst[i] = pow((double)p->freq_base, -2.0 * i / p->rot_dim) *
                 ((double)p->freq_scale * (1.0 - mix) + mix);
    }
}

double rope_magnitude(const struct pl_qkv_post_params *p)
{
    double magnitude = (double)p->attn_factor;
    if (p->ext_factor != 0.0F)
        magnitude *= 1.0 + 0.1 * log(1.0 / (double)p->freq_scale);
    return magnitude;
}
