// The selective scan, forward and backward.
//
//     h[t] = exp(delta[t] a) h[t-1] + delta[t] b[t] x[t],     y[t] = c[t] h[t] + skip x[t]
//
// Shapes, row-major: x, step, y (B, L, E); a (E, N); b, c (B, L, N) with rows `row_stride` floats apart. delta is
// `step`, or softplus(step); 0 where the mask is. A task is one pair and up to BLOCK channels. It walks through
// segments of SEGMENT positions; within a segment GROUP states of LANES channels stay in registers. The state before
// each segment is kept, everything else is computed again in the backward pass. Sums over channels are partial per
// block and sums over pairs are partial per pair, so that no two tasks write one place and results do not depend on
// threads.
#include "vector.h"

#define SEGMENT 32
#define GROUP 4
#define BLOCK 128
#define STATES 256
#define VECS (BLOCK / LANES)
LIMIT(SEGMENT)
LIMIT(BLOCK)
LIMIT(STATES)
#define PITCH (SEGMENT + 1) // rows of a power of two would all fall into the same few sets of the cache

typedef struct {
    const float *x, *step, *rate, *b, *c, *skip; // rate: (N, E), `rates_of`
    const uint8_t *mask;                         // (B, L) or null
    int64_t batch, length, width, states, row_stride, block;
    int softplus, reverse;
} Scan;

INLINE int64_t padded(int64_t width) { return (width + 15) / 16 * 16; }
INLINE int64_t n_segments(const Scan *s) { return (s->length + SEGMENT - 1) / SEGMENT; }
INLINE int64_t left(int64_t width, int64_t v) { return width - v * LANES; }

// The rows that a segment's positions have in x, in the order of the scan. Returns how many.
INLINE int64_t rows_of(const Scan *s, int64_t pair, int64_t index, int64_t *rows) {
    const int64_t position = index * SEGMENT, count = s->length - position < SEGMENT ? s->length - position : SEGMENT;
    for (int64_t i = 0; i < count; i++)
        rows[i] = pair * s->length + (s->reverse ? s->length - 1 - position - i : position + i);
    return count;
}

// a log2(e), one row for each state; null when there is no memory.
static float *rates_of(const float *a, int64_t width, int64_t states) {
    float *rate = malloc(sizeof(float) * width * states + 1); // not of nothing, which may be null too
    for (int64_t e = 0; rate && e < width; e++)
        for (int64_t n = 0; n < states; n++) rate[n * width + e] = a[e * states + n] * LOG2_E;
    return rate;
}

// Rows lie too far apart for the processor to guess which one comes next. Reading past an array is harmless here.
INLINE void fetch(const float *p) { __builtin_prefetch(p, 0, 2); }

// What one vector of channels holds of one segment.
typedef struct {
    vec delta[SEGMENT], drive[SEGMENT], y[SEGMENT];
} Lane;

INLINE void forward_group(const Scan *s, const int64_t *rows, int64_t count, Lane *l, int64_t n, const int group,
                          vec *state, const vec *rate) {
    vec h[GROUP], a[GROUP];
    for (int j = 0; j < group; j++) h[j] = state[n + j], a[j] = rate[n + j];
    for (int64_t i = 0; i < count; i++) {
        const float *b = s->b + rows[i] * s->row_stride + n, *c = s->c + rows[i] * s->row_stride + n;
        vec delta = l->delta[i], drive = l->drive[i], total = l->y[i];
        vec decay[GROUP];
        for (int j = 0; j < group; j++) decay[j] = delta * a[j];
        exp2_group(decay, group);
        for (int j = 0; j < group; j++) h[j] = decay[j] * h[j] + drive * b[j];
        for (int j = 0; j < group; j++) total += h[j] * c[j];
        l->y[i] = total;
    }
    for (int j = 0; j < group; j++) state[n + j] = h[j];
}

// One vector of channels through one segment; `ahead`: floats from a row to the one a segment later, 0 in the last.
static void forward_lane(const Scan *s, const int64_t *rows, int64_t count, int64_t channel, int64_t width,
                         int64_t ahead, vec skip, vec *state, const vec *rate, float *y) {
    Lane l;
    for (int64_t i = 0; i < count; i++) {
        const float *x = s->x + rows[i] * s->width + channel, *step = s->step + rows[i] * s->width + channel;
        fetch(x + ahead);
        fetch(step + ahead);
        __builtin_prefetch(y + rows[i] * s->width + channel, 1);
        vec xv = load_part(x, width), d = load_part(step, width), slope;
        if (s->softplus) d = softplus_of(d, &slope);
        l.delta[i] = d, l.drive[i] = d * xv, l.y[i] = s->skip ? skip * xv : fill(0.f);
        if (s->mask && !s->mask[rows[i]]) l.delta[i] = l.drive[i] = fill(0.f); // not a product: padding may hold anything
    }
    int64_t n = 0;
    for (; n + GROUP <= s->states; n += GROUP) forward_group(s, rows, count, &l, n, GROUP, state, rate);
    for (; n < s->states; n++) forward_group(s, rows, count, &l, n, 1, state, rate);
    for (int64_t i = 0; i < count; i++) store_part(y + rows[i] * s->width + channel, l.y[i], width);
}

static void forward_task(const Scan *s, int64_t pair, int64_t first, const float *initial, float *y, float *starts,
                         float *final) {
    const int64_t block = s->width - first < s->block ? s->width - first : s->block, vecs = (block + LANES - 1) / LANES;
    const int64_t pitch = padded(s->width), segments = n_segments(s), states = s->states;
    vec rate[vecs][states], state[vecs][states], skip[vecs];
    for (int64_t v = 0; v < vecs; v++) {
        const int64_t channel = first + v * LANES, width = left(block, v);
        skip[v] = s->skip ? load_part(s->skip + channel, width) : fill(0.f);
        for (int64_t n = 0; n < states; n++) {
            rate[v][n] = load_part(s->rate + n * s->width + channel, width);
            state[v][n] = initial ? load(initial + (pair * states + n) * pitch + channel) : fill(0.f);
        }
    }
    for (int64_t index = 0; index < segments; index++) {
        int64_t rows[SEGMENT], count = rows_of(s, pair, index, rows);
        const int64_t ahead = index + 1 < segments ? (s->reverse ? -SEGMENT : SEGMENT) * s->width : 0;
        for (int64_t v = 0; v < vecs; v++) {
            const int64_t channel = first + v * LANES;
            if (starts)
                for (int64_t n = 0; n < states; n++)
                    store_past(starts + ((pair * segments + index) * states + n) * pitch + channel, state[v][n]);
            forward_lane(s, rows, count, channel, left(block, v), ahead, skip[v], state[v], rate[v], y);
        }
    }
    settle();
    if (final)
        for (int64_t v = 0; v < vecs; v++)
            for (int64_t n = 0; n < states; n++)
                store(final + (pair * states + n) * pitch + first + v * LANES, state[v][n]);
}

typedef struct {
    int64_t first, width, vecs, count;
    int64_t rows[SEGMENT];
    vec delta[VECS][PITCH], drive[VECS][PITCH], x[VECS][PITCH], slope[VECS][PITCH];
} Segment;

INLINE void begin_segment(const Scan *s, Segment *g, int64_t pair, int64_t index) {
    g->count = rows_of(s, pair, index, g->rows);
    const int64_t ahead = index > 0 ? (s->reverse ? SEGMENT : -SEGMENT) * s->width : 0;
    for (int64_t i = 0; i < g->count; i++) {
        const int64_t row = g->rows[i];
        const float *x = s->x + row * s->width + g->first, *step = s->step + row * s->width + g->first;
        const float real = !s->mask || s->mask[row];
        for (int64_t v = 0; v < g->vecs; v++) {
            fetch(x + ahead + v * LANES);
            fetch(step + ahead + v * LANES);
            vec xv = load_part(x + v * LANES, left(g->width, v)), d = load_part(step + v * LANES, left(g->width, v));
            vec slope = fill(1.f);
            if (s->softplus) d = softplus_of(d, &slope);
            d = real != 0.f ? d : fill(0.f);
            g->x[v][i] = xv;
            g->delta[v][i] = d;
            g->slope[v][i] = slope * real;
            g->drive[v][i] = real != 0.f ? d * xv : fill(0.f);
        }
    }
}

typedef struct {
    vec rate[STATES][VECS], carry[STATES][VECS], grad_rate[STATES][VECS];
    vec grad_y[VECS][PITCH], by_b[VECS][PITCH], by_rate[VECS][PITCH];
    vec sum_b[SEGMENT][GROUP], sum_c[SEGMENT][GROUP];
    vec states[SEGMENT + 1][GROUP], decays[SEGMENT][GROUP];
} Scratch;

INLINE void load_rates(const Scan *s, const Segment *g, vec rate[][VECS]) {
    for (int64_t n = 0; n < s->states; n++)
        for (int64_t v = 0; v < g->vecs; v++)
            rate[n][v] = load_part(s->rate + n * s->width + g->first + v * LANES, left(g->width, v));
}

INLINE void backward_group(const Scan *s, const Segment *g, int64_t n, const int group, int64_t v, const float *start,
                           int64_t pitch, Scratch *w) {
    vec h[GROUP], a[GROUP], carry[GROUP], grad_rate[GROUP];
    for (int j = 0; j < group; j++) {
        a[j] = w->rate[n + j][v], carry[j] = w->carry[n + j][v], grad_rate[j] = w->grad_rate[n + j][v];
        h[j] = w->states[0][j] = load(start + (n + j) * pitch + v * LANES);
    }
    for (int64_t i = 0; i < g->count; i++) {
        const float *b = s->b + g->rows[i] * s->row_stride + n;
        vec delta = g->delta[v][i], drive = g->drive[v][i];
        vec decay[GROUP];
        for (int j = 0; j < group; j++) decay[j] = delta * a[j];
        exp2_group(decay, group);
        for (int j = 0; j < group; j++) w->decays[i][j] = decay[j];
        for (int j = 0; j < group; j++) h[j] = w->states[i + 1][j] = decay[j] * h[j] + drive * b[j];
    }
    for (int64_t i = g->count - 1; i >= 0; i--) {
        const float *b = s->b + g->rows[i] * s->row_stride + n, *c = s->c + g->rows[i] * s->row_stride + n;
        vec delta = g->delta[v][i], drive = g->drive[v][i], grad_y = w->grad_y[v][i];
        vec by_b = w->by_b[v][i], by_rate = w->by_rate[v][i];
        for (int j = 0; j < group; j++) {
            vec grad_h = carry[j] + grad_y * c[j];
            w->sum_c[i][j] += grad_y * w->states[i + 1][j];
            w->sum_b[i][j] += grad_h * drive;
            by_b += grad_h * b[j];
            carry[j] = grad_h * w->decays[i][j];
            vec grad_exponent = carry[j] * w->states[i][j];
            by_rate += grad_exponent * a[j];
            grad_rate[j] += grad_exponent * delta;
        }
        w->by_b[v][i] = by_b, w->by_rate[v][i] = by_rate;
    }
    for (int j = 0; j < group; j++) w->carry[n + j][v] = carry[j], w->grad_rate[n + j][v] = grad_rate[j];
}

INLINE void backward_states(const Scan *s, const Segment *g, int64_t n, const int group, const float *start,
                            int64_t pitch, Scratch *w, float *grad_b, float *grad_c) {
    memset(w->sum_b, 0, sizeof w->sum_b);
    memset(w->sum_c, 0, sizeof w->sum_c);
    for (int64_t v = 0; v < g->vecs; v++) backward_group(s, g, n, group, v, start, pitch, w);
    for (int64_t i = 0; i < g->count; i++)
        for (int j = 0; j < group; j++) {
            grad_b[g->rows[i] * s->states + n + j] = sum_of(w->sum_b[i][j]);
            grad_c[g->rows[i] * s->states + n + j] = sum_of(w->sum_c[i][j]);
        }
}

typedef struct {
    float *x, *step, *rate, *b, *c, *skip; // rate: (B, N, pitch); b, c: (blocks, B, L, N); skip: (B, pitch)
} Gradients;

static void backward_task(const Scan *s, int64_t pair, int64_t block, const float *grad_y, const float *starts,
                          const Gradients *out, Scratch *w) {
    Segment g = {.first = block * s->block};
    g.width = s->width - g.first < s->block ? s->width - g.first : s->block;
    g.vecs = (g.width + LANES - 1) / LANES;
    const int64_t pitch = padded(s->width), bc = block * s->batch * s->length * s->states;
    vec skip[VECS], grad_skip[VECS];
    load_rates(s, &g, w->rate);
    memset(w->carry, 0, sizeof(vec) * VECS * s->states);
    memset(w->grad_rate, 0, sizeof(vec) * VECS * s->states);
    for (int64_t v = 0; v < g.vecs; v++) {
        skip[v] = s->skip ? load_part(s->skip + g.first + v * LANES, left(g.width, v)) : fill(0.f);
        grad_skip[v] = fill(0.f);
    }
    for (int64_t index = n_segments(s) - 1; index >= 0; index--) {
        begin_segment(s, &g, pair, index);
        for (int64_t i = 0; i < g.count; i++)
            for (int64_t v = 0; v < g.vecs; v++) {
                const float *row = grad_y + g.rows[i] * s->width + g.first + v * LANES;
                w->grad_y[v][i] = load_part(row, left(g.width, v));
                w->by_b[v][i] = w->by_rate[v][i] = fill(0.f);
            }
        const float *start = starts + (pair * n_segments(s) + index) * s->states * pitch + g.first;
        int64_t n = 0;
        for (; n + GROUP <= s->states; n += GROUP)
            backward_states(s, &g, n, GROUP, start, pitch, w, out->b + bc, out->c + bc);
        for (; n < s->states; n++) backward_states(s, &g, n, 1, start, pitch, w, out->b + bc, out->c + bc);
        for (int64_t i = 0; i < g.count; i++)
            for (int64_t v = 0; v < g.vecs; v++) {
                int64_t at = g.rows[i] * s->width + g.first + v * LANES, width = left(g.width, v);
                vec grad_y_v = w->grad_y[v][i], by_b = w->by_b[v][i];
                vec grad_delta = by_b * g.x[v][i] + w->by_rate[v][i] * LN_2;
                grad_skip[v] += grad_y_v * g.x[v][i];
                store_part(out->x + at, by_b * g.delta[v][i] + skip[v] * grad_y_v, width);
                store_part(out->step + at, grad_delta * g.slope[v][i], width);
            }
    }
    for (int64_t v = 0; v < g.vecs; v++) {
        for (int64_t n = 0; n < s->states; n++)
            store(out->rate + (pair * s->states + n) * pitch + g.first + v * LANES, w->grad_rate[n][v]);
        store(out->skip + pair * pitch + g.first + v * LANES, grad_skip[v]);
    }
}

// Null: skip, mask, initial; starts and final where nobody wants them. pitch: E rounded up to 16. block: the channels of
// a task, a multiple of 16; outputs do not depend on it.
typedef struct {
    const float *x, *step, *a, *b, *c, *skip;
    const uint8_t *mask;
    const float *initial;     // (B, N, pitch)
    float *y, *starts, *final; // starts: (B, segments, N, pitch), aligned to the vector; final: (B, N, pitch)
    int64_t batch, length, width, states, row_stride, block;
    int32_t softplus, reverse, threads;
} ScanForward;
ARGUMENTS(scan_forward, ScanForward)

// Returns 0, or 1 when there is no memory.
EXPORT int scan_forward(const ScanForward *given) {
    const int64_t batch = given->batch, width = given->width;
    const int threads = given->threads;
    float *rate = rates_of(given->a, width, given->states);
    if (!rate) return 1;
    const Scan s = {given->x,      given->step,       rate,         given->b,        given->c,
                    given->skip,   given->mask,       batch,        given->length,   width,
                    given->states, given->row_stride, given->block, given->softplus, given->reverse};
    const int64_t blocks = (width + s.block - 1) / s.block;
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t pair = 0; pair < batch; pair++)
        for (int64_t block = 0; block < blocks; block++)
            forward_task(&s, pair, block * s.block, given->initial, given->y, given->starts, given->final);
    free(rate);
    return 0;
}

// Gradients in the shapes of `Gradients`; b's and c's depend on `block`, their sums over channels being taken block by
// block.
typedef struct {
    const float *x, *step, *a, *b, *c, *skip;
    const uint8_t *mask;
    const float *grad_y, *starts;
    float *grad_x, *grad_step, *grad_rate, *grad_b, *grad_c, *grad_skip;
    int64_t batch, length, width, states, row_stride, block;
    int32_t softplus, reverse, threads;
} ScanBackward;
ARGUMENTS(scan_backward, ScanBackward)

// Returns 0, or 1 when there is no memory.
EXPORT int scan_backward(const ScanBackward *given) {
    const int64_t batch = given->batch, width = given->width;
    const int threads = given->threads;
    float *rate = rates_of(given->a, width, given->states);
    if (!rate) return 1;
    const Scan s = {given->x,      given->step,       rate,         given->b,        given->c,
                    given->skip,   given->mask,       batch,        given->length,   width,
                    given->states, given->row_stride, given->block, given->softplus, given->reverse};
    const Gradients out = {given->grad_x, given->grad_step, given->grad_rate,
                           given->grad_b, given->grad_c,    given->grad_skip};
    const int64_t blocks = (width + s.block - 1) / s.block;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (threads > 1) reduction(| : failed)
    {
        Scratch *scratch = take_aligned(sizeof(Scratch));
        failed = !scratch;
#pragma omp for collapse(2) schedule(static)
        for (int64_t pair = 0; pair < batch; pair++)
            for (int64_t block = 0; block < blocks; block++)
                if (scratch) backward_task(&s, pair, block, given->grad_y, given->starts, &out, scratch);
        give_aligned(scratch);
    }
    free(rate);
    return failed;
}
