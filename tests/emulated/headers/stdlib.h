// What the kernels use of the header, where a compiler for Windows has none.
#include <stddef.h>
void *malloc(size_t size);
void free(void *memory);
