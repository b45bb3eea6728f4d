// Leaky integrate-and-fire neurons over several steps, the batch norm before them, and the attention over spikes.
//
//     U[t] = leak V[t-1] + gain I[t],   S[t] = 1[U[t] >= threshold],   V[t] = U[t] (1 - S[t])  or  U[t] - threshold S[t]
//     I = x scale + shift, per channel
//
// Shapes, row-major: S steps, B pairs, M positions, D channels. Masked positions never fire. Nothing but x is kept for
// the backward pass: the membranes are computed again, in registers. Sums over positions are partial, per pair or per part of
// a pair's positions, so that no two tasks write one place and results do not depend on threads.
#include "vector.h"

#define STEPS 64
LIMIT(STEPS)

typedef struct {
    float leak, gain, threshold, alpha;
    int32_t soft, detach, surrogate;
} Neuron;

enum { ATAN, SIGMOID, ERF, SOFTSIGN, PIECEWISE_QUADRATIC, PIECEWISE_EXP, SUPERSPIKE, RECT, SURROGATES };
LIMIT(SURROGATES)

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
    int64_t steps, batch, positions, width;
    int constant;
} Input;

INLINE vec affine(const Input *s, vec x, int64_t channel, int64_t width) {
    if (!s->scale) return x;
    return x * load_part(s->scale + channel, width) + load_part(s->shift + channel, width);
}
INLINE int64_t offset(const Input *s, int64_t step, int64_t pair, int64_t position) {
    return ((step * s->batch + pair) * s->positions + position) * s->width;
}
INLINE int masked(const Input *s, int64_t pair, int64_t position) {
    return s->mask && !s->mask[pair * s->positions + position];
}

INLINE void fire_at(const Input *s, const Neuron *n, float *trains, float *rates, float *counts, int64_t pair,
                    int64_t m, int64_t e, const int64_t channels) {
    const int real = !masked(s, pair, m);
    vec rest = fill(0.f), total = fill(0.f);
    for (int64_t t = 0; t < s->steps; t++) {
        vec spike = fill(0.f);
        if (real) {
            vec in = load_part(s->x + offset(s, s->constant ? 0 : t, pair, m) + e, channels);
            spike = fires(n, charge(n, &rest, affine(s, in, e, channels)));
        }
        total += spike;
        store_part(trains + offset(s, t, pair, m) + e, spike, channels);
    }
    store_part(rates + offset(s, 0, pair, m) + e, total / (float)s->steps, channels);
    add_part(counts + e, total, channels);
}

// x: (S, B, M, D), or (B, M, D) when `constant`. Null: scale and shift, both or neither; mask.
typedef struct {
    const float *x, *scale, *shift;
    const uint8_t *mask;
    float *trains, *rates, *counts; // (S, B, M, D); (B, M, D), their mean over the steps; (B, parts, D), their sums
    int64_t steps, batch, positions, width, parts;
    Neuron neuron;
    int32_t constant, threads;
} LifForward;
ARGUMENTS(lif_forward, LifForward)

EXPORT void lif_forward(const LifForward *given) {
    const int64_t steps = given->steps, batch = given->batch, positions = given->positions, width = given->width;
    const int64_t parts = given->parts;
    const int threads = given->threads;
    float *trains = given->trains, *rates = given->rates, *counts = given->counts;
    const Input s = {given->x, given->scale, given->shift, given->mask, steps, batch, positions, width, given->constant};
    const Neuron n = given->neuron;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < batch * parts; task++) {
        const Part part = part_of(task, parts, positions);
        float *count = memset(counts + task * width, 0, sizeof(float) * width);
        for (int64_t m = part.first; m < part.last; m++)
            FOR_CHANNELS(0, width, fire_at, &s, &n, trains, rates, count, part.pair, m)
    }
}

typedef struct {
    const float *trains, *rates, *counts; // (S, B, M, D), (B, M, D), (D); or null
} SpikeGradients;

INLINE void unfire_at(const Input *s, const Neuron *n, const SpikeGradients *grad, float *grad_in, float *sum,
                      float *product, int64_t pair, int64_t m, int64_t e, const int64_t channels) {
    if (masked(s, pair, m)) {
        for (int64_t t = 0; t < (s->constant ? 1 : s->steps); t++)
            store_part(grad_in + offset(s, t, pair, m) + e, fill(0.f), channels);
        return;
    }
    vec rest = fill(0.f), grad_rest = fill(0.f), whole = fill(0.f), by_input = fill(0.f), every = fill(0.f);
    vec u[STEPS], in[STEPS];
    if (grad->rates) every += load_part(grad->rates + offset(s, 0, pair, m) + e, channels) / (float)s->steps;
    if (grad->counts) every += load_part(grad->counts + e, channels);
    for (int64_t t = 0; t < s->steps; t++) {
        in[t] = load_part(s->x + offset(s, s->constant ? 0 : t, pair, m) + e, channels);
        u[t] = charge(n, &rest, affine(s, in[t], e, channels));
    }
    for (int64_t t = s->steps - 1; t >= 0; t--) {
        vec g = every;
        if (grad->trains) g += load_part(grad->trains + offset(s, t, pair, m) + e, channels);
        g = discharge(n, &grad_rest, u[t], g);
        whole += g;
        by_input += g * in[t];
        if (!s->constant) store_part(grad_in + offset(s, t, pair, m) + e, g, channels);
    }
    if (s->constant) store_part(grad_in + offset(s, 0, pair, m) + e, whole, channels);
    add_part(sum + e, whole, channels);
    add_part(product + e, by_input, channels);
}

// Null: as before, and each of the three gradients that come in.
typedef struct {
    const float *x, *scale, *shift;
    const uint8_t *mask;
    const float *grad_trains, *grad_rates, *grad_counts;
    float *grad_in; // of I, in x's shape
    float *sums;    // (2, B, parts, D): the sums over positions (and steps) of grad_in, and of it times x
    int64_t steps, batch, positions, width, parts;
    Neuron neuron;
    int32_t constant, threads;
} LifBackward;
ARGUMENTS(lif_backward, LifBackward)

EXPORT void lif_backward(const LifBackward *given) {
    const int64_t steps = given->steps, batch = given->batch, positions = given->positions, width = given->width;
    const int64_t parts = given->parts;
    const int threads = given->threads;
    float *grad_in = given->grad_in, *sums = given->sums;
    const Input s = {given->x, given->scale, given->shift, given->mask, steps, batch, positions, width, given->constant};
    const SpikeGradients grad = {given->grad_trains, given->grad_rates, given->grad_counts};
    const Neuron n = given->neuron;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < batch * parts; task++) {
        const Part part = part_of(task, parts, positions);
        float *sum = memset(sums + task * width, 0, sizeof(float) * width);
        float *product = memset(sums + (batch * parts + task) * width, 0, sizeof(float) * width);
        for (int64_t m = part.first; m < part.last; m++)
            FOR_CHANNELS(0, width, unfire_at, &s, &n, &grad, grad_in, sum, product, part.pair, m)
    }
}

// Spikes of one head as bits: (3, S, B, H, M), query, key, value. A head has at most 64 channels.
typedef struct {
    Input in; // x: (B, M, 3 D)
    int64_t heads, size, vecs;
    const float *factor; // (B)
} Attention;

// Where the words of one head begin.
INLINE int64_t bits_at(const Attention *a, int64_t which, int64_t step, int64_t pair, int64_t head) {
    return (((which * a->in.steps + step) * a->in.batch + pair) * a->heads + head) * a->in.positions;
}
INLINE vec spread(uint64_t bits, int64_t v) {
    ivec lane;
    for (int i = 0; i < LANES; i++) lane[i] = 1 << i;
    ivec word = (int32_t)(bits >> (v * LANES)) - (ivec){0};
    return choose((word & lane) != 0, fill(1.f), fill(0.f));
}
INLINE uint64_t gather(vec spikes, int64_t v) {
#if LANES == 16
    return (uint64_t)_mm512_cmp_ps_mask((__m512)spikes, _mm512_setzero_ps(), _CMP_NEQ_OQ) << (v * LANES);
#else
    uint64_t bits = 0;
    for (int i = 0; i < LANES; i++) bits |= (uint64_t)(spikes[i] != 0.f) << (v * LANES + i);
    return bits;
#endif
}

#define HEAD 64
LIMIT(HEAD)
#define HEAD_VECS (HEAD / LANES)
typedef vec Table[HEAD * HEAD_VECS]; // one row of a head's vectors after the other

// Adds `row` to the rows of `table` that `bits` names.
INLINE void add_to_rows(vec *table, uint64_t bits, const vec *row, const int64_t vecs) {
    for (; bits; bits &= bits - 1) {
        vec *to = table + __builtin_ctzll(bits) * vecs;
        for (int64_t v = 0; v < vecs; v++) to[v] += row[v];
    }
}
// The same with a row of spikes.
INLINE void add_spikes(vec *table, uint64_t bits, uint64_t spikes, const int64_t vecs) {
    vec row[HEAD_VECS];
    for (int64_t v = 0; v < vecs; v++) row[v] = spread(spikes, v);
    add_to_rows(table, bits, row, vecs);
}
// The sum of the rows of `table` that `bits` names.
INLINE void sum_rows(const vec *table, uint64_t bits, const int64_t vecs, vec *out) {
    for (int64_t v = 0; v < vecs; v++) out[v] = fill(0.f);
    for (; bits; bits &= bits - 1) {
        const vec *row = table + __builtin_ctzll(bits) * vecs;
        for (int64_t v = 0; v < vecs; v++) out[v] += row[v];
    }
}

INLINE void fire_head(const Attention *a, const Neuron *neuron, int64_t pair, int64_t head, uint64_t *bits,
                      float *counts) {
    const Input *s = &a->in;
    const int64_t width = s->width / 3;
    for (int64_t which = 0; which < 3; which++)
        for (int64_t v = 0; v < a->vecs; v++) {
            const int64_t channel = which * width + head * a->size + v * LANES, part = a->size - v * LANES;
            const uint64_t inside = part >= LANES ? ~0ull : ~(~0ull << (v * LANES + part));
            vec count = fill(0.f);
            for (int64_t m = 0; m < s->positions; m++) {
                vec rest = fill(0.f), in = fill(0.f);
                const int real = !masked(s, pair, m);
                if (real) in = affine(s, load_part(s->x + offset(s, 0, pair, m) + channel, part), channel, part);
                for (int64_t t = 0; t < s->steps; t++) {
                    vec spike = real ? fires(neuron, charge(neuron, &rest, in)) : fill(0.f);
                    count += spike;
                    uint64_t *word = bits + bits_at(a, which, t, pair, head) + m;
                    *word = (v ? *word : 0) | (gather(spike, v) & inside);
                }
            }
            store_part(counts + pair * s->width + channel, count, part);
        }
}

INLINE void attend_head(const Attention *a, float *out, const uint64_t *bits, int64_t pair, int64_t head,
                        const int64_t vecs) {
    const Input *s = &a->in;
    const int64_t width = s->width / 3;
    for (int64_t t = 0; t < s->steps; t++) {
        const uint64_t *q = bits + bits_at(a, 0, t, pair, head), *k = bits + bits_at(a, 1, t, pair, head);
        const uint64_t *val = bits + bits_at(a, 2, t, pair, head);
        vec row[HEAD_VECS];
        Table table;
        memset(table, 0, sizeof(vec) * a->size * vecs);
        for (int64_t m = 0; m < s->positions; m++)
            if (val[m]) add_spikes(table, k[m], val[m], vecs);
        for (int64_t m = 0; m < s->positions; m++) {
            float *to = out + ((t * s->batch + pair) * s->positions + m) * width + head * a->size;
            sum_rows(table, q[m], vecs, row);
            for (int64_t v = 0; v < vecs; v++)
                store_part(to + v * LANES, row[v] * a->factor[pair], a->size - v * LANES);
        }
    }
}

// Calls task(..., vecs), the number of a head's vectors a constant for the usual ones.
#define FOR_HEAD(a, task, ...) \
    do { \
        if ((a)->vecs == 1) task(__VA_ARGS__, 1); \
        else if ((a)->vecs == 2) task(__VA_ARGS__, 2); \
        else if ((a)->vecs == 4) task(__VA_ARGS__, 4); \
        else task(__VA_ARGS__, (a)->vecs); \
    } while (0)

// x: (B, M, 3 D). Null: scale and shift, both or neither; mask.
typedef struct {
    const float *x, *scale, *shift;
    const uint8_t *mask;
    const float *factor; // (B), multiplies the attention
    float *out;          // (S, B, M, D)
    uint64_t *bits;      // (3, S, B, H, M)
    float *counts;       // (B, 3 D)
    int64_t steps, batch, positions, width, heads;
    Neuron neuron;
    int32_t threads;
} AttentionForward;
ARGUMENTS(attention_forward, AttentionForward)

EXPORT void attention_forward(const AttentionForward *given) {
    const int64_t steps = given->steps, batch = given->batch, positions = given->positions, width = given->width;
    const int64_t heads = given->heads, size = width / heads, vecs = (size + LANES - 1) / LANES;
    const int threads = given->threads;
    const Input in = {given->x, given->scale, given->shift, given->mask, steps, batch, positions, 3 * width, 1};
    const Attention a = {in, heads, size, vecs, given->factor};
    const Neuron n = given->neuron;
    float *out = given->out, *counts = given->counts;
    uint64_t *bits = given->bits;
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t pair = 0; pair < batch; pair++)
        for (int64_t head = 0; head < heads; head++) {
            fire_head(&a, &n, pair, head, bits, counts);
            FOR_HEAD(&a, attend_head, &a, out, bits, pair, head);
        }
}

// Positions whose gradients are found together: what is read of each step's tables then serves all of them.
#define TOGETHER (LANES / 2)

typedef struct {
    Table by_value[STEPS];                     // row j: value j, lane i: key i; the attention's table, transposed
    Table grad_table[STEPS];                   // row i, lane j
    Table grad_by_value[STEPS];                // row j, lane i
    vec spikes[STEPS][TOGETHER][3][HEAD_VECS]; // the gradients of query, key and value
} HeadScratch;

INLINE void load_row(const Attention *a, const float *grad, int64_t t, int64_t pair, int64_t head, int64_t m,
                     const int64_t vecs, vec *row) {
    const int64_t width = a->in.width / 3;
    const float *from = grad + ((t * a->in.batch + pair) * a->in.positions + m) * width + head * a->size;
    for (int64_t v = 0; v < vecs; v++) row[v] = load_part(from + v * LANES, a->size - v * LANES) * a->factor[pair];
}

INLINE void head_tables(const Attention *a, const float *grad, const uint64_t *bits, int64_t pair, int64_t head,
                        int64_t t, const int64_t vecs, HeadScratch *w) {
    const uint64_t *q = bits + bits_at(a, 0, t, pair, head), *k = bits + bits_at(a, 1, t, pair, head);
    const uint64_t *val = bits + bits_at(a, 2, t, pair, head);
    const size_t bytes = sizeof(vec) * a->size * vecs;
    memset(w->by_value[t], 0, bytes);
    memset(w->grad_table[t], 0, bytes);
    for (int64_t m = 0; m < a->in.positions; m++) {
        vec row[HEAD_VECS];
        if (k[m]) add_spikes(w->by_value[t], val[m], k[m], vecs);
        if (!q[m]) continue;
        load_row(a, grad, t, pair, head, m, vecs, row);
        add_to_rows(w->grad_table[t], q[m], row, vecs);
    }
    const int64_t row = vecs * LANES;
    float *to = memset(w->grad_by_value[t], 0, bytes), *from = (float *)w->grad_table[t];
    for (int64_t i = 0; i < a->size; i++)
        for (int64_t j = 0; j < a->size; j++) to[j * row + i] = from[i * row + j];
}

// The gradients of the spikes of step t at `count` positions from m on, at most TOGETHER.
INLINE void spike_gradients(const Attention *a, const float *grad, const uint64_t *bits, int64_t pair, int64_t head,
                            int64_t t, int64_t m, int64_t count, const int64_t vecs, HeadScratch *w) {
    const uint64_t *k = bits + bits_at(a, 1, t, pair, head), *val = bits + bits_at(a, 2, t, pair, head);
    vec rows[TOGETHER][HEAD_VECS], query[TOGETHER][HEAD_VECS];
    for (int64_t p = 0; p < TOGETHER; p++) {
        load_row(a, grad, t, pair, head, p < count ? m + p : m, vecs, rows[p]);
        for (int64_t v = 0; v < vecs; v++) query[p][v] = fill(0.f);
    }
    for (int64_t j = 0; j < a->size; j++)
        for (int64_t v = 0; v < vecs; v++)
            for (int64_t p = 0; p < TOGETHER; p++)
                query[p][v] += ((const float *)rows[p])[j] * w->by_value[t][j * vecs + v];
    for (int64_t p = 0; p < count; p++) {
        for (int64_t v = 0; v < vecs; v++) w->spikes[t][p][0][v] = query[p][v];
        sum_rows(w->grad_by_value[t], val[m + p], vecs, w->spikes[t][p][1]);
        sum_rows(w->grad_table[t], k[m + p], vecs, w->spikes[t][p][2]);
    }
}

INLINE void attention_backward_head(const Attention *a, const Neuron *neuron, const float *grad, const uint64_t *bits,
                                    const float *grad_counts, float *grad_in, float *sums, HeadScratch *w, int64_t pair,
                                    int64_t head, const int64_t vecs) {
    const Input *s = &a->in;
    const int64_t width = s->width / 3;
    vec sum[3][HEAD_VECS] = {0}, product[3][HEAD_VECS] = {0};
    for (int64_t t = 0; t < s->steps; t++) head_tables(a, grad, bits, pair, head, t, vecs, w);
    for (int64_t first = 0; first < s->positions; first += TOGETHER) {
        const int64_t count = s->positions - first < TOGETHER ? s->positions - first : TOGETHER;
        for (int64_t t = 0; t < s->steps; t++) spike_gradients(a, grad, bits, pair, head, t, first, count, vecs, w);
        for (int64_t p = 0; p < count; p++)
            for (int64_t which = 0; which < 3; which++)
                for (int64_t v = 0; v < vecs; v++) {
                    const int64_t m = first + p, at = offset(s, 0, pair, m), part = a->size - v * LANES;
                    const int64_t channel = which * width + head * a->size + v * LANES;
                    vec u[STEPS], state = fill(0.f), rest = fill(0.f), whole = fill(0.f), every = fill(0.f);
                    if (masked(s, pair, m)) {
                        store_part(grad_in + at + channel, whole, part);
                        continue;
                    }
                    const vec in = load_part(s->x + at + channel, part), current = affine(s, in, channel, part);
                    if (grad_counts) every = load_part(grad_counts + channel, part);
                    for (int64_t t = 0; t < s->steps; t++) u[t] = charge(neuron, &state, current);
                    for (int64_t t = s->steps - 1; t >= 0; t--)
                        whole += discharge(neuron, &rest, u[t], w->spikes[t][p][which][v] + every);
                    store_part(grad_in + at + channel, whole, part);
                    sum[which][v] += whole;
                    product[which][v] += whole * in;
                }
    }
    for (int64_t which = 0; which < 3; which++)
        for (int64_t v = 0; v < vecs; v++) {
            const int64_t channel = which * width + head * a->size + v * LANES, part = a->size - v * LANES;
            store_part(sums + pair * s->width + channel, sum[which][v], part);
            store_part(sums + (s->batch + pair) * s->width + channel, product[which][v], part);
        }
}

// Null: as before, and grad_counts.
typedef struct {
    const float *x, *scale, *shift;
    const uint8_t *mask;
    const float *factor, *grad; // grad: (S, B, M, D)
    const uint64_t *bits;
    const float *grad_counts; // (3 D)
    float *grad_in;           // (B, M, 3 D), of I
    float *sums;              // (2, B, 3 D), as in lif_backward
    int64_t steps, batch, positions, width, heads;
    Neuron neuron;
    int32_t threads;
} AttentionBackward;
ARGUMENTS(attention_backward, AttentionBackward)

// Returns 0, or 1 when there is no memory for a thread's scratch.
EXPORT int attention_backward(const AttentionBackward *given) {
    const int64_t steps = given->steps, batch = given->batch, positions = given->positions, width = given->width;
    const int64_t heads = given->heads, size = width / heads, vecs = (size + LANES - 1) / LANES;
    const int threads = given->threads;
    const Input in = {given->x, given->scale, given->shift, given->mask, steps, batch, positions, 3 * width, 1};
    const Attention a = {in, heads, size, vecs, given->factor};
    const Neuron n = given->neuron;
    const float *grad = given->grad, *grad_counts = given->grad_counts;
    const uint64_t *bits = given->bits;
    float *grad_in = given->grad_in, *sums = given->sums;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : failed)
    {
        HeadScratch *scratch = take_aligned(sizeof(HeadScratch));
        failed = !scratch;
#pragma omp for collapse(2) schedule(static)
        for (int64_t pair = 0; pair < batch; pair++)
            for (int64_t head = 0; head < heads; head++)
                if (scratch)
                    FOR_HEAD(&a, attention_backward_head, &a, &n, grad, bits, grad_counts, grad_in, sums, scratch, pair,
                             head);
        give_aligned(scratch);
    }
    return failed;
}

INLINE void sum_at(const Input *s, const float *centre, float *sum, int64_t at, int64_t e, const int64_t channels) {
    vec value = load_part(s->x + at + e, channels);
    if (centre) {
        value -= load_part(centre + e, channels);
        value *= value;
    }
    add_part(sum + e, value, channels);
}

typedef struct {
    const float *x; // (S, B, M, D)
    const uint8_t *mask;
    const float *centre; // (D), or null
    float *sums;         // (B, parts, D) of x over real positions and steps, or of (x - centre)^2
    int64_t steps, batch, positions, width, parts;
    int32_t threads;
} MaskedSums;
ARGUMENTS(masked_sums, MaskedSums)

EXPORT void masked_sums(const MaskedSums *given) {
    const int64_t steps = given->steps, batch = given->batch, positions = given->positions, width = given->width;
    const int64_t parts = given->parts;
    const int threads = given->threads;
    const float *centre = given->centre;
    float *sums = given->sums;
    const Input s = {given->x, 0, 0, given->mask, steps, batch, positions, width, 0};
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t task = 0; task < batch * parts; task++) {
        const Part part = part_of(task, parts, positions);
        float *sum = memset(sums + task * width, 0, sizeof(float) * width);
        for (int64_t t = 0; t < steps; t++)
            for (int64_t m = part.first; m < part.last; m++)
                if (!masked(&s, part.pair, m))
                    FOR_CHANNELS(0, width, sum_at, &s, centre, sum, offset(&s, t, part.pair, m))
    }
}

INLINE void unnormalise_at(const Input *s, float *grad, const float *constant, const float *slope, int64_t at,
                           int64_t e, const int64_t channels) {
    vec g = load_part(grad + at + e, channels) * load_part(s->scale + e, channels);
    if (constant) {
        g += load_part(constant + e, channels);
        g += load_part(slope + e, channels) * load_part(s->x + at + e, channels);
    }
    store_part(grad + at + e, g, channels);
}

// grad = grad scale + (constant + slope x at real positions), in place: the backward pass through a batch norm.
// constant and slope, both or neither: null.
typedef struct {
    float *grad;    // (S, B, M, D), as x
    const float *x;
    const uint8_t *mask;
    const float *scale, *constant, *slope; // (D)
    int64_t steps, batch, positions, width;
    int32_t threads;
} NormBackward;
ARGUMENTS(norm_backward, NormBackward)

EXPORT void norm_backward(const NormBackward *given) {
    const int64_t steps = given->steps, batch = given->batch, positions = given->positions, width = given->width;
    const int threads = given->threads;
    float *grad = given->grad;
    const float *constant = given->constant, *slope = given->slope;
    const Input s = {given->x, given->scale, 0, given->mask, steps, batch, positions, width, 0};
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t t = 0; t < steps; t++)
        for (int64_t pair = 0; pair < batch; pair++)
            for (int64_t m = 0; m < positions; m++) {
                const int64_t at = offset(&s, t, pair, m);
                if (masked(&s, pair, m)) memset(grad + at, 0, sizeof(float) * width);
                else FOR_CHANNELS(0, width, unnormalise_at, &s, grad, constant, slope, at)
            }
}
