// Vectors of floats as wide as the machine's registers, the few functions of them that the kernels need, and the walk
// through rows of them.
// GCC's and Clang's vector extensions lower to AVX-512, AVX2, SSE or NEON; no flag may reorder float sums (-ffast-math).
#ifndef SPIKEMBA_VECTOR_H
#define SPIKEMBA_VECTOR_H

#include <stdint.h>
#include <string.h>

#include "system.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline))

// What Python checks when it loads the library: how large each kernel's arguments are, and the limits it must keep to.
#define ARGUMENTS(kernel, type) EXPORT const int64_t size_of_##kernel = sizeof(type);
#define LIMIT(name) EXPORT const int64_t limit_##name = name;

#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef float unaligned_vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vec load(const float *p) { return *(const unaligned_vec *)p; }
INLINE void store(float *p, vec v) { *(unaligned_vec *)p = v; }
// Past the caches, for what is read again much later; p is aligned to the vector. `settle` ends a run of them.
INLINE void store_past(float *p, vec v) {
#if LANES == 16
    _mm512_stream_ps(p, (__m512)v);
#else
    store(p, v);
#endif
}
INLINE void settle(void) {
#if LANES == 16
    _mm_sfence();
#endif
}
INLINE vec fill(float value) { return value - (vec){0}; }
INLINE vec choose(ivec condition, vec yes, vec no) { return (vec)((condition & (ivec)yes) | (~condition & (ivec)no)); }

// The first `width` floats of a row, the other lanes zero; and back.
INLINE vec load_part(const float *p, int64_t width) {
    if (width >= LANES) return load(p);
    float part[LANES] = {0};
    memcpy(part, p, sizeof(float) * width);
    return load(part);
}
INLINE void store_part(float *p, vec v, int64_t width) {
    if (width >= LANES) store(p, v);
    else memcpy(p, &v, sizeof(float) * width);
}
INLINE void add_part(float *p, vec v, int64_t width) { store_part(p, load_part(p, width) + v, width); }

// Calls task(..., e, channels) for each vector of a row from channel `first` up to `last`; the number of its channels is a
// constant but for a ragged last one.
#define FOR_CHANNELS(first, last, task, ...) \
    for (int64_t e = (first); e < (last); e += LANES) { \
        if ((last) - e >= LANES) task(__VA_ARGS__, e, LANES); \
        else task(__VA_ARGS__, e, (last) - e); \
    }

// Rows are read from end to end where they can be: a task is then a part of one pair's positions.
typedef struct {
    int64_t pair, first, last;
} Part;
INLINE Part part_of(int64_t task, int64_t parts, int64_t positions) {
    const int64_t part = task % parts;
    return (Part){task / parts, part * positions / parts, (part + 1) * positions / parts};
}

INLINE float sum_of(vec v) {
#if LANES == 16
    return _mm512_reduce_add_ps((__m512)v);
#else
    float total = 0;
    for (int i = 0; i < LANES; i++) total += v[i];
    return total;
#endif
}

// x[j] = 2^x[j] for `count` vectors, relative error below 1.5e-7, 0 below 2^-126 (or a subnormal); x is finite.
// A polynomial on [-1/2, 1/2]. The vectors advance together, or the machine would wait for one result after the other.
INLINE void exp2_group(vec *x, const int count) {
    vec r[8], p[8];
#if LANES == 16
    for (int j = 0; j < count; j++) r[j] = (vec)_mm512_reduce_ps((__m512)x[j], 0); // x - round(x)
    for (int j = 0; j < count; j++) x[j] = x[j] - r[j];
#else
    for (int j = 0; j < count; j++) x[j] = choose(x[j] < -126.f, fill(-126.f), choose(x[j] > 126.f, fill(126.f), x[j]));
    for (int j = 0; j < count; j++) r[j] = x[j];
    for (int j = 0; j < count; j++) x[j] = x[j] + 12582912.f; // 1.5 * 2^23: the sum's last bits are round(x)
    for (int j = 0; j < count; j++) r[j] = r[j] - (x[j] - 12582912.f);
#endif
    for (int j = 0; j < count; j++) p[j] = 1.535336188319500e-4f * r[j] + 1.339887440266574e-3f;
    for (int j = 0; j < count; j++) p[j] = p[j] * r[j] + 9.618437357674640e-3f;
    for (int j = 0; j < count; j++) p[j] = p[j] * r[j] + 5.550332471162809e-2f;
    for (int j = 0; j < count; j++) p[j] = p[j] * r[j] + 2.402264791363012e-1f;
    for (int j = 0; j < count; j++) p[j] = p[j] * r[j] + 6.931472028550421e-1f;
    for (int j = 0; j < count; j++) p[j] = p[j] * r[j] + 1.f;
#if LANES == 16
    for (int j = 0; j < count; j++) x[j] = (vec)_mm512_scalef_ps((__m512)p[j], (__m512)x[j]);
#else
    for (int j = 0; j < count; j++) x[j] = (vec)((ivec)p[j] + ((ivec)x[j] << 23));
#endif
}

INLINE vec exp2_of(vec x) {
    exp2_group(&x, 1);
    return x;
}
INLINE vec exp_of(vec x) { return exp2_of(x * LOG2_E); }
INLINE vec abs_of(vec x) { return (vec)((ivec)x & 0x7fffffff); }

// 1 / (1 + e^-x), and x times it.
INLINE vec sigmoid_of(vec x) {
    vec e = exp_of(-abs_of(x));
    return choose(x >= 0.f, fill(1.f), e) / (1.f + e);
}
INLINE vec silu_of(vec x) { return x * sigmoid_of(x); }
// The derivative of silu, given sigmoid(x).
INLINE vec silu_slope(vec x, vec s) { return s * (1.f + x * (1.f - s)); }

// log(1 + e^x) = max(x, 0) + log1p(e), e = e^-|x|; log1p(e) = 2 atanh(e / (2 + e)) keeps small results exact.
INLINE vec softplus_of(vec x, vec *slope) {
    vec e = exp_of(-abs_of(x)), s = e / (2.f + e), q = s * s;
    vec p = fill(1.f / 15);
    p = p * q + 1.f / 13;
    p = p * q + 1.f / 11;
    p = p * q + 1.f / 9;
    p = p * q + 1.f / 7;
    p = p * q + 1.f / 5;
    p = p * q + 1.f / 3;
    p = p * q + 1.f;
    *slope = choose(x >= 0.f, fill(1.f), e) / (1.f + e);
    return choose(x > 0.f, x, fill(0.f)) + 2.f * s * p;
}

#endif
