/* Sums of a certificate over box-constrained quadratic rows with bounds of their rounding. The formulas are independent
   of those in gap.h, so that they can reveal an error there. NaN propagates. */

#include "core.h"
#include "linalg.h"

#include <float.h>
#include <stdint.h>

typedef struct {
    int64_t rows, piece, pieces;                           /* rows per problem and per piece; pieces per problem */
    const double *q, *t, *low, *high, *z, *u;              /* (b, rows) */
    const double *near_breakpoint, *near_z;                /* (b, rows): rounding of z - t at a breakpoint, and of z */
    const unsigned char *differences;                      /* (rows): 1 if the row has coefficients (differences) */
    double *slack, *value, *rounding;                      /* (b, pieces) */
    double *excess, *beyond;                               /* (b, rows): f - min f, violation beyond rounding */
} summands;

typedef struct {
    double slack, value, rounding;
} sums;

/* A bound of the change of a row's slack due to an error `unsure` in v; `slope`: |∂slack/∂v|, curvature 1/q. */
static double rounding_of(double q, double low, double high, double v, double u, double slope, double unsure, int met) {
    const double first = slope * unsure, width = high - low;
    if (!(low < high)) return 0.0;
    if (q > 0.0) /* with the second-order term between the breakpoints */
        return v + unsure >= q * low && v - unsure <= q * high ? first + 0.5 * unsure * unsure / q : first;
    return fabs(v) <= unsure ? larger(first, (met || isinf(width) ? fabs(u) : width) * unsure) : first;
}

/* In rows with q = 0 that are differences of fitted values or constraints, z - t has cancellation errors: within them
   of a breakpoint the row counts as on it, at the cost |u v|. */
static void add_row(const summands *own, size_t i, int is_difference, sums *total) {
    const double q = own->q[i], t = own->t[i], low = own->low[i], high = own->high[i];
    double v = own->z[i] - t, u = own->u[i], extra = 0.0, p;
    const int flat = q == 0.0, one_sided = flat && (isinf(low) || isinf(high));
    const int cancels = one_sided || (flat && is_difference), met = cancels && fabs(v) <= own->near_breakpoint[i];
    const double outside = isinf(high) ? v : -v;
    own->beyond[i] = one_sided ? larger(larger(outside, 0.0) - own->near_breakpoint[i], 0.0) : 0.0;
    if (met) extra = fabs(u) * fabs(v), v = 0.0;
    p = !flat ? v / q : v == 0.0 ? (cancels ? u : 0.0) : copysign(INFINITY, v);
    p = smaller(larger(p, low), high);
    const int violated = one_sided && !isfinite(p); /* reported in `beyond` instead */
    if (violated) p = v = 0.0, u = isfinite(u) ? u : 0.0;
    const double value = (v - 0.5 * q * p) * p, slope = p - u;
    own->excess[i] = violated ? INFINITY : value;
    total->value += value;
    total->slack += larger(slope * (v - 0.5 * q * (p + u)), 0.0) + extra;
    total->rounding += rounding_of(q, low, high, v, u, fabs(slope),
                                   DBL_EPSILON * (fabs(t) + fabs(v) + q * fabs(u)) + own->near_z[i], met);
}

/* Pieces low ≤ item < high, numbered consecutively over all problems. */
CORE_API int core_row_sums(const summands *own, int64_t low, int64_t high, stop_flag stop) {
    for (int64_t item = low; item < high; item++) {
        if (*stop) return CORE_STOPPED;
        const int64_t problem = item / own->pieces, first = item % own->pieces * own->piece;
        const int64_t end = first + own->piece < own->rows ? first + own->piece : own->rows;
        sums total = {0};
        for (int64_t row = first; row < end; row++)
            add_row(own, (size_t)(problem * own->rows + row), own->differences[row], &total);
        own->slack[item] = total.slack, own->value[item] = total.value, own->rounding[item] = total.rounding;
    }
    return CORE_DONE;
}
