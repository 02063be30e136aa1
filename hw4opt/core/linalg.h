/* Dense linear algebra for small matrices on vectors of LANES doubles, which the compiler maps to SIMD instructions.

   Matrices are stored by rows with leading dimension ld, a multiple of PAD, padded with zeros. Only the upper triangle
   of symmetric matrices is read; entries below it are undefined. */

#ifndef HW4OPT_LINALG_H
#define HW4OPT_LINALG_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#ifndef LANES
#define LANES 2
#endif
#define PAD 4 /* a common multiple of all values of LANES */

typedef double vec __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
typedef long long mask __attribute__((vector_size(8 * LANES), aligned(8), may_alias));

#if defined(__clang__)
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (mask){__VA_ARGS__})
#endif

/* max and min; x if either is NaN. One instruction, whereas fmax and fmin are function calls. */
static inline double larger(double x, double y) { return y > x ? y : x; }
static inline double smaller(double x, double y) { return y < x ? y : x; }

static inline size_t padded(size_t size) { return (size + PAD - 1) / PAD * PAD; }

static inline vec load(const double *x) { return *(const vec *)x; }
static inline void store(double *x, vec v) { *(vec *)x = v; }
static inline vec splat(double x) { return x - (vec){0.0}; }
static inline vec choose(mask where, vec x, vec y) { return (vec)((where & (mask)x) | (~where & (mask)y)); }
static inline vec larger_of(vec x, vec y) { return choose((mask)(y > x), y, x); }
static inline vec absolute(vec x) { return larger_of(x, -x); }

static inline double sum_of(vec v) {
    double total = 0.0;
    for (int lane = 0; lane < LANES; lane++) total += v[lane];
    return total;
}

/* The sums of the entries of four vectors. */
static inline void put_sums(double *out, vec a, vec b, vec c, vec d) {
#if LANES == 4
    const vec ab = SHUFFLE(a, b, 0, 4, 2, 6) + SHUFFLE(a, b, 1, 5, 3, 7);
    const vec cd = SHUFFLE(c, d, 0, 4, 2, 6) + SHUFFLE(c, d, 1, 5, 3, 7);
    store(out, SHUFFLE(ab, cd, 0, 1, 4, 5) + SHUFFLE(ab, cd, 2, 3, 6, 7));
#else
    out[0] = sum_of(a), out[1] = sum_of(b), out[2] = sum_of(c), out[3] = sum_of(d);
#endif
}

static inline double largest_of(vec v) {
    double found = v[0];
    for (int lane = 1; lane < LANES; lane++) found = larger(found, v[lane]);
    return found;
}

/* xᵀy for `size` entries, a multiple of PAD. */
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

/* x *= a for `size` entries, a multiple of PAD. */
static inline void scale(double a, double *x, size_t size) {
    for (size_t i = 0; i < size; i += LANES) store(x + i, splat(a) * load(x + i));
}

/* y += a x for `size` entries, a multiple of PAD. */
static inline void axpy(double a, const double *x, double *y, size_t size) {
    const vec wide = splat(a);
    for (size_t i = 0; i < size; i += LANES) store(y + i, load(y + i) + wide * load(x + i));
}

/* y += Σ_k a_k x_k for k < count, x_k at rows + k ld with `size` entries. */
static inline void add_rows(const double *a, const double *rows, size_t count, size_t ld, double *y, size_t size) {
    size_t k = 0;
    for (; k + 4 <= count; k += 4) {
        const double *one = rows + k * ld, *two = one + ld, *three = two + ld, *four = three + ld;
        const vec a1 = splat(a[k]), a2 = splat(a[k + 1]), a3 = splat(a[k + 2]), a4 = splat(a[k + 3]);
        for (size_t i = 0; i < size; i += LANES)
            store(y + i, load(y + i) + (a1 * load(one + i) + a2 * load(two + i)) +
                             (a3 * load(three + i) + a4 * load(four + i)));
    }
    for (; k < count; k++) axpy(a[k], rows + k * ld, y, size);
}

/* y_k = x_kᵀb for k < count, x_k at rows + k ld with `size` entries. */
static inline void dots(const double *rows, size_t count, size_t ld, const double *b, double *y, size_t size) {
    size_t k = 0;
    for (; k + 4 <= count; k += 4) {
        const double *one = rows + k * ld, *two = one + ld, *three = two + ld, *four = three + ld;
        vec s1 = splat(0.0), s2 = s1, s3 = s1, s4 = s1;
        for (size_t i = 0; i < size; i += LANES) {
            const vec x = load(b + i);
            s1 += x * load(one + i), s2 += x * load(two + i), s3 += x * load(three + i), s4 += x * load(four + i);
        }
        put_sums(y + k, s1, s2, s3, s4);
    }
    for (; k < count; k++) y[k] = dot(rows + k * ld, b, size);
}

/* z = A w and g += Aᵀu for a matrix stored by columns: r columns of `rows` entries, a multiple of PAD. */
static inline void forward(const double *a, size_t rows, size_t r, const double *w, double *z) {
    memset(z, 0, rows * sizeof *z);
    add_rows(w, a, r, rows, z, rows);
}

static inline void adjoint(const double *a, size_t rows, size_t r, const double *u, double *g) {
    double sums[PAD];
    for (size_t j = 0; j < r; j += PAD) {
        const size_t count = r - j < PAD ? r - j : PAD;
        dots(a + j * rows, count, rows, u, sums, rows);
        for (size_t k = 0; k < count; k++) g[j + k] += sums[k];
    }
}

/* out = h x for a symmetric matrix; x and out (ld), x_j = 0 for j ≥ r. */
void symmetric_product(const double *h, size_t r, size_t ld, const double *x, double *out);

/* h += Aᵀ diag(weight) A; scratch (rows · PAD). */
void gram(const double *a, size_t rows, size_t ld, const double *weight, double *h, double *scratch);

/* Cholesky factorisation h = UᵀU in place, U upper. A pivot at or below its floor is replaced by infinity: its
   direction is dropped. floor (r); returns the number of dropped pivots. h has ld rows, which are 0 beyond r. */
size_t cholesky(double *h, size_t r, size_t ld, const double *floor);

/* x ← U⁻ᵀ x and x ← U⁻¹ x; x (ld), undefined beyond r. */
void solve_lower(const double *u, size_t r, size_t ld, double *x);
void solve_upper(const double *u, size_t r, size_t ld, double *x);

#endif
