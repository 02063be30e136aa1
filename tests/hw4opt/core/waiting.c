/* Items that take a while, for the tests of how a function is spread over threads. */

#include <stddef.h>
#include <time.h>

#include "core.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* out[i] += 1 for every item, each after so many seconds of work; item `bad` answers `code` instead. */
CORE_API int core_wait(int *out, size_t low, size_t high, double seconds, size_t bad, int code, stop_flag stop) {
    for (size_t i = low; i < high; i++) {
        const double end = now() + seconds;
        while (now() < end)
            if (*stop) return CORE_STOPPED;
        if (i == bad) return code;
        out[i] += 1;
    }
    return CORE_DONE;
}
