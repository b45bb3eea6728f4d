// Leaky integrate-and-fire neurons over several steps, the batch norm before them, and the attention over spikes.
//
//     U[t] = leak V[t-1] + gain I[t],   S[t] = 1[U[t] >= threshold],   V[t] = U[t] (1 - S[t])  or  U[t] - threshold S[t]
//     I = x scale + shift, per channel
//
// Shapes, row-major: S steps, B pairs, M positions, D channels. Masked positions never fire. Nothing but x is kept for
// the way back: the membranes are computed again, in registers. Sums over positions are partial per pair.
#include "vector.h"

#define STEPS 64

typedef struct {
    float leak, gain, threshold, alpha;
    int32_t soft, detach, surrogate;
} Neuron;

enum { ATAN, SIGMOID, ERF, SOFTSIGN, PIECEWISE_QUADRATIC, PIECEWISE_EXP, SUPERSPIKE, RECT };

// The derivative that stands in for the step's, at x = U - threshold; spikingjelly's formulas.
INLINE vec surrogate(const Neuron *n, vec x) {
    const float a = n->alpha;
    vec size = abs_of(x), s;
    switch (n->surrogate) {
    case ATAN:
        s = 3.14159265358979f * (a / 2) * x;
        return (a / 2) / (1.f + s * s);
    case SIGMOID:
        s = sigmoid_of(a * x);
        return a * (1.f - s) * s;
    case ERF:
        return a / 1.77245385090552f * exp_of(-(a * x) * (a * x));
    case SOFTSIGN:
        s = 1.f / a + size;
        return 1.f / (2.f * a * s * s);
    case PIECEWISE_QUADRATIC:
        return choose(size > 1.f / a, fill(0.f), a - a * a * size);
    case PIECEWISE_EXP:
        return a / 2 * exp_of(-a * size);
    case SUPERSPIKE:
        return a / ((1.f + size) * (1.f + size));
    default:
        return choose(size < 0.5f / a, fill(a), fill(0.f));
    }
}

// One step: the membrane before the reset; `rest` becomes the one after it.
INLINE vec charge(const Neuron *n, vec *rest, vec current) {
    vec u = n->leak * *rest + n->gain * current;
    ivec fired = u >= n->threshold;
    *rest = choose(fired, n->soft ? u - n->threshold : fill(0.f), u);
    return u;
}
INLINE vec fires(const Neuron *n, vec u) { return choose(u >= n->threshold, fill(1.f), fill(0.f)); }

// One step back: takes the spike's gradient, returns the current's; `rest` goes from V[t]'s gradient to V[t-1]'s.
INLINE vec discharge(const Neuron *n, vec *rest, vec u, vec grad_spike) {
    vec at_reset = n->soft ? -n->threshold * *rest : -u * *rest;
    if (!n->detach) grad_spike += at_reset;
    vec through = n->soft ? *rest : choose(u >= n->threshold, fill(0.f), *rest);
    vec grad_u = grad_spike * surrogate(n, u - n->threshold) + through;
    *rest = grad_u * n->leak;
    return grad_u * n->gain;
}

typedef struct {
    const float *x, *scale, *shift; // x: (S, B, M, D), or (B, M, D) when it is the same at every step
    const uint8_t *mask;            // (B, M) or null
    long steps, batch, positions, width;
    int constant;
} Input;

INLINE vec affine(const Input *s, vec x, long channel, long width) {
    if (!s->scale) return x;
    return x * load_part(s->scale + channel, width) + load_part(s->shift + channel, width);
}
INLINE long offset(const Input *s, long step, long pair, long position) {
    return ((step * s->batch + pair) * s->positions + position) * s->width;
}
INLINE int masked(const Input *s, long pair, long position) {
    return s->mask && !s->mask[pair * s->positions + position];
}

// trains: (S, B, M, D); rates: (B, M, D), their mean over the steps; counts: (B, D), their sum over steps and positions.
void lif_forward(const float *x, const float *scale, const float *shift, const uint8_t *mask, const Neuron *neuron,
                 float *trains, float *rates, float *counts, long steps, long batch, long positions, long width,
                 int constant, int threads) {
    const Input s = {x, scale, shift, mask, steps, batch, positions, width, constant};
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (long pair = 0; pair < batch; pair++)
        for (long e = 0; e < width; e += LANES) {
            const long part = width - e;
            vec count = fill(0.f);
            for (long m = 0; m < positions; m++) {
                vec rest = fill(0.f), total = fill(0.f);
                for (long t = 0; t < steps; t++) {
                    vec spike = fill(0.f);
                    if (!masked(&s, pair, m)) {
                        vec in = load_part(x + offset(&s, constant ? 0 : t, pair, m) + e, part);
                        spike = fires(neuron, charge(neuron, &rest, affine(&s, in, e, part)));
                    }
                    total += spike;
                    store_part(trains + offset(&s, t, pair, m) + e, spike, part);
                }
                store_part(rates + offset(&s, 0, pair, m) + e, total / (float)steps, part);
                count += total;
            }
            store_part(counts + pair * width + e, count, part);
        }
}

// grad_in: the gradient of I, in x's shape. sums: (2, B, D), the sums over positions (and steps) of it and of it times x.
void lif_backward(const float *x, const float *scale, const float *shift, const uint8_t *mask, const Neuron *neuron,
                  const float *grad_trains, const float *grad_rates, const float *grad_counts, float *grad_in,
                  float *sums, long steps, long batch, long positions, long width, int constant, int threads) {
    const Input s = {x, scale, shift, mask, steps, batch, positions, width, constant};
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (long pair = 0; pair < batch; pair++)
        for (long e = 0; e < width; e += LANES) {
            const long part = width - e;
            vec sum = fill(0.f), product = fill(0.f), u[STEPS], in[STEPS];
            for (long m = 0; m < positions; m++) {
                if (masked(&s, pair, m)) {
                    for (long t = 0; t < (constant ? 1 : steps); t++)
                        store_part(grad_in + offset(&s, t, pair, m) + e, fill(0.f), part);
                    continue;
                }
                vec rest = fill(0.f), grad_rest = fill(0.f), whole = fill(0.f), every = fill(0.f);
                if (grad_rates) every += load_part(grad_rates + offset(&s, 0, pair, m) + e, part) / (float)steps;
                if (grad_counts) every += load_part(grad_counts + e, part);
                for (long t = 0; t < steps; t++) {
                    in[t] = load_part(x + offset(&s, constant ? 0 : t, pair, m) + e, part);
                    u[t] = charge(neuron, &rest, affine(&s, in[t], e, part));
                }
                for (long t = steps - 1; t >= 0; t--) {
                    vec g = every;
                    if (grad_trains) g += load_part(grad_trains + offset(&s, t, pair, m) + e, part);
                    g = discharge(neuron, &grad_rest, u[t], g);
                    whole += g;
                    product += g * in[t];
                    if (!constant) store_part(grad_in + offset(&s, t, pair, m) + e, g, part);
                }
                if (constant) store_part(grad_in + offset(&s, 0, pair, m) + e, whole, part);
                sum += whole;
            }
            store_part(sums + pair * width + e, sum, part);
            store_part(sums + (batch + pair) * width + e, product, part);
        }
}

// Spikes of one head as bits: (3, S, B, H, M), query, key, value. A head has at most 64 channels.
typedef struct {
    Input in; // x: (B, M, 3 D)
    long heads, size, vecs, words;
    const float *factor; // (B)
} Attention;

INLINE uint64_t *bits_of(const Attention *a, uint64_t *bits, long which, long step, long pair, long head) {
    return bits + (((which * a->in.steps + step) * a->in.batch + pair) * a->heads + head) * a->in.positions;
}
INLINE vec spread(uint64_t bits, long v) {
    ivec lane;
    for (int i = 0; i < LANES; i++) lane[i] = 1 << i;
    ivec word = (int32_t)(bits >> (v * LANES)) - (ivec){0};
    return choose((word & lane) != 0, fill(1.f), fill(0.f));
}
INLINE uint64_t gather(vec spikes, long v) {
#if LANES == 16
    return (uint64_t)_mm512_cmp_ps_mask((__m512)spikes, _mm512_setzero_ps(), _CMP_NEQ_OQ) << (v * LANES);
#else
    uint64_t bits = 0;
    for (int i = 0; i < LANES; i++) bits |= (uint64_t)(spikes[i] != 0.f) << (v * LANES + i);
    return bits;
#endif
}

#define HEAD 64
#define HEAD_VECS (HEAD / LANES)

// table[i] += the spread bits of `what`, for each bit i of `where`.
INLINE void add_spikes(vec table[][HEAD_VECS], uint64_t where, uint64_t what, const long vecs) {
    vec row[HEAD_VECS];
    for (long v = 0; v < vecs; v++) row[v] = spread(what, v);
    for (; where; where &= where - 1) {
        const int i = __builtin_ctzll(where);
        for (long v = 0; v < vecs; v++) table[i][v] += row[v];
    }
}
// The sum of the rows of `table` that `bits` names.
INLINE void sum_rows(vec table[][HEAD_VECS], uint64_t bits, const long vecs, vec *out) {
    for (long v = 0; v < vecs; v++) out[v] = fill(0.f);
    for (; bits; bits &= bits - 1) {
        const int i = __builtin_ctzll(bits);
        for (long v = 0; v < vecs; v++) out[v] += table[i][v];
    }
}

INLINE void fire_head(const Attention *a, const Neuron *neuron, long pair, long head, uint64_t *bits, float *counts) {
    const Input *s = &a->in;
    const long width = s->width / 3;
    for (long which = 0; which < 3; which++)
        for (long v = 0; v < a->vecs; v++) {
            const long channel = which * width + head * a->size + v * LANES, part = a->size - v * LANES;
            const uint64_t inside = part >= LANES ? ~0ull : ~(~0ull << (v * LANES + part));
            vec count = fill(0.f);
            for (long m = 0; m < s->positions; m++) {
                vec rest = fill(0.f), in = fill(0.f);
                const int real = !masked(s, pair, m);
                if (real) in = affine(s, load_part(s->x + offset(s, 0, pair, m) + channel, part), channel, part);
                for (long t = 0; t < s->steps; t++) {
                    vec spike = real ? fires(neuron, charge(neuron, &rest, in)) : fill(0.f);
                    count += spike;
                    uint64_t *word = bits_of(a, bits, which, t, pair, head) + m;
                    *word = (v ? *word : 0) | (gather(spike, v) & inside);
                }
            }
            store_part(counts + pair * s->width + channel, count, part);
        }
}

// factor: (B), multiplies the attention. out: (S, B, M, D). counts: (B, 3 D).
void attention_forward(const float *x, const float *scale, const float *shift, const uint8_t *mask,
                       const Neuron *neuron, const float *factor, float *out, uint64_t *bits, float *counts, long steps,
                       long batch, long positions, long width, long heads, int threads) {
    const long size = width / heads, vecs = (size + LANES - 1) / LANES;
    const Attention a = {{x, scale, shift, mask, steps, batch, positions, 3 * width, 1}, heads, size, vecs, 0, factor};
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (long pair = 0; pair < batch; pair++)
        for (long head = 0; head < heads; head++) {
            fire_head(&a, neuron, pair, head, bits, counts);
            for (long t = 0; t < steps; t++) {
                const uint64_t *q = bits_of(&a, bits, 0, t, pair, head), *k = bits_of(&a, bits, 1, t, pair, head);
                const uint64_t *val = bits_of(&a, bits, 2, t, pair, head);
                vec table[HEAD][HEAD_VECS], row[HEAD_VECS];
                memset(table, 0, sizeof(table[0]) * size);
                for (long m = 0; m < positions; m++)
                    if (val[m]) add_spikes(table, k[m], val[m], vecs);
                for (long m = 0; m < positions; m++) {
                    float *to = out + ((t * batch + pair) * positions + m) * width + head * size;
                    sum_rows(table, q[m], vecs, row);
                    for (long v = 0; v < vecs; v++) store_part(to + v * LANES, row[v] * factor[pair], size - v * LANES);
                }
            }
        }
}

typedef struct {
    vec by_value[STEPS][HEAD][HEAD_VECS];      // [j][i]: value j, key i; the table of the attention, transposed
    vec grad_table[STEPS][HEAD][HEAD_VECS];    // [i][j]
    vec grad_by_value[STEPS][HEAD][HEAD_VECS]; // [j][i]
} HeadScratch;

INLINE void load_row(const Attention *a, const float *grad, long t, long pair, long head, long m, vec *row) {
    const long width = a->in.width / 3;
    const float *from = grad + ((t * a->in.batch + pair) * a->in.positions + m) * width + head * a->size;
    for (long v = 0; v < a->vecs; v++) row[v] = load_part(from + v * LANES, a->size - v * LANES) * a->factor[pair];
}

INLINE void head_tables(const Attention *a, const float *grad, uint64_t *bits, long pair, long head, long t,
                        HeadScratch *w) {
    const uint64_t *q = bits_of(a, bits, 0, t, pair, head), *k = bits_of(a, bits, 1, t, pair, head);
    const uint64_t *val = bits_of(a, bits, 2, t, pair, head);
    memset(w->by_value[t], 0, sizeof(w->by_value[t][0]) * a->size);
    memset(w->grad_table[t], 0, sizeof(w->grad_table[t][0]) * a->size);
    for (long m = 0; m < a->in.positions; m++) {
        vec row[HEAD_VECS];
        if (k[m]) add_spikes(w->by_value[t], val[m], k[m], a->vecs);
        if (!q[m]) continue;
        load_row(a, grad, t, pair, head, m, row);
        for (uint64_t rest = q[m]; rest; rest &= rest - 1) {
            const int i = __builtin_ctzll(rest);
            for (long v = 0; v < a->vecs; v++) w->grad_table[t][i][v] += row[v];
        }
    }
    float *to = (float *)w->grad_by_value[t], *from = (float *)w->grad_table[t];
    memset(to, 0, sizeof(w->grad_by_value[t][0]) * a->size);
    for (long i = 0; i < a->size; i++)
        for (long j = 0; j < a->size; j++) to[j * HEAD + i] = from[i * HEAD + j];
}

INLINE void spike_gradients(const Attention *a, const float *grad, uint64_t *bits, long pair, long head, long t, long m,
                            HeadScratch *w, vec out[3][HEAD_VECS]) {
    vec row[HEAD_VECS];
    load_row(a, grad, t, pair, head, m, row);
    for (long v = 0; v < a->vecs; v++) out[0][v] = fill(0.f);
    for (long j = 0; j < a->size; j++) {
        const float g = ((const float *)row)[j];
        for (long v = 0; v < a->vecs; v++) out[0][v] += g * w->by_value[t][j][v];
    }
    sum_rows(w->grad_by_value[t], bits_of(a, bits, 2, t, pair, head)[m], a->vecs, out[1]);
    sum_rows(w->grad_table[t], bits_of(a, bits, 1, t, pair, head)[m], a->vecs, out[2]);
}

static void attention_backward_task(const Attention *a, const Neuron *neuron, const float *grad, uint64_t *bits,
                                    const float *grad_counts, float *grad_in, float *sums, long pair, long head,
                                    HeadScratch *w) {
    const Input *s = &a->in;
    const long width = s->width / 3;
    vec sum[3][HEAD_VECS] = {0}, product[3][HEAD_VECS] = {0};
    for (long t = 0; t < s->steps; t++) head_tables(a, grad, bits, pair, head, t, w);
    for (long m = 0; m < s->positions; m++) {
        vec in[3][HEAD_VECS], u[STEPS][3][HEAD_VECS], rest[3][HEAD_VECS], whole[3][HEAD_VECS], spike[3][HEAD_VECS];
        const int real = !masked(s, pair, m);
        for (long which = 0; which < 3; which++)
            for (long v = 0; v < a->vecs; v++) {
                const long channel = which * width + head * a->size + v * LANES, part = a->size - v * LANES;
                vec state = fill(0.f);
                in[which][v] = load_part(s->x + offset(s, 0, pair, m) + channel, part);
                vec current = affine(s, in[which][v], channel, part);
                for (long t = 0; real && t < s->steps; t++) u[t][which][v] = charge(neuron, &state, current);
                rest[which][v] = whole[which][v] = fill(0.f);
            }
        for (long t = s->steps - 1; real && t >= 0; t--) {
            spike_gradients(a, grad, bits, pair, head, t, m, w, spike);
            for (long which = 0; which < 3; which++)
                for (long v = 0; v < a->vecs; v++) {
                    const long channel = which * width + head * a->size + v * LANES, part = a->size - v * LANES;
                    vec g = spike[which][v];
                    if (grad_counts) g += load_part(grad_counts + channel, part);
                    whole[which][v] += discharge(neuron, &rest[which][v], u[t][which][v], g);
                }
        }
        for (long which = 0; which < 3; which++)
            for (long v = 0; v < a->vecs; v++) {
                const long channel = which * width + head * a->size + v * LANES, part = a->size - v * LANES;
                store_part(grad_in + offset(s, 0, pair, m) + channel, whole[which][v], part);
                sum[which][v] += whole[which][v];
                product[which][v] += real ? whole[which][v] * in[which][v] : fill(0.f);
            }
    }
    for (long which = 0; which < 3; which++)
        for (long v = 0; v < a->vecs; v++) {
            const long channel = which * width + head * a->size + v * LANES, part = a->size - v * LANES;
            store_part(sums + pair * s->width + channel, sum[which][v], part);
            store_part(sums + (s->batch + pair) * s->width + channel, product[which][v], part);
        }
}

// grad: (S, B, M, D). grad_counts: (3 D) or null. grad_in: (B, M, 3 D), of I. sums: (2, B, 3 D), as in lif_backward.
// Returns 0, or 1 when there is no memory for a thread's scratch.
int attention_backward(const float *x, const float *scale, const float *shift, const uint8_t *mask,
                       const Neuron *neuron, const float *factor, const float *grad, uint64_t *bits,
                       const float *grad_counts, float *grad_in, float *sums, long steps, long batch, long positions,
                       long width, long heads, int threads) {
    const long size = width / heads, vecs = (size + LANES - 1) / LANES;
    const Attention a = {{x, scale, shift, mask, steps, batch, positions, 3 * width, 1}, heads, size, vecs, 0, factor};
    int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : failed)
    {
        HeadScratch *scratch = aligned_alloc(64, sizeof(HeadScratch));
        failed = !scratch;
#pragma omp for collapse(2) schedule(static)
        for (long pair = 0; pair < batch; pair++)
            for (long head = 0; head < heads; head++)
                if (scratch)
                    attention_backward_task(&a, neuron, grad, bits, grad_counts, grad_in, sums, pair, head, scratch);
        free(scratch);
    }
    return failed;
}

// sums: (B, D) of x over real positions and steps, or of (x - centre)^2 when there is a centre, (D).
void masked_sums(const float *x, const uint8_t *mask, const float *centre, float *sums, long steps, long batch,
                 long positions, long width, int threads) {
    const Input s = {x, 0, 0, mask, steps, batch, positions, width, 0};
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long pair = 0; pair < batch; pair++)
        for (long e = 0; e < width; e += LANES) {
            const long part = width - e;
            vec total = fill(0.f), middle = centre ? load_part(centre + e, part) : fill(0.f);
            for (long t = 0; t < steps; t++)
                for (long m = 0; m < positions; m++) {
                    if (masked(&s, pair, m)) continue;
                    vec value = load_part(x + offset(&s, t, pair, m) + e, part) - middle;
                    total += centre ? value * value : value;
                }
            store_part(sums + pair * width + e, total, part);
        }
}

// grad = grad scale + (constant + slope x at real positions), in place: the way back through a batch norm.
void norm_backward(float *grad, const float *x, const uint8_t *mask, const float *scale, const float *constant,
                   const float *slope, long steps, long batch, long positions, long width, int threads) {
    const Input s = {x, 0, 0, mask, steps, batch, positions, width, 0};
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (long t = 0; t < steps; t++)
        for (long pair = 0; pair < batch; pair++)
            for (long m = 0; m < positions; m++) {
                const long at = offset(&s, t, pair, m);
                if (masked(&s, pair, m)) {
                    memset(grad + at, 0, sizeof(float) * width);
                    continue;
                }
                for (long e = 0; e < width; e += LANES) {
                    const long part = width - e;
                    vec g = load_part(grad + at + e, part) * load_part(scale + e, part);
                    if (constant) {
                        g += load_part(constant + e, part);
                        g += load_part(slope + e, part) * load_part(x + at + e, part);
                    }
                    store_part(grad + at + e, g, part);
                }
            }
}
