/* One zeroed block of memory divided into arrays. Under AddressSanitizer a poisoned gap follows each array, so that an
   index out of bounds is detected within the block. */

#ifndef HW4OPT_ARENA_H
#define HW4OPT_ARENA_H

#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_GAPS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_GAPS
#endif

enum { ALIGNED = 64 };
#ifdef ARENA_GAPS
#include <sanitizer/asan_interface.h>
enum { GAP = ALIGNED };
#define FORBID(gap, size) ASAN_POISON_MEMORY_REGION(gap, size)
#else
enum { GAP = 0 };
#define FORBID(gap, size) ((void)(gap))
#endif

/* A block, NULL while its size is computed, and the number of bytes in use. */
typedef struct {
    char *at;
    size_t used;
} arena;

static inline void *take(arena *from, size_t count, size_t size) {
    const size_t bytes = count * size, whole = (bytes + ALIGNED - 1) / ALIGNED * ALIGNED + GAP;
    char *found = from->at ? from->at + from->used : NULL;
    if (found) FORBID(found + bytes, whole - bytes);
    from->used += whole;
    return found;
}

#define TAKE(from, count, type) ((type *)take(from, count, sizeof(type)))
#define TAKE_EACH(from, list, count) \
    for (size_t place = 0; place < sizeof(list) / sizeof *(list); place++) *(list)[place] = TAKE(from, count, double)

/* Returns a block of `size` zero bytes, which the callee owns; NULL if there is no memory. */
typedef void *(*take_block)(size_t size);

/* Allocates a block that `lay_out` divides into the arrays of an owner: called once to compute the size, and once to
   set the pointers. The caller frees it unless it comes from `give` (may be NULL). NULL: there is no memory. */
static inline void *arena_open(void (*lay_out)(void *owner, arena *from), void *owner, take_block give) {
    arena from = {0};
    lay_out(owner, &from);
    from.at = give ? give(from.used + 1) : calloc(from.used + 1, 1), from.used = 0;
    if (from.at) lay_out(owner, &from);
    return from.at;
}

#endif
