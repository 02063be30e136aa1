/* Sums of a certificate over box-constrained quadratic rows, each with what rounding may do to it: formulas of its own,
   which may contradict those of gap.h. Numbers that are none stay so. */

#include "core.h"
#include "linalg.h"

#include <float.h>
#include <stdint.h>

typedef struct {
    int64_t rows, piece, pieces;                           /* of a problem; rows of a piece, how many pieces */
    const double *q, *t, *low, *high, *z, *u;              /* (b, rows) */
    const double *near_breakpoint, *near_z;                /* (b, rows): what rounding may do to z - t there, and to z */
    const unsigned char *differences;                      /* (rows): 1 where a row has coefficients of its own */
    double *slack, *value, *rounding;                      /* (b, pieces) */
    double *excess, *beyond;                               /* (b, rows): f - min f, violation beyond rounding */
} summands;

typedef struct {
    double slack, value, rounding;
} sums;

/* What an error `unsure` in v does to the slack of a row, whose slope in v is as steep as `slope` and whose curvature is
   1/q. */
static double rounding_of(double q, double low, double high, double v, double u, double slope, double unsure, int met) {
    const double first = slope * unsure, width = high - low;
    if (!(low < high)) return 0.0;
    if (q > 0.0) /* the second order where f is curved */
        return v + unsure >= q * low && v - unsure <= q * high ? first + 0.5 * unsure * unsure / q : first;
    return fabs(v) <= unsure ? larger(first, (met || isinf(width) ? fabs(u) : width) * unsure) : first;
}

/* Of rows without curvature, differences of fitted values and constraints cancel: rounding beyond a breakpoint counts
   as on it, at its price. */
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
    const int violated = one_sided && !isfinite(p); /* which is counted apart */
    if (violated) p = v = 0.0, u = isfinite(u) ? u : 0.0;
    const double value = (v - 0.5 * q * p) * p, slope = p - u;
    own->excess[i] = violated ? INFINITY : value;
    total->value += value;
    total->slack += larger(slope * (v - 0.5 * q * (p + u)), 0.0) + extra;
    total->rounding += rounding_of(q, low, high, v, u, fabs(slope),
                                   DBL_EPSILON * (fabs(t) + fabs(v) + q * fabs(u)) + own->near_z[i], met);
}

/* Pieces low … high, counted from problem to problem. */
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
