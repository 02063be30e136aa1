#include "linalg.h"

static inline size_t at_most_pad(size_t count) { return count < PAD ? count : PAD; }

/* h[p, ·] += sign Σ_i left[i, p] right[i, ·] for p < PAD and `width` vectors; left has stride `step`. */
__attribute__((always_inline)) static inline void add_tile(size_t width, const double *left, size_t step,
                                                           const double *right, size_t count, size_t ld, double sign,
                                                           double *h) {
    vec a1 = splat(0.0), a2 = a1, a3 = a1, b1 = a1, b2 = a1, b3 = a1;
    vec c1 = a1, c2 = a1, c3 = a1, d1 = a1, d2 = a1, d3 = a1;
    for (size_t i = 0; i < count; i++, left += step, right += ld) {
        const vec x = load(right), y = width > 1 ? load(right + LANES) : x, z = width > 2 ? load(right + 2 * LANES) : x;
        vec p = splat(left[0]);
        a1 += p * x, a2 += p * y, a3 += p * z;
        p = splat(left[1]);
        b1 += p * x, b2 += p * y, b3 += p * z;
        p = splat(left[2]);
        c1 += p * x, c2 += p * y, c3 += p * z;
        p = splat(left[3]);
        d1 += p * x, d2 += p * y, d3 += p * z;
    }
    const vec sums[PAD][3] = {{a1, a2, a3}, {b1, b2, b3}, {c1, c2, c3}, {d1, d2, d3}};
    for (size_t p = 0; p < PAD; p++)
        for (size_t k = 0; k < width; k++) {
            double *to = h + p * ld + k * LANES;
            store(to, load(to) + splat(sign) * sums[p][k]);
        }
}

/* add_tile for `size` columns. */
static inline void add_tiles(const double *left, size_t step, const double *right, size_t count, size_t ld, double sign,
                             double *h, size_t size) {
    for (size_t j = 0, width; j < size; j += width * LANES) {
        const size_t rest = (size - j) / LANES;
        width = rest == 3 || rest > 4 ? 3 : rest > 1 ? 2 : 1;
        if (width == 3) add_tile(3, left, step, right + j, count, ld, sign, h + j);
        else if (width == 2) add_tile(2, left, step, right + j, count, ld, sign, h + j);
        else add_tile(1, left, step, right + j, count, ld, sign, h + j);
    }
}

void gram(const double *a, size_t rows, size_t ld, const double *weight, double *h, double *scratch) {
    for (size_t k = 0; k < ld; k += PAD) {
        for (size_t i = 0; i < rows; i++)
            for (size_t p = 0; p < PAD; p += LANES)
                store(scratch + i * PAD + p, splat(weight[i]) * load(a + i * ld + k + p));
        add_tiles(scratch, PAD, a + k, rows, ld, 1.0, h + k * ld + k, ld - k);
    }
}

size_t cholesky(double *h, size_t r, size_t ld, const double *floor) {
    size_t left_out = 0;
    for (size_t k = 0; k < r; k += PAD) {
        double *one = h + k * ld, *two = one + ld, *three = two + ld, *four = three + ld;
        double u[PAD][PAD] = {0}, inverse[PAD] = {0};
        add_tiles(h + k, ld, h + k, k, ld, -1.0, one + k, ld - k);
        for (size_t i = 0; i < at_most_pad(r - k); i++) { /* the diagonal block */
            double *row = one + i * ld + k;
            for (size_t j = i; j < PAD; j++) u[i][j] = row[j];
            for (size_t p = 0; p < i; p++)
                for (size_t j = i; j < PAD; j++) u[i][j] -= u[p][i] * u[p][j];
            const int there = u[i][i] > floor[k + i];
            const double root = there ? sqrt(u[i][i]) : 1e150;
            inverse[i] = there ? 1.0 / root : 0.0, left_out += !there;
            for (size_t j = i; j < PAD; j++) row[j] = u[i][j] *= inverse[i];
            row[i] = root;
        }
        for (size_t j = k + PAD; j < ld; j += LANES) { /* the blocks to its right */
            const vec a = splat(inverse[0]) * load(one + j);
            const vec b = splat(inverse[1]) * (load(two + j) - splat(u[0][1]) * a);
            const vec c = splat(inverse[2]) * (load(three + j) - splat(u[0][2]) * a - splat(u[1][2]) * b);
            const vec d = load(four + j) - splat(u[0][3]) * a - splat(u[1][3]) * b - splat(u[2][3]) * c;
            store(one + j, a), store(two + j, b), store(three + j, c), store(four + j, splat(inverse[3]) * d);
        }
    }
    return left_out;
}

void symmetric_product(const double *h, size_t r, size_t ld, const double *x, double *out) {
    memset(out, 0, ld * sizeof *out);
    for (size_t k = 0; k < r; k += PAD) {
        const size_t count = at_most_pad(r - k), next = k + PAD;
        const double *rows = h + k * ld;
        double sums[PAD];
        dots(rows + next, count, ld, x + next, sums, ld - next);
        add_rows(x + k, rows + next, count, ld, out + next, ld - next);
        for (size_t i = 0; i < count; i++) {
            out[k + i] += sums[i] + rows[i * ld + k + i] * x[k + i];
            for (size_t j = i + 1; j < count; j++) {
                const double entry = rows[i * ld + k + j];
                out[k + i] += entry * x[k + j], out[k + j] += entry * x[k + i];
            }
        }
    }
}

void solve_lower(const double *u, size_t r, size_t ld, double *x) {
    for (size_t k = 0; k < r; k += PAD) {
        const size_t count = at_most_pad(r - k), next = k + PAD;
        double inverse[PAD], value[PAD];
        for (size_t i = 0; i < count; i++) inverse[i] = 1.0 / u[(k + i) * ld + k + i];
        for (size_t i = 0; i < count; i++) {
            x[k + i] *= inverse[i], value[i] = -x[k + i];
            for (size_t j = i + 1; j < count; j++) x[k + j] += value[i] * u[(k + i) * ld + k + j];
        }
        add_rows(value, u + k * ld + next, count, ld, x + next, ld - next);
    }
}

void solve_upper(const double *u, size_t r, size_t ld, double *x) {
    memset(x + r, 0, (ld - r) * sizeof *x);
    for (size_t k = (r - 1) / PAD * PAD;; k -= PAD) {
        const size_t count = at_most_pad(r - k), next = k + PAD;
        double inverse[PAD], sums[PAD];
        for (size_t i = 0; i < count; i++) inverse[i] = 1.0 / u[(k + i) * ld + k + i];
        dots(u + k * ld + next, count, ld, x + next, sums, ld - next);
        for (size_t i = count; i-- > 0;) {
            for (size_t j = i + 1; j < count; j++) sums[i] += u[(k + i) * ld + k + j] * x[k + j];
            x[k + i] = (x[k + i] - sums[i]) * inverse[i];
        }
        if (!k) return;
    }
}
