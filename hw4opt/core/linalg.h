/* Small dense algebra on vectors of LANES doubles; the compiler maps them to what the machine has.

   A matrix of rows is kept by columns, so that lanes run over rows: column j of `rows` rows starts at j * rows, and
   `rows` is a multiple of PAD, padded with zeros. Symmetric matrices are kept by rows with leading dimension ld, a
   multiple of PAD; only their upper triangle is read. */

#ifndef HW4OPT_LINALG_H
#define HW4OPT_LINALG_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#ifndef LANES
#define LANES 2
#endif
#define PAD 4 /* the same for every LANES: a multiple of each */

typedef double vec __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

static inline size_t padded(size_t size) { return (size + PAD - 1) / PAD * PAD; }

static inline vec load(const double *x) { return *(const vec *)x; }
static inline void store(double *x, vec v) { *(vec *)x = v; }
static inline vec splat(double x) { return x - (vec){0.0}; }

static inline double sum_of(vec v) {
    double total = 0.0;
    for (int lane = 0; lane < LANES; lane++) total += v[lane];
    return total;
}

/* xᵀy over `size` entries, a multiple of PAD. */
static inline double dot(const double *x, const double *y, size_t size) {
    vec first = splat(0.0), second = splat(0.0);
    size_t i = 0;
    for (; i + 2 * LANES <= size; i += 2 * LANES) {
        first += load(x + i) * load(y + i);
        second += load(x + i + LANES) * load(y + i + LANES);
    }
    for (; i < size; i += LANES) first += load(x + i) * load(y + i);
    return sum_of(first + second);
}

/* y += a x over `size` entries, a multiple of PAD. */
static inline void axpy(double a, const double *x, double *y, size_t size) {
    const vec wide = splat(a);
    for (size_t i = 0; i < size; i += LANES) store(y + i, load(y + i) + wide * load(x + i));
}

/* z = A w over a block of `rows` rows of r columns. */
static inline void forward(const double *a, size_t rows, size_t r, const double *w, double *z) {
    size_t j = 0;
    memset(z, 0, rows * sizeof *z);
    for (; j + 4 <= r; j += 4) {
        const double *one = a + j * rows, *two = one + rows, *three = two + rows, *four = three + rows;
        const vec w1 = splat(w[j]), w2 = splat(w[j + 1]), w3 = splat(w[j + 2]), w4 = splat(w[j + 3]);
        for (size_t i = 0; i < rows; i += LANES)
            store(z + i, load(z + i) + (w1 * load(one + i) + w2 * load(two + i)) +
                             (w3 * load(three + i) + w4 * load(four + i)));
    }
    for (; j < r; j++) axpy(w[j], a + j * rows, z, rows);
}

/* g += Aᵀu over a block. */
static inline void adjoint(const double *a, size_t rows, size_t r, const double *u, double *g) {
    size_t j = 0;
    for (; j + 4 <= r; j += 4) {
        const double *one = a + j * rows, *two = one + rows, *three = two + rows, *four = three + rows;
        vec s1 = splat(0.0), s2 = s1, s3 = s1, s4 = s1;
        for (size_t i = 0; i < rows; i += LANES) {
            const vec v = load(u + i);
            s1 += v * load(one + i), s2 += v * load(two + i), s3 += v * load(three + i), s4 += v * load(four + i);
        }
        g[j] += sum_of(s1), g[j + 1] += sum_of(s2), g[j + 2] += sum_of(s3), g[j + 3] += sum_of(s4);
    }
    for (; j < r; j++) g[j] += dot(a + j * rows, u, rows);
}

/* A tile of `gram`: columns j … j + 3 (weighted ones, in `left`) with k … k + 2. */
static inline void gram_tile(const double *left, const double *right, size_t rows, double *h, size_t ld) {
    vec s[4][3] = {{splat(0.0)}};
    for (size_t i = 0; i < rows; i += LANES) {
        const vec r0 = load(right + i), r1 = load(right + rows + i), r2 = load(right + 2 * rows + i);
        for (int p = 0; p < 4; p++) {
            const vec l = load(left + (size_t)p * rows + i);
            s[p][0] += l * r0, s[p][1] += l * r1, s[p][2] += l * r2;
        }
    }
    for (int p = 0; p < 4; p++)
        for (int q = 0; q < 3; q++) h[(size_t)p * ld + (size_t)q] += sum_of(s[p][q]);
}

/* h += Aᵀ diag(weight) A over a block, upper triangle; `scratch` holds 4 columns. */
static inline void gram(const double *a, size_t rows, size_t r, const double *weight, double *h, size_t ld,
                        double *scratch) {
    for (size_t j = 0; j < r; j += 4) {
        const size_t wide = r - j < 4 ? r - j : 4;
        for (size_t p = 0; p < wide; p++)
            for (size_t i = 0; i < rows; i += LANES)
                store(scratch + p * rows + i, load(weight + i) * load(a + (j + p) * rows + i));
        size_t k = j;
        if (wide == 4)
            for (; k + 3 <= r; k += 3) gram_tile(scratch, a + k * rows, rows, h + j * ld + k, ld);
        for (; k < r; k++)
            for (size_t p = 0; p < wide; p++) h[(j + p) * ld + k] += dot(scratch + p * rows, a + k * rows, rows);
    }
}

/* h = UᵀU in place, U upper. A pivot at or below its floor is taken for infinite: that direction is left out.
   floor (r); gives how many pivots were. Columns beyond r up to ld must be 0. */
static inline size_t cholesky(double *h, size_t r, size_t ld, const double *floor) {
    enum { PANEL = 8 };
    size_t left_out = 0;
    for (size_t k = 0; k < r; k += PANEL) {
        const size_t end = k + PANEL < r ? k + PANEL : r;
        for (size_t i = k; i < end; i++) { /* the panel's own rows */
            double *row = h + i * ld;
            const size_t from = i / PAD * PAD;
            for (size_t p = k; p < i; p++) axpy(-h[p * ld + i], h + p * ld + from, row + from, ld - from);
            if (row[i] > floor[i]) {
                const double root = sqrt(row[i]), inverse = 1.0 / root;
                for (size_t j = i + 1; j < r; j++) row[j] *= inverse;
                row[i] = root;
            } else {
                for (size_t j = i + 1; j < r; j++) row[j] = 0.0;
                row[i] = 1e150;
                left_out++;
            }
        }
        if (end - k < PANEL) break;
        size_t i = end;
        for (; i + 2 <= r; i += 2) { /* two rows of the rest at once */
            double *one = h + i * ld, *two = one + ld;
            vec f[PANEL], g[PANEL];
            for (size_t p = 0; p < PANEL; p++) f[p] = splat(h[(k + p) * ld + i]), g[p] = splat(h[(k + p) * ld + i + 1]);
            for (size_t j = i / PAD * PAD; j < ld; j += LANES) {
                vec x = load(one + j), y = load(two + j);
                for (size_t p = 0; p < PANEL; p++) {
                    const vec u = load(h + (k + p) * ld + j);
                    x -= f[p] * u, y -= g[p] * u;
                }
                store(one + j, x), store(two + j, y);
            }
        }
        for (; i < r; i++)
            for (size_t p = k; p < end; p++)
                axpy(-h[p * ld + i], h + p * ld + i / PAD * PAD, h + i * ld + i / PAD * PAD, ld - i / PAD * PAD);
    }
    return left_out;
}

/* x = U⁻ᵀ x. */
static inline void solve_lower(const double *u, size_t r, size_t ld, double *x) {
    for (size_t k = 0; k < r; k++) {
        const double value = x[k] / u[k * ld + k];
        const size_t from = (k + PAD) / PAD * PAD;
        for (size_t j = k + 1; j < from && j < r; j++) x[j] -= value * u[k * ld + j];
        if (from < ld) axpy(-value, u + k * ld + from, x + from, ld - from);
        x[k] = value;
    }
}

/* x = U⁻¹ x. */
static inline void solve_upper(const double *u, size_t r, size_t ld, double *x) {
    for (size_t k = r; k-- > 0;) {
        const size_t from = (k + PAD) / PAD * PAD;
        double rest = x[k];
        for (size_t j = k + 1; j < from && j < r; j++) rest -= u[k * ld + j] * x[j];
        if (from < ld) rest -= dot(u + k * ld + from, x + from, ld - from);
        x[k] = rest / u[k * ld + k];
    }
}

#endif
