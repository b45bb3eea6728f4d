// What the kernels use of the header, where a compiler for Windows has none.
#include <stddef.h>
void *memset(void *memory, int byte, size_t size);
void *memcpy(void *to, const void *from, size_t size);
