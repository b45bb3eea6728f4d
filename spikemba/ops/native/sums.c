// Sums over rows in one order, whatever the number of threads: sixteen rows at a time, and then those sums.
#include "vector.h"

#define ROWS_TOGETHER 16
#define SERIAL 32768 // numbers that one thread has summed before others would have started

typedef struct {
    const float *rows; // (outer, rows, width)
    float *out;        // (outer, width)
    int64_t outer, count, width;
    int32_t threads;
} SumOverRows;
ARGUMENTS(sum_over_rows, SumOverRows)

INLINE void sum_column(const float *rows, float *out, int64_t count, int64_t width, int64_t e, const int64_t channels) {
    vec total = fill(0.f);
    for (int64_t first = 0; first < count; first += ROWS_TOGETHER) {
        const int64_t last = count - first < ROWS_TOGETHER ? count : first + ROWS_TOGETHER;
        vec some = fill(0.f);
        for (int64_t row = first; row < last; row++) some += load_part(rows + row * width + e, channels);
        total += some;
    }
    store_part(out + e, total, channels);
}

EXPORT void sum_over_rows(const SumOverRows *given) {
    const int64_t count = given->count, width = given->width, columns = (width + LANES - 1) / LANES;
    const int threads = given->threads, several = threads > 1 && given->outer * count * width > SERIAL;
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads) if (several)
    for (int64_t outer = 0; outer < given->outer; outer++)
        for (int64_t column = 0; column < columns; column++) {
            const float *rows = given->rows + outer * count * width;
            const int64_t e = column * LANES;
            if (width - e >= LANES) sum_column(rows, given->out + outer * width, count, width, e, LANES);
            else sum_column(rows, given->out + outer * width, count, width, e, width - e);
        }
}
