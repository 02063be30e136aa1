/* One block of memory cut into arrays. Under AddressSanitizer a gap that nobody may touch follows each of them, so that
   an index beyond an array is seen although the block goes on. */

#ifndef HW4OPT_ARENA_H
#define HW4OPT_ARENA_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_GAPS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_GAPS
#endif

#ifdef ARENA_GAPS
#include <sanitizer/asan_interface.h>
enum { GAP = 8 };
#define FORBID(gap) ASAN_POISON_MEMORY_REGION(gap, GAP * sizeof(double))
#else
enum { GAP = 0 };
#define FORBID(gap) ((void)(gap))
#endif

/* The next `size` doubles of a block, which must hold GAP more for every array. */
static inline double *take(double **next, size_t size) {
    double *array = *next;
    FORBID(array + size);
    *next = array + size + GAP;
    return array;
}

#endif
