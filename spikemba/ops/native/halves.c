// Rows of half precision times one vector: numbers are turned into floats in registers, and summed as floats.
#include "vector.h"

#if LANES == 8 && defined(__F16C__)
#include <immintrin.h>
#endif

#define ROWS_AT_ONCE 4 // sums that advance together, or the machine would wait for one addition after the other
#define ROWS_PER_TASK 256

typedef struct {
    const uint16_t *rows; // (count, width)
    const float *vector;  // (width)
    float *out;           // (count)
    int64_t count, width;
    int32_t threads;
} HalfProducts;
ARGUMENTS(half_products, HalfProducts)

// The bits of a half, as an integer, as those of a float 2^112 times smaller; exact but for infinity, which no row holds.
#define RAISED 0x1p112f

INLINE float half_to_float(uint16_t half) {
    const uint32_t bits = (uint32_t)(half & 0x7fff) << 13;
    float small;
    memcpy(&small, &bits, sizeof small);
    return half & 0x8000 ? -(small * RAISED) : small * RAISED;
}

INLINE vec load_halves(const uint16_t *p) {
#if LANES == 16
    return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif LANES == 8 && defined(__F16C__)
    return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#else
    ivec bits;
    for (int i = 0; i < LANES; i++) bits[i] = p[i];
    const vec magnitude = (vec)((bits & 0x7fff) << 13) * RAISED;
    return (vec)((ivec)magnitude | ((bits & 0x8000) << 16));
#endif
}

INLINE void multiply_rows(const HalfProducts *given, int64_t row, const int together) {
    const int64_t width = given->width, whole = width / LANES * LANES;
    const uint16_t *rows = given->rows + row * width;
    vec sums[ROWS_AT_ONCE];
    for (int i = 0; i < together; i++) sums[i] = fill(0.f);
    for (int64_t e = 0; e < whole; e += LANES) {
        const vec vector = load(given->vector + e);
        for (int i = 0; i < together; i++) sums[i] += load_halves(rows + i * width + e) * vector;
    }
    for (int i = 0; i < together; i++) {
        float total = sum_of(sums[i]);
        for (int64_t e = whole; e < width; e++) total += half_to_float(rows[i * width + e]) * given->vector[e];
        given->out[row + i] = total;
    }
}

EXPORT void half_products(const HalfProducts *given) {
    const int64_t count = given->count;
    const int threads = given->threads, several = threads > 1 && count > ROWS_PER_TASK;
#pragma omp parallel for schedule(static) num_threads(threads) if (several)
    for (int64_t first = 0; first < count; first += ROWS_PER_TASK) {
        const int64_t last = count - first < ROWS_PER_TASK ? count : first + ROWS_PER_TASK;
        int64_t row = first;
        for (; row + ROWS_AT_ONCE <= last; row += ROWS_AT_ONCE) multiply_rows(given, row, ROWS_AT_ONCE);
        for (; row < last; row++) multiply_rows(given, row, 1);
    }
}
