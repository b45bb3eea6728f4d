// What the kernels use of the header, where a compiler for Windows has none.
#include <stddef.h>
void *_aligned_malloc(size_t size, size_t alignment);
void _aligned_free(void *memory);
