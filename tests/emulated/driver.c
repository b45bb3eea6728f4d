// Runs kernels for another process: it reads calls from stdin and writes what they left in memory to stdout.
//
// A call: the name's length and the name, the structure's size and its bytes, the number of arrays, and of each its
// place in the structure, its size, bytes that its address is a multiple of, and its bytes. All numbers are int64_t.
// The answer: what the kernel returned, then the bytes of each array. It ends with its input.
//
// The kernels are a part of the program; on Windows it loads them from the library that it is told, as Python does.
#include <stdio.h>

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#include <stdint.h>
#include <string.h>
#include <windows.h>

#include "system.h"
#define ADDRESS(name) 0
#else
#include "kernels.c"
#define ADDRESS(name) (const void *)&name
#endif

typedef struct {
    const char *name;
    int fallible;
    const void *address;
} Entry;

#define F(kernel) {#kernel, 1, ADDRESS(kernel)},
#define S(kernel) {#kernel, 0, ADDRESS(kernel)},
static Entry entries[] = {CALLED};
#undef F
#undef S

#define C(constant) {#constant, 0, ADDRESS(constant)},
static Entry constants[] = {CONSTANTS};
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
    void *found = take_aligned(size ? size : 1);
    if (aligned > 64 || !found) exit(4);
    return found;
}

static int64_t run(const char *name, const void *structure) {
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if (strcmp(entries[i].name, name)) continue;
        if (entries[i].fallible) return ((int (*)(const void *))entries[i].address)(structure);
        ((void (*)(const void *))entries[i].address)(structure);
        return 0;
    }
    exit(5);
}

#ifdef _WIN32
static void find(HMODULE library, Entry *entry, size_t count) {
    for (; count--; entry++)
        if (!(entry->address = (const void *)GetProcAddress(library, entry->name))) exit(8);
}

static void prepare(const char *path) {
    _setmode(_fileno(stdin), _O_BINARY); // or the byte 26 would end the input, and 10 become two
    _setmode(_fileno(stdout), _O_BINARY);
    HMODULE library = LoadLibraryA(path);
    if (!library) exit(9);
    find(library, entries, sizeof entries / sizeof *entries);
    find(library, constants, sizeof constants / sizeof *constants);
}
#else
static void prepare(const char *path) { (void)path; }
#endif

int main(int given, char **arguments) {
    prepare(given > 1 ? arguments[1] : "");
    const int64_t count = sizeof constants / sizeof *constants;
    give(&count, sizeof count);
    for (int64_t i = 0; i < count; i++) give(constants[i].address, sizeof(int64_t));
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
            give_aligned(addresses[i]);
        }
        give_aligned(structure);
        fflush(stdout);
    }
}
