// What each system calls by another name: what a library shows to others, and memory that vectors may lie in.
#ifndef SPIKEMBA_SYSTEM_H
#define SPIKEMBA_SYSTEM_H

#include <stdlib.h>

// Sizes are int64_t everywhere: `long` has 32 bits on Windows.
#ifdef _WIN32
#include <malloc.h>
#define EXPORT __declspec(dllexport)
static inline void *take_aligned(size_t size) { return _aligned_malloc(size, 64); }
static inline void give_aligned(void *memory) { _aligned_free(memory); }
#else
#define EXPORT __attribute__((visibility("default")))
// macOS refuses sizes that are no multiple of the alignment.
static inline void *take_aligned(size_t size) { return aligned_alloc(64, (size + 63) / 64 * 64); }
static inline void give_aligned(void *memory) { free(memory); }
#endif

#endif
