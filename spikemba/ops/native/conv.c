// Depthwise causal convolution, SiLU and mask in one or two directions, and the gate behind the scan.
//
// Shapes, row-major: u, out (B, L, E); weight (K, E), its last tap on position t itself; bias (E); mask (B, L) or null.
// A task is one pair and up to BLOCK channels, as in scan.c.
#include "vector.h"

#define TAPS 8

typedef struct {
    const float *u;
    const uint8_t *mask;
    long batch, length, width, taps;
} Conv;

INLINE int is_real(const Conv *s, long pair, long t) {
    return t >= 0 && t < s->length && (!s->mask || s->mask[pair * s->length + t]);
}
// Position that tap k of position t reads.
INLINE long reads(const Conv *s, long t, long k, int reverse) {
    return reverse ? t + (s->taps - 1 - k) : t - (s->taps - 1 - k);
}
INLINE vec before_silu(const Conv *s, long pair, long t, long e, long width, int reverse, vec bias, const vec *weight) {
    vec total = bias;
    for (long k = 0; k < s->taps; k++) {
        long from = reads(s, t, k, reverse);
        if (is_real(s, pair, from)) total += weight[k] * load_part(s->u + (pair * s->length + from) * s->width + e, width);
    }
    return total;
}

static void conv_direction(const Conv *s, long pair, long e, int reverse, const float *weight, const float *bias,
                           float *out) {
    const long width = s->width - e;
    vec taps[TAPS], first = load_part(bias + e, width);
    for (long k = 0; k < s->taps; k++) taps[k] = load_part(weight + k * s->width + e, width);
    for (long t = 0; t < s->length; t++) {
        vec y = fill(0.f);
        if (is_real(s, pair, t)) y = silu_of(before_silu(s, pair, t, e, width, reverse, first, taps));
        store_part(out + (pair * s->length + t) * s->width + e, y, width);
    }
}

static void conv_direction_backward(const Conv *s, long pair, long e, int reverse, const float *weight,
                                    const float *bias, const float *grad, float *grad_u, float *grad_weight,
                                    float *grad_bias) {
    const long width = s->width - e;
    vec taps[TAPS], sums[TAPS], first = load_part(bias + e, width), sum = fill(0.f);
    for (long k = 0; k < s->taps; k++) taps[k] = load_part(weight + k * s->width + e, width), sums[k] = fill(0.f);
    for (long t = 0; t < s->length; t++) {
        if (!is_real(s, pair, t)) continue;
        vec x = before_silu(s, pair, t, e, width, reverse, first, taps);
        vec g = load_part(grad + (pair * s->length + t) * s->width + e, width) * silu_slope(x, sigmoid_of(x));
        sum += g;
        for (long k = 0; k < s->taps; k++) {
            long from = reads(s, t, k, reverse), at = (pair * s->length + from) * s->width + e;
            if (!is_real(s, pair, from)) continue;
            sums[k] += g * load_part(s->u + at, width);
            store_part(grad_u + at, load_part(grad_u + at, width) + g * taps[k], width);
        }
    }
    for (long k = 0; k < s->taps; k++) store_part(grad_weight + (pair * s->taps + k) * s->width + e, sums[k], width);
    store_part(grad_bias + pair * s->width + e, sum, width);
}

// weight2, bias2 and out2 are the backward direction's, or null.
void conv_forward(const float *u, const uint8_t *mask, const float *weight, const float *bias, const float *weight2,
                  const float *bias2, float *out, float *out2, long batch, long length, long width, long taps,
                  int reverse, int threads) {
    const Conv s = {u, mask, batch, length, width, taps};
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (long pair = 0; pair < batch; pair++)
        for (long e = 0; e < width; e += LANES) {
            conv_direction(&s, pair, e, reverse, weight, bias, out);
            if (weight2) conv_direction(&s, pair, e, !reverse, weight2, bias2, out2);
        }
}

// grad_weight: (B, K, E), grad_bias: (B, E), partial sums per pair.
void conv_backward(const float *u, const uint8_t *mask, const float *weight, const float *bias, const float *weight2,
                   const float *bias2, const float *grad, const float *grad2, float *grad_u, float *grad_weight,
                   float *grad_bias, float *grad_weight2, float *grad_bias2, long batch, long length, long width,
                   long taps, int reverse, int threads) {
    const Conv s = {u, mask, batch, length, width, taps};
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (long pair = 0; pair < batch; pair++)
        for (long e = 0; e < width; e += LANES) {
            for (long t = 0; t < length; t++)
                store_part(grad_u + (pair * length + t) * width + e, fill(0.f), width - e);
            conv_direction_backward(&s, pair, e, reverse, weight, bias, grad, grad_u, grad_weight, grad_bias);
            if (weight2)
                conv_direction_backward(&s, pair, e, !reverse, weight2, bias2, grad2, grad_u, grad_weight2, grad_bias2);
        }
}

// out = (y + y2) silu(z), all of n floats; y2 may be null.
void gate_forward(const float *y, const float *y2, const float *z, float *out, long n, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long i = 0; i < n; i += LANES) {
        vec total = load_part(y + i, n - i);
        if (y2) total += load_part(y2 + i, n - i);
        store_part(out + i, total * silu_of(load_part(z + i, n - i)), n - i);
    }
}

void gate_backward(const float *y, const float *y2, const float *z, const float *grad, float *grad_y, float *grad_z,
                   long n, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long i = 0; i < n; i += LANES) {
        vec total = load_part(y + i, n - i), x = load_part(z + i, n - i), g = load_part(grad + i, n - i);
        if (y2) total += load_part(y2 + i, n - i);
        vec s = sigmoid_of(x);
        store_part(grad_y + i, g * x * s, n - i);
        store_part(grad_z + i, g * total * silu_slope(x, s), n - i);
    }
}
