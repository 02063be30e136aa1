/* The parts of a duality gap, all nonnegative:

   Σ_i [f_i(z_i) + f_i*(u_i) - z_i u_i] + Σ_j residual_j²/(2 p_j),    f_i*(u) = ½ q u² + t u on low ≤ u ≤ high */

#ifndef HW4OPT_GAP_H
#define HW4OPT_GAP_H

#include "linalg.h"

/* f'(z) of a row with v = z - t; infinite outside the domain. */
static inline double row_slope(double v, double q, double low, double high) {
    const double free = q > 0.0 ? v / q : v > 0.0 ? INFINITY : v < 0.0 ? -INFINITY : 0.0;
    return smaller(larger(free, low), high);
}

/* f(z) + f*(u) - z u of a row with slope f'(z) and v = z - t; a violated constraint costs `price` per unit of v. */
static inline double row_slack(double v, double q, double u, double slope, double price) {
    if (isinf(slope)) slope = u + copysign(price, v);
    return larger((slope - u) * (v - 0.5 * q * (slope + u)), 0.0);
}

/* The gap due to a residual of P w + Aᵀu = 0: ½ residual²/p, and |residual| max(|w|, w_scale) for free columns. */
static inline double stationarity_cost(const double *p, const double *w_scale, size_t r, const double *w,
                                       const double *residual) {
    double cost = 0.0;
    for (size_t j = 0; j < r; j++)
        cost += p[j] > 0.0 ? 0.5 * residual[j] * residual[j] / p[j] : fabs(residual[j]) * larger(fabs(w[j]), w_scale[j]);
    return cost;
}

#endif
