// Runs kernels for another process: it reads calls from stdin and writes what they left in memory to stdout.
//
// A call: the name's length and the name, the structure's size and its bytes, the number of arrays, and of each its
// place in the structure, its size, bytes that its address is a multiple of, and its bytes. All numbers are int64_t.
// The answer: what the kernel returned, then the bytes of each array. It ends with its input.
#include "kernels.c"

#include <stdio.h>

typedef struct {
    const char *name;
    int (*fallible)(const void *);
    void (*safe)(const void *);
} Entry;

#define F(kernel) {#kernel, (int (*)(const void *))kernel, 0},
#define S(kernel) {#kernel, 0, (void (*)(const void *))kernel},
static const Entry entries[] = {CALLED};
#undef F
#undef S

#define C(name) {#name, &name},
static const struct { const char *name; const int64_t *value; } constants[] = {CONSTANTS};
#undef C

static void take(void *into, size_t size) {
    if (size && fread(into, 1, size, stdin) != size) exit(feof(stdin) ? 0 : 2);
}

static int64_t number(void) {
    int64_t found;
    take(&found, sizeof found);
    return found;
}

static void give(const void *from, size_t size) {
    if (size && fwrite(from, 1, size, stdout) != size) exit(3);
}

static void *room(size_t aligned, size_t size) {
    void *found;
    if (posix_memalign(&found, aligned < 16 ? 16 : aligned, size ? size : 1)) exit(4);
    return found;
}

static int64_t run(const char *name, const void *structure) {
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (strcmp(entries[i].name, name)) continue;
        if (entries[i].fallible) return entries[i].fallible(structure);
        entries[i].safe(structure);
        return 0;
    }
    exit(5);
}

int main(void) {
    const int64_t count = sizeof constants / sizeof *constants;
    give(&count, sizeof count);
    for (int64_t i = 0; i < count; i++) give(constants[i].value, sizeof(int64_t));
    fflush(stdout);
    for (;;) {
        char name[64] = {0};
        const int64_t letters = number();
        if (letters >= (int64_t)sizeof name) exit(6);
        take(name, letters);
        const int64_t size = number();
        char *structure = room(16, size);
        take(structure, size);
        const int64_t arrays = number();
        void *addresses[64];
        int64_t sizes[64];
        if (arrays > 64) exit(7);
        for (int64_t i = 0; i < arrays; i++) {
            const int64_t place = number();
            sizes[i] = number();
            addresses[i] = room(number(), sizes[i]);
            take(addresses[i], sizes[i]);
            memcpy(structure + place, &addresses[i], sizeof(void *));
        }
        const int64_t returned = run(name, structure);
        give(&returned, sizeof returned);
        for (int64_t i = 0; i < arrays; i++) {
            give(addresses[i], sizes[i]);
            free(addresses[i]);
        }
        free(structure);
        fflush(stdout);
    }
}
