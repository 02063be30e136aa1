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

/* The first where the two are not ordered: one instruction, where fmax and fmin are calls. */
static inline double larger(double x, double y) { return y > x ? y : x; }
static inline double smaller(double x, double y) { return y < x ? y : x; }

#if defined(__clang__)
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
typedef long long vec_index __attribute__((vector_size(8 * LANES)));
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (vec_index){__VA_ARGS__})
#endif

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

/* g += Aᵀu and h += Aᵀv over a block, which is read once. */
static inline void two_adjoints(const double *a, size_t rows, size_t r, const double *u, const double *v, double *g,
                                double *h) {
    size_t j = 0;
    for (; j + 2 <= r; j += 2) {
        const double *one = a + j * rows, *two = one + rows;
        vec s1 = splat(0.0), s2 = s1, s3 = s1, s4 = s1;
        for (size_t i = 0; i < rows; i += LANES) {
            const vec p = load(u + i), q = load(v + i), x = load(one + i), y = load(two + i);
            s1 += p * x, s2 += p * y, s3 += q * x, s4 += q * y;
        }
        g[j] += sum_of(s1), g[j + 1] += sum_of(s2), h[j] += sum_of(s3), h[j + 1] += sum_of(s4);
    }
    for (; j < r; j++) g[j] += dot(a + j * rows, u, rows), h[j] += dot(a + j * rows, v, rows);
}

/* out = h x of a symmetric matrix, of which the upper triangle is kept; x and out (ld), x 0 beyond r. */
static inline void symmetric_product(const double *h, size_t r, size_t ld, const double *x, double *out) {
    memset(out, 0, ld * sizeof *out);
    for (size_t i = 0; i < r; i++) {
        const double *row = h + i * ld;
        const size_t from = (i + PAD) / PAD * PAD;
        double total = row[i] * x[i];
        for (size_t j = i + 1; j < from && j < r; j++) total += row[j] * x[j], out[j] += row[j] * x[i];
        if (from < ld) {
            total += dot(row + from, x + from, ld - from);
            axpy(x[i], row + from, out + from, ld - from);
        }
        out[i] += total;
    }
}

/* out += the sums of four vectors. */
static inline void add_sums(double *out, vec a, vec b, vec c, vec d) {
#if LANES == 4
    const vec ab = SHUFFLE(a, b, 0, 4, 2, 6) + SHUFFLE(a, b, 1, 5, 3, 7);
    const vec cd = SHUFFLE(c, d, 0, 4, 2, 6) + SHUFFLE(c, d, 1, 5, 3, 7);
    store(out, load(out) + (SHUFFLE(ab, cd, 0, 1, 4, 5) + SHUFFLE(ab, cd, 2, 3, 6, 7)));
#else
    out[0] += sum_of(a), out[1] += sum_of(b), out[2] += sum_of(c), out[3] += sum_of(d);
#endif
}

/* PAD rows of ld entries as columns: entry j of them goes to out + j * stride. */
static inline void put_columns(const double *four, size_t ld, double *out, size_t stride) {
#if LANES == 4
    for (size_t j = 0; j < ld; j += PAD) {
        const vec a = load(four + j), b = load(four + ld + j), c = load(four + 2 * ld + j), d = load(four + 3 * ld + j);
        const vec ab = SHUFFLE(a, b, 0, 4, 2, 6), cd = SHUFFLE(c, d, 0, 4, 2, 6);
        const vec ba = SHUFFLE(a, b, 1, 5, 3, 7), dc = SHUFFLE(c, d, 1, 5, 3, 7);
        store(out + j * stride, SHUFFLE(ab, cd, 0, 1, 4, 5)), store(out + (j + 1) * stride, SHUFFLE(ba, dc, 0, 1, 4, 5));
        store(out + (j + 2) * stride, SHUFFLE(ab, cd, 2, 3, 6, 7)), store(out + (j + 3) * stride, SHUFFLE(ba, dc, 2, 3, 6, 7));
    }
#else
    for (size_t j = 0; j < ld; j++)
        for (size_t lane = 0; lane < PAD; lane++) out[j * stride + lane] = four[lane * ld + j];
#endif
}

enum { TILE = 3 }; /* weighted columns of a tile of `gram`; the other side has PAD */

/* h[p, k … k + 3] += left_pᵀ a_k … for a tile. */
static inline void gram_tile(const double *left, const double *right, size_t rows, double *h, size_t ld, size_t wide) {
    const double *two = right + rows, *three = two + rows, *four = three + rows;
    vec a1 = splat(0.0), a2 = a1, a3 = a1, a4 = a1, b1 = a1, b2 = a1, b3 = a1, b4 = a1, c1 = a1, c2 = a1, c3 = a1, c4 = a1;
    for (size_t i = 0; i < rows; i += LANES) {
        const vec a = load(left + i), b = load(left + rows + i), c = load(left + 2 * rows + i);
        vec x = load(right + i);
        a1 += a * x, b1 += b * x, c1 += c * x;
        x = load(two + i);
        a2 += a * x, b2 += b * x, c2 += c * x;
        x = load(three + i);
        a3 += a * x, b3 += b * x, c3 += c * x;
        x = load(four + i);
        a4 += a * x, b4 += b * x, c4 += c * x;
    }
    add_sums(h, a1, a2, a3, a4);
    if (wide > 1) add_sums(h + ld, b1, b2, b3, b4);
    if (wide > 2) add_sums(h + 2 * ld, c1, c2, c3, c4);
}

/* h += Aᵀ diag(weight) A over a block of ld columns, those beyond r 0; `scratch` holds TILE columns. Only the upper
   triangle is meant; what is added below it is rubbish. */
static inline void gram(const double *a, size_t rows, size_t r, size_t ld, const double *weight, double *h,
                        double *scratch) {
    for (size_t j = 0; j < r; j += TILE) {
        const size_t wide = r - j < TILE ? r - j : TILE;
        if (wide < TILE) memset(scratch + wide * rows, 0, (TILE - wide) * rows * sizeof *scratch);
        for (size_t p = 0; p < wide; p++)
            for (size_t i = 0; i < rows; i += LANES)
                store(scratch + p * rows + i, load(weight + i) * load(a + (j + p) * rows + i));
        for (size_t k = j / PAD * PAD; k < ld; k += PAD) gram_tile(scratch, a + k * rows, rows, h + j * ld + k, ld, wide);
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
