/* Queries of the library loader, and a test for finite entries that is faster than NumPy's. */

#include "core.h"
#include "linalg.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* The number of doubles per SIMD vector of this library. */
CORE_API int core_lanes(void) { return LANES; }

/* Whether processor and operating system support a library built for AVX2 and FMA. */
CORE_API int core_has_avx2(void) {
#if defined(__x86_64__)
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx2 = 1u << 5, saved = 2u | 4u;
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (fma | osxsave)) != (fma | osxsave)) return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0)); /* registers that the operating system saves */
    return (low & saved) == saved && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & avx2) != 0;
#else
    return 0;
#endif
}

/* Whether no entry is infinite or NaN. */
CORE_API int core_all_finite(const double *x, size_t size) {
    vec one = splat(0.0), two = one, three = one, four = one; /* 0, or NaN after an entry that is not finite */
    size_t i = 0;
    for (; i + 4 * LANES <= size; i += 4 * LANES) {
        one += load(x + i) * 0.0, two += load(x + i + LANES) * 0.0;
        three += load(x + i + 2 * LANES) * 0.0, four += load(x + i + 3 * LANES) * 0.0;
    }
    double rest = sum_of(one + two + three + four);
    for (; i < size; i++) rest += x[i] * 0.0;
    return rest == 0.0;
}
