// Depthwise causal convolution, SiLU and mask in one or two directions, and the gate behind the scan.
//
// Shapes, row-major: u, out (B, L, E); weight (K, E), its last tap on position t itself; bias (E); mask (B, L) or null.
#include "vector.h"

#define TAPS 8
LIMIT(TAPS)
#define SPAN 256 // channels of a task in the backward pass

typedef struct {
    const float *u;
    const uint8_t *mask;
    int64_t batch, length, width;
} Conv;

typedef struct {
    const float *weight, *bias;
    int reverse;
} Filter;

INLINE int is_real(const Conv *s, int64_t pair, int64_t t) {
    return t >= 0 && t < s->length && (!s->mask || s->mask[pair * s->length + t]);
}
INLINE int64_t row_at(const Conv *s, int64_t pair, int64_t t) { return (pair * s->length + t) * s->width; }

// Where the rows begin that a position's taps read; negative where there is nothing to read.
typedef struct {
    int64_t of[TAPS];
} Window;
INLINE Window window_of(const Conv *s, const Filter *f, int64_t pair, int64_t t, const int64_t taps) {
    Window w;
    for (int64_t k = 0; k < taps; k++) {
        const int64_t before = taps - 1 - k, from = f->reverse ? t + before : t - before;
        w.of[k] = is_real(s, pair, from) ? row_at(s, pair, from) : -1;
    }
    return w;
}

INLINE vec before_silu(const Conv *s, const Filter *f, const Window *w, const int64_t taps, int64_t e,
                       const int64_t channels) {
    vec total = load_part(f->bias + e, channels);
    for (int64_t k = 0; k < taps; k++)
        if (w->of[k] >= 0)
            total += load_part(f->weight + k * s->width + e, channels) * load_part(s->u + w->of[k] + e, channels);
    return total;
}

INLINE void conv_at(const Conv *s, const Filter *f, const Window *w, float *out, const int64_t taps, int64_t e,
                    const int64_t channels) {
    store_part(out + e, silu_of(before_silu(s, f, w, taps, e, channels)), channels);
}

INLINE void conv_row(const Conv *s, const Filter *f, float *out, int64_t pair, int64_t t, const int64_t taps) {
    out += row_at(s, pair, t);
    if (!is_real(s, pair, t)) {
        memset(out, 0, sizeof(float) * s->width);
        return;
    }
    const Window w = window_of(s, f, pair, t, taps);
    FOR_CHANNELS(0, s->width, conv_at, s, f, &w, out, taps)
}

INLINE void conv_part(const Conv *s, const Filter *f, float *const *out, const int directions, const Part *part,
                      const int64_t taps) {
    for (int64_t t = part->first; t < part->last; t++)
        for (int d = 0; d < directions; d++) conv_row(s, &f[d], out[d], part->pair, t, taps);
}

typedef struct {
    const float *u;
    const uint8_t *mask;
    const float *weight, *bias, *weight2, *bias2; // the second pair is the backward direction's, or null
    float *out, *out2;                            // out2: null without it
    int64_t batch, length, width, taps, parts;
    int32_t reverse, threads;
} ConvForward;
ARGUMENTS(conv_forward, ConvForward)

EXPORT void conv_forward(const ConvForward *given) {
    const int64_t batch = given->batch, length = given->length, taps = given->taps, parts = given->parts;
    const int threads = given->threads, directions = given->weight2 ? 2 : 1;
    const Conv s = {given->u, given->mask, batch, length, given->width};
    const Filter filters[] = {{given->weight, given->bias, given->reverse},
                              {given->weight2, given->bias2, !given->reverse}};
    float *const outs[] = {given->out, given->out2};
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < batch * parts; task++) {
        const Part part = part_of(task, parts, length);
        if (taps == 4) conv_part(&s, filters, outs, directions, &part, 4);
        else conv_part(&s, filters, outs, directions, &part, taps);
    }
}

// One direction's gradients: of the output, and the sums over one pair's positions that are those of its parameters.
typedef struct {
    const float *out; // (B, L, E)
    float *weight;    // (B, K, E)
    float *bias;      // (B, E)
} FilterGradients;

INLINE void unconv_at(const Conv *s, const Filter *f, const Window *w, const float *grad_out, float *grad_u,
                      float *grad_weight, float *grad_bias, const int64_t taps, int64_t e, const int64_t channels) {
    vec x = before_silu(s, f, w, taps, e, channels);
    vec g = load_part(grad_out + e, channels) * silu_slope(x, sigmoid_of(x));
    add_part(grad_bias + e, g, channels);
    for (int64_t k = 0; k < taps; k++) {
        if (w->of[k] < 0) continue;
        add_part(grad_weight + k * s->width + e, g * load_part(s->u + w->of[k] + e, channels), channels);
        add_part(grad_u + w->of[k] + e, g * load_part(f->weight + k * s->width + e, channels), channels);
    }
}

INLINE void unconv_row(const Conv *s, const Filter *f, const FilterGradients *grad, float *grad_u, int64_t pair,
                       int64_t t, int64_t first, int64_t last, const int64_t taps) {
    const Window w = window_of(s, f, pair, t, taps);
    const float *out = grad->out + row_at(s, pair, t);
    float *weight = grad->weight + pair * taps * s->width, *bias = grad->bias + pair * s->width;
    FOR_CHANNELS(first, last, unconv_at, s, f, &w, out, grad_u, weight, bias, taps)
}

INLINE void unconv_span(const Conv *s, const Filter *f, const FilterGradients *grad, const int directions,
                        float *grad_u, int64_t pair, int64_t first, const int64_t taps) {
    const int64_t last = s->width - first < SPAN ? s->width : first + SPAN;
    const size_t bytes = sizeof(float) * (last - first);
    for (int d = 0; d < directions; d++) {
        memset(grad[d].bias + pair * s->width + first, 0, bytes);
        for (int64_t k = 0; k < taps; k++) memset(grad[d].weight + (pair * taps + k) * s->width + first, 0, bytes);
    }
    int64_t cleared = 0; // rows of grad_u, each just before a tap first reaches it
    for (int64_t t = 0; t < s->length; t++) {
        for (; cleared < s->length && cleared < t + taps; cleared++)
            memset(grad_u + row_at(s, pair, cleared) + first, 0, bytes);
        for (int d = 0; d < directions && is_real(s, pair, t); d++)
            unconv_row(s, &f[d], &grad[d], grad_u, pair, t, first, last, taps);
    }
}

typedef struct {
    const float *u;
    const uint8_t *mask;
    const float *weight, *bias, *weight2, *bias2, *grad, *grad2;
    float *grad_u, *grad_weight, *grad_bias, *grad_weight2, *grad_bias2; // (B, K, E) and (B, E): sums of each pair
    int64_t batch, length, width, taps;
    int32_t reverse, threads;
} ConvBackward;
ARGUMENTS(conv_backward, ConvBackward)

EXPORT void conv_backward(const ConvBackward *given) {
    const int64_t batch = given->batch, width = given->width, taps = given->taps;
    const int threads = given->threads, directions = given->weight2 ? 2 : 1;
    const Conv s = {given->u, given->mask, batch, given->length, width};
    const Filter filters[] = {{given->weight, given->bias, given->reverse},
                              {given->weight2, given->bias2, !given->reverse}};
    const FilterGradients grads[] = {{given->grad, given->grad_weight, given->grad_bias},
                                     {given->grad2, given->grad_weight2, given->grad_bias2}};
    float *grad_u = given->grad_u;
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t pair = 0; pair < batch; pair++)
        for (int64_t first = 0; first < width; first += SPAN) {
            if (taps == 4) unconv_span(&s, filters, grads, directions, grad_u, pair, first, 4);
            else unconv_span(&s, filters, grads, directions, grad_u, pair, first, taps);
        }
}

// out = (y + y2) silu(z), all of `count` floats; y2 may be null.
typedef struct {
    const float *y, *y2, *z;
    float *out;
    int64_t count;
    int32_t threads;
} GateForward;
ARGUMENTS(gate_forward, GateForward)

EXPORT void gate_forward(const GateForward *given) {
    const float *y = given->y, *y2 = given->y2, *z = given->z;
    float *out = given->out;
    const int64_t n = given->count;
    const int threads = given->threads;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < n; i += LANES) {
        vec total = load_part(y + i, n - i);
        if (y2) total += load_part(y2 + i, n - i);
        store_part(out + i, total * silu_of(load_part(z + i, n - i)), n - i);
    }
}

typedef struct {
    const float *y, *y2, *z, *grad;
    float *grad_y, *grad_z;
    int64_t count;
    int32_t threads;
} GateBackward;
ARGUMENTS(gate_backward, GateBackward)

EXPORT void gate_backward(const GateBackward *given) {
    const float *y = given->y, *y2 = given->y2, *z = given->z, *grad = given->grad;
    float *grad_y = given->grad_y, *grad_z = given->grad_z;
    const int64_t n = given->count;
    const int threads = given->threads;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < n; i += LANES) {
        vec total = load_part(y + i, n - i), x = load_part(z + i, n - i), g = load_part(grad + i, n - i);
        if (y2) total += load_part(y2 + i, n - i);
        vec s = sigmoid_of(x);
        store_part(grad_y + i, g * x * s, n - i);
        store_part(grad_z + i, g * total * silu_slope(x, s), n - i);
    }
}
