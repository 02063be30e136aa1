/* Fits without the rows of a fold, along the path of the optimum from the fit of all rows.

   minimise over w   ½ Σ p_j w_j² + Σ f_i(a_iᵀw),   f_i*(u) = ½ q u² + t u on low ≤ u ≤ high

   A row is LOW or HIGH (u at an end), CURVED (q > 0, u = (z - t)/q) or EQUAL (q = 0, z = t, u a multiplier). At given
   states w solves a linear system. The base is that of all rows: H = P + Σ aaᵀ/q over CURVED rows, H⁻¹ = VVᵀ, and
   QR = VᵀA_Eᵀ over the EQUAL ones. Its answer to a force y_j on row j (u_j is y_j smaller than its state says), or to
   a row of E moved by y_j, are w and the positions x of all rows (z, of E u): x = x₀ + yT, T symmetric.

   A path leads from the base (σ = 1) to a fold (σ = 0): what leaves goes on pulling with σ of its dual, what appears is
   held back by σ of its own, and a row on the wrong side of its state has its end or breakpoint moved there by σ of
   the distance. Between changes of state everything is linear in σ; the rows that differ from the base are a small
   system, solved anew after every change. The gap of every fold is summed from its own rows. */

#include "folds.h"

#include <stdbool.h>
#include <stdlib.h>

#include "linalg.h"

enum { ABSENT, LOW, HIGH, CURVED, EQUAL };
enum {
    MOST_CHANGED = 512,  /* rows of one path that differ from the base, */
    MOST_UNKNOWN = 96,   /* … and those among them whose force is not known beforehand */
    MOST_EVENTS = 2000,  /* changes of state along a path, */
    MOST_ZERO_STEPS = 60, /* … and those without progress */
    REPAIRS = 4,        /* paths from a wrong base to a right one */
    NEWTON_ROUNDS = 12, /* in which all CURVED rows change their states at once */
    REFINEMENTS = 3,
};
static const double EXACT = 1e-13;                         /* relative gap from which a fold is not refined */
static const double Z_SLACK = 1e-12, Z_TOUCH = 3e-15;      /* of |z| + |t|, of the largest fitted value */
static const double U_SLACK = 1e-12;                       /* of the largest |u| */
static const double NEAR = 1e-10;                          /* of the largest z: a row that appears on its breakpoint */
static const double SLOW = 0.01;                           /* of the slack: a row that moves by less does not */
static const double BEYOND = 100.0;                         /* slacks: a row that has left its state unnoticed */
static const double VIOLATION_PRICE = 10.0;                /* of a violated constraint, in units of the largest |u| */
static const double BREAKPOINT_WIDTH = 1e-13, ROUNDING = 16 * 2.220446049250313e-16;
static const double SHARES[] = {1e-7, 1e-5, 1e-9, 1e-4};   /* of a row's square, left beside E: it depends on E */

/* A row that differs from the base along a path: t + σ t_shift and so on; pull: σ · pull is added to its dual. */
typedef struct {
    size_t row;
    unsigned char base, now;
    bool own; /* it has shifts of its own, or leaves or appears: it stays in the list whatever its state */
    int unknown;
    double z0, u0; /* at the base */
    double t_shift, low_shift, high_shift, pull;
    double y[2];           /* y[0] + σ y[1] */
    const double *x, *w;   /* its response, NULL: not needed so far */
} Changed;

/* A row on its way out of its state: margin[0] + σ margin[1] reaches 0. */
typedef struct {
    size_t row;
    unsigned char to;
    double margin[2], slack;
} Candidate;

typedef struct {
    const FoldTask *task;
    size_t r, ld, rows, m, all, capacity;
    double *columns, *by_row; /* A of all data by columns (m × r); all rows, by rows (all × ld) */
    /* the setting */
    const double *q, *t, *low, *high;
    double *penalty, *w_scale;
    double u_scale, gap_scale;
    double *z_slack, *u_slack; /* (all) */
    double reach;
    /* the base */
    unsigned char *state;
    double *w, *x, *x_low, *x_high; /* limits with slack */
    double *multiplier, *root, *floor, *v, *qt, *tri; /* v: V; qt: Q by its columns; tri: R */
    size_t held_count;
    size_t *held, *owner_of_vector;
    int *place;
    double stiff;
    Changed *wrong;
    size_t wrong_count;
    /* responses of rows, as far as they are known */
    int *slot;
    size_t *owner;
    size_t slots;
    double *response_x, *response_w;
    /* the path */
    Changed *changed;
    size_t changed_count, unknown_count;
    int *index;
    double sigma;
    double *xa, *matrix, *right, *scale;
    size_t *pivot, *unknowns;
    Candidate *candidates;
    /* scratch */
    double *b, *c, *d, *f, *delta, *z, *u, *residual, *wide, *fold_w, *extra_z, *extra_u, *extra_multiplier;
    double *vectors, *coefs; /* purify */
    unsigned char *start_state;
} Engine;

/* ------------------------------------------------------------------ memory */

typedef struct {
    char *at;
    size_t used;
} Arena;

static void *take(Arena *arena, size_t count, size_t size) {
    void *found = arena->at ? arena->at + arena->used : NULL;
    arena->used += (count * size + 63) / 64 * 64;
    return found;
}
#define TAKE(count, type) ((type *)take(arena, (count), sizeof(type)))

static void lay_out(Engine *e, Arena *arena) {
    const size_t m = e->m, ld = e->ld, all = e->all, k = padded(MOST_UNKNOWN);
    e->columns = TAKE(m * e->r, double), e->by_row = TAKE(all * ld, double);
    e->penalty = TAKE(ld, double), e->w_scale = TAKE(ld, double);
    e->z_slack = TAKE(all, double), e->u_slack = TAKE(all, double);
    e->state = TAKE(m, unsigned char), e->start_state = TAKE(m, unsigned char);
    e->w = TAKE(ld, double), e->x = TAKE(m, double), e->x_low = TAKE(m, double), e->x_high = TAKE(m, double);
    e->multiplier = TAKE(m, double), e->root = TAKE(ld, double), e->floor = TAKE(ld, double);
    e->v = TAKE(e->r * ld, double), e->qt = TAKE(e->r * ld, double), e->tri = TAKE(e->r * ld, double);
    e->held = TAKE(all, size_t), e->owner_of_vector = TAKE(ld, size_t), e->place = TAKE(all, int);
    e->wrong = TAKE(MOST_CHANGED, Changed), e->changed = TAKE(MOST_CHANGED, Changed);
    e->slot = TAKE(all, int), e->owner = TAKE(e->capacity, size_t), e->index = TAKE(all, int);
    e->response_x = TAKE(e->capacity * m, double), e->response_w = TAKE(e->capacity * ld, double);
    e->xa = TAKE(m, double), e->matrix = TAKE(k * k, double), e->right = TAKE(3 * k, double);
    e->scale = TAKE(k, double), e->pivot = TAKE(k, size_t), e->unknowns = TAKE(k, size_t);
    e->candidates = TAKE(m + 2 * MOST_CHANGED, Candidate);
    e->b = TAKE(ld, double), e->c = TAKE(ld, double), e->d = TAKE(ld, double), e->f = TAKE(ld, double);
    e->delta = TAKE(ld, double), e->residual = TAKE(ld, double), e->fold_w = TAKE(ld, double);
    e->z = TAKE(m, double), e->u = TAKE(m, double), e->wide = TAKE(m, double);
    e->extra_z = TAKE(MOST_CHANGED, double), e->extra_u = TAKE(MOST_CHANGED, double);
    e->extra_multiplier = TAKE(MOST_CHANGED, double);
    e->vectors = TAKE(m * ld, double), e->coefs = TAKE(ld * m, double);
}

/* ------------------------------------------------------------------ small algebra */

static inline const double *row_of(const Engine *e, size_t row) { return e->by_row + row * e->ld; }

/* y += Σ a_k x_k over `size` entries, k < count, row k of `rows` at k·ld. */
static void add_rows(const double *a, const double *rows, size_t count, size_t ld, double *y, size_t size) {
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

/* y_k = x_kᵀ b, k < count. */
static void dots(const double *rows, size_t count, size_t ld, const double *b, double *y, size_t size) {
    size_t k = 0;
    for (; k + 4 <= count; k += 4) {
        const double *one = rows + k * ld, *two = one + ld, *three = two + ld, *four = three + ld;
        vec s1 = splat(0.0), s2 = s1, s3 = s1, s4 = s1;
        for (size_t i = 0; i < size; i += LANES) {
            const vec x = load(b + i);
            s1 += x * load(one + i), s2 += x * load(two + i), s3 += x * load(three + i), s4 += x * load(four + i);
        }
        y[k] = sum_of(s1), y[k + 1] = sum_of(s2), y[k + 2] = sum_of(s3), y[k + 3] = sum_of(s4);
    }
    for (; k < count; k++) y[k] = dot(rows + k * ld, b, size);
}

/* b = Vᵀa and p = V b; V upper, by rows, 0 below its diagonal. */
static void times_v_transposed(const Engine *e, const double *a, double *b) {
    memset(b, 0, e->ld * sizeof *b);
    for (size_t k = 0; k < e->r; k += 4) {
        const size_t count = e->r - k < 4 ? e->r - k : 4;
        add_rows(a + k, e->v + k * e->ld + k, count, e->ld, b + k, e->ld - k);
    }
}

static void times_v(const Engine *e, const double *b, double *p) {
    memset(p + e->r, 0, (e->ld - e->r) * sizeof *p);
    for (size_t k = 0; k < e->r; k += 4) {
        const size_t count = e->r - k < 4 ? e->r - k : 4;
        dots(e->v + k * e->ld + k, count, e->ld, b + k, p + k, e->ld - k);
    }
}

/* b -= Q Qᵀb, twice; c = Qᵀb. */
static void project(const Engine *e, double *b, double *c) {
    double *again = e->d;
    memset(c, 0, e->ld * sizeof *c);
    for (int pass = 0; pass < 2; pass++) {
        dots(e->qt, e->held_count, e->ld, b, again, e->ld);
        for (size_t i = 0; i < e->held_count; i++) c[i] += again[i], again[i] = -again[i];
        add_rows(again, e->qt, e->held_count, e->ld, b, e->ld);
    }
}

/* H += Σ weight_i a_i a_iᵀ over the listed rows, four at a time, upper triangle. */
static void gram_of_rows(const Engine *e, const size_t *list, const double *weight, size_t count, double *h) {
    for (size_t i = 0; i < count; i += 4) {
        const double *a[4];
        double w[4];
        for (size_t k = 0; k < 4; k++) {
            const size_t place = i + k < count ? i + k : i;
            a[k] = row_of(e, list[place]), w[k] = i + k < count ? weight[place] : 0.0;
        }
        for (size_t j = 0; j < e->r; j++) {
            const vec f0 = splat(w[0] * a[0][j]), f1 = splat(w[1] * a[1][j]);
            const vec f2 = splat(w[2] * a[2][j]), f3 = splat(w[3] * a[3][j]);
            double *to = h + j * e->ld;
            for (size_t k = j / PAD * PAD; k < e->ld; k += LANES)
                store(to + k, load(to + k) + (f0 * load(a[0] + k) + f1 * load(a[1] + k)) +
                                  (f2 * load(a[2] + k) + f3 * load(a[3] + k)));
        }
    }
}

/* V = U⁻¹ in place, row by row from below. */
static void invert_upper(const Engine *e, double *u) {
    double *row = e->f, *factor = e->d;
    for (size_t i = e->r; i-- > 0;) {
        const size_t first = i / PAD * PAD;
        memset(row, 0, e->ld * sizeof *row);
        const double inverse = 1.0 / u[i * e->ld + i];
        for (size_t k = i + 1; k < e->r; k++) factor[k - i - 1] = -inverse * u[i * e->ld + k];
        add_rows(factor, u + (i + 1) * e->ld + first, e->r - i - 1, e->ld, row + first, e->ld - first);
        row[i] = inverse;
        memset(u + i * e->ld, 0, i * sizeof *u);
        memcpy(u + i * e->ld + i, row + i, (e->ld - i) * sizeof *u);
    }
}

/* ------------------------------------------------------------------ the base */

static bool is_open(const Engine *e, size_t row) { return e->low[row] < e->high[row]; }

/* Where an end of u puts z. */
static double breakpoint(const Engine *e, size_t row, double end) {
    return isinf(end) ? end : e->t[row] + e->q[row] * end;
}

static double end_of(const Engine *e, size_t row, unsigned char state) {
    return state == LOW ? e->low[row] : state == HIGH ? e->high[row] : 0.0;
}

/* Between what the position of a row in this state has to lie. */
static void limits_of(const Engine *e, size_t row, unsigned char state, double *low, double *high) {
    *low = -INFINITY, *high = INFINITY;
    if (!is_open(e, row) || state == ABSENT) return;
    if (state == EQUAL)
        *low = e->low[row], *high = e->high[row];
    else if (state == CURVED)
        *low = breakpoint(e, row, e->low[row]), *high = breakpoint(e, row, e->high[row]);
    else if (state == LOW)
        *high = breakpoint(e, row, e->low[row]);
    else
        *low = breakpoint(e, row, e->high[row]);
}

static void clear_responses(Engine *e) {
    for (size_t i = 0; i < e->slots; i++) e->slot[e->owner[i]] = -1;
    e->slots = 0;
}

/* E without dependent rows: u of a dependent one moves until a row reaches its end, which then leaves E: the crossover
   of linear programming (Bixby and Saltzman 1994). */
typedef struct {
    const size_t *list; /* the candidates */
    size_t count, rank;
    size_t *chosen;                /* places in the list of those that stay */
    double *left, *room, *inverse; /* what is left of a unit row beside those chosen, -1: chosen; … */
} Crossover;

static void unit_vectors(Engine *e, Crossover *x) {
    double most = 1e-300;
    for (size_t i = 0; i < x->count; i++) {
        const size_t row = x->list[i];
        double *g = e->vectors + i * e->ld;
        times_v_transposed(e, row_of(e, row), g);
        const double size = sqrt(dot(g, g, e->ld));
        x->left[i] = size > 0.0, x->inverse[i] = size > 0.0 ? 1.0 / size : 0.0;
        for (size_t j = 0; j < e->ld; j++) g[j] *= x->inverse[i];
        x->room[i] = fmax(fmin(e->high[row] - e->multiplier[row], e->multiplier[row] - e->low[row]), 0.0);
        if (isfinite(x->room[i])) most = fmax(most, x->room[i]);
    }
    for (size_t i = 0; i < x->count; i++) x->room[i] = 1e-3 + (isfinite(x->room[i]) ? x->room[i] / most : 1.0);
}

/* Choose rows by what is left of them and how far inside their interval u is; coefs (rank × m) get the parts. */
static void choose_rows(Engine *e, Crossover *x, double share) {
    while (x->rank < e->r) {
        size_t best = x->count;
        double top = 0.0;
        for (size_t i = 0; i < x->count; i++)
            if (x->left[i] > share && x->left[i] * x->room[i] > top) top = x->left[i] * x->room[i], best = i;
        if (best == x->count) return;
        double *own = e->vectors + best * e->ld, *parts = e->coefs + x->rank * e->m;
        for (size_t k = 0; k < x->rank; k++) {
            const double *other = e->vectors + x->chosen[k] * e->ld;
            axpy(-dot(other, own, e->ld), other, own, e->ld);
        }
        const double size = sqrt(dot(own, own, e->ld));
        for (size_t j = 0; j < e->ld; j++) own[j] /= size;
        parts[best] = size, x->left[best] = -1.0, x->chosen[x->rank++] = best;
        for (size_t i = 0; i < x->count; i++) {
            if (x->left[i] < 0.0) continue;
            double *g = e->vectors + i * e->ld;
            parts[i] = dot(own, g, e->ld);
            axpy(-parts[i], own, g, e->ld);
            x->left[i] = fmax(x->left[i] - parts[i] * parts[i], 0.0);
        }
    }
}

/* coefs column i: a_i = Σ c_k a_k over the chosen rows. */
static void combinations(Engine *e, const Crossover *x, size_t i) {
    double *c = e->coefs + i;
    const size_t m = e->m;
    for (size_t k = x->rank; k-- > 0;) {
        double value = c[k * m];
        for (size_t j = k + 1; j < x->rank; j++) value -= e->coefs[k * m + x->chosen[j]] * c[j * m];
        c[k * m] = value / e->coefs[k * m + x->chosen[k]];
    }
}

/* Move u of a dependent row, and those it depends on against it, until one reaches an end. */
static void cross_over(Engine *e, Crossover *x, size_t i) {
    const size_t m = e->m, own = x->list[i];
    double *c = e->coefs + i, size = 1.0, length = INFINITY, step = 0.0;
    size_t hit = x->rank;
    for (size_t k = 0; k < x->rank; k++) size = fmax(size, fabs(c[k * m]));
    for (int way = 1; way >= -1; way -= 2) {
        for (size_t k = 0; k <= x->rank; k++) {
            const double rate = way * (k == x->rank ? 1.0 : -c[k * m]);
            if (fabs(rate) < 1e-9 * size) continue;
            const size_t row = k == x->rank ? own : x->list[x->chosen[k]];
            const double u = e->multiplier[row], room = rate > 0 ? e->high[row] - u : u - e->low[row];
            if (fmax(room, 0.0) / fabs(rate) < length) length = fmax(room, 0.0) / fabs(rate), step = way * length, hit = k;
        }
    }
    if (isinf(length)) { /* an equality that others imply */
        e->state[own] = ABSENT;
        return;
    }
    e->multiplier[own] += step;
    for (size_t k = 0; k < x->rank; k++) e->multiplier[x->list[x->chosen[k]]] -= step * c[k * m];
    const size_t row = hit == x->rank ? own : x->list[x->chosen[hit]];
    e->state[row] = e->high[row] - e->multiplier[row] < e->multiplier[row] - e->low[row] ? HIGH : LOW;
    if (hit == x->rank) return;
    for (size_t o = i + 1; o < x->count; o++) { /* i takes its place in the combinations of the rest */
        if (x->left[o] < 0.0) continue;
        double *other = e->coefs + o;
        const double f = other[hit * m] / c[hit * m];
        for (size_t k = 0; k < x->rank; k++) other[k * m] = k == hit ? f : other[k * m] - f * c[k * m];
    }
    x->chosen[hit] = i;
}

static void purify(Engine *e, double share) {
    Crossover x = {.list = e->held, .chosen = e->owner_of_vector, .left = e->wide, .room = e->z, .inverse = e->u};
    for (size_t i = 0; i < e->rows; i++)
        if (e->state[i] == EQUAL) e->held[x.count++] = i;
    unit_vectors(e, &x);
    choose_rows(e, &x, share);
    for (size_t i = 0; i < x.count; i++) {
        if (x.left[i] < 0.0) continue;
        combinations(e, &x, i);
        const double scale = x.inverse[i] > 0.0 ? 1.0 / x.inverse[i] : 0.0;
        for (size_t k = 0; k < x.rank; k++) e->coefs[k * e->m + i] *= x.inverse[x.chosen[k]] * scale;
    }
    for (size_t i = 0; i < x.count; i++)
        if (x.left[i] >= 0.0) cross_over(e, &x, i);
}

/* V of H = P + Σ aaᵀ/q; where a column has no penalty, with curvature lent to the rows of E, which do not move. */
static void factor_curved(Engine *e) {
    size_t *list = e->held, count = 0, held = 0;
    double *weight = e->wide, squares = 0.0, trace = 0.0;
    bool free_column = false;
    for (size_t i = 0; i < e->rows; i++)
        if (e->state[i] == CURVED) list[count] = i, weight[count++] = 1.0 / e->q[i];
    memset(e->v, 0, e->r * e->ld * sizeof *e->v);
    gram_of_rows(e, list, weight, count, e->v);
    for (size_t j = 0; j < e->r; j++) {
        e->v[j * e->ld + j] += e->penalty[j], trace += e->v[j * e->ld + j];
        free_column |= !(e->penalty[j] > 0.0);
    }
    e->stiff = 0.0;
    if (free_column) {
        for (size_t i = 0; i < e->rows; i++)
            if (e->state[i] == EQUAL) list[held++] = i, squares += dot(row_of(e, i), row_of(e, i), e->ld);
        if (held && squares > 0.0) e->stiff = (trace > 0.0 ? trace : 1.0) / squares;
        for (size_t i = 0; i < held; i++) weight[i] = e->stiff;
        gram_of_rows(e, list, weight, held, e->v);
    }
    for (size_t j = 0; j < e->r; j++) e->floor[j] = 1e-15 * (double)e->r * e->v[j * e->ld + j];
    cholesky(e->v, e->r, e->ld, e->floor);
    invert_upper(e, e->v);
}

/* QR = VᵀA_Eᵀ by Gram and Schmidt's method, every row twice; false if a row depends on those before. */
static bool factor_held(Engine *e, double share) {
    e->held_count = 0;
    for (size_t i = 0; i < e->all; i++) e->place[i] = -1;
    for (size_t i = 0; i < e->rows; i++) {
        if (e->state[i] != EQUAL) continue;
        if (e->held_count == e->r) return false;
        const size_t k = e->held_count;
        double *own = e->qt + k * e->ld;
        times_v_transposed(e, row_of(e, i), own);
        const double whole = dot(own, own, e->ld);
        project(e, own, e->c);
        const double rest = dot(own, own, e->ld);
        if (!(rest > share * whole)) return false;
        const double size = sqrt(rest);
        for (size_t j = 0; j < e->ld; j++) own[j] /= size;
        for (size_t j = 0; j < k; j++) e->tri[j * e->ld + k] = e->c[j];
        e->tri[k * e->ld + k] = size;
        for (size_t j = 0; j < k; j++) e->tri[k * e->ld + j] = 0.0;
        for (size_t j = k + 1; j < e->ld; j++) e->tri[k * e->ld + j] = 0.0;
        e->held[k] = i, e->place[i] = (int)k;
        e->held_count++;
    }
    return true;
}

/* The answer of w and of the multipliers of E to a force (r), with row k of E moved by shift[k]; shift is used up. */
static void solve_base(const Engine *e, const double *force, double *shift, double *w, double *multiplier) {
    double *b = e->b, *c = multiplier;
    times_v_transposed(e, force, b);
    if (e->held_count) {
        project(e, b, c);
        if (shift) {
            solve_lower(e->tri, e->held_count, e->ld, shift);
            add_rows(shift, e->qt, e->held_count, e->ld, b, e->ld);
            for (size_t k = 0; k < e->held_count; k++) c[k] -= shift[k];
        }
        solve_upper(e->tri, e->held_count, e->ld, c);
    }
    times_v(e, b, w);
}

/* g = P w + Aᵀu over the rows of all data. */
static void stationarity(const Engine *e, const double *w, const double *u, double *g) {
    for (size_t j = 0; j < e->ld; j++) g[j] = e->penalty[j] * w[j];
    adjoint(e->columns, e->m, e->r, u, g);
}

/* u of a row of all data by its state in the base. */
static double dual_of(const Engine *e, size_t row, double z) {
    if (e->state[row] == CURVED) return (z - e->t[row]) / e->q[row];
    if (e->state[row] == EQUAL) return e->multiplier[row] + e->stiff * (z - e->t[row]);
    return end_of(e, row, e->state[row]);
}

static double largest(const double *x, size_t size) {
    double found = 0.0;
    for (size_t i = 0; i < size; i++) found = fmax(found, fabs(x[i]));
    return found;
}

/* w and multipliers at the states of the base, refined; positions, their limits and slack. */
static void settle_base(Engine *e) {
    double *z = e->z, *u = e->u, *force = e->f, *shift = e->delta, *step = e->fold_w;
    for (int pass = 0; pass < REFINEMENTS; pass++) {
        forward(e->columns, e->m, e->r, e->w, z);
        for (size_t i = 0; i < e->rows; i++) u[i] = dual_of(e, i, z[i]);
        memset(u + e->rows, 0, (e->m - e->rows) * sizeof *u);
        stationarity(e, e->w, u, force);
        for (size_t j = 0; j < e->ld; j++) force[j] = -force[j];
        memset(shift, 0, e->ld * sizeof *shift);
        for (size_t k = 0; k < e->held_count; k++) shift[k] = e->t[e->held[k]] - z[e->held[k]];
        solve_base(e, force, shift, step, e->c);
        axpy(1.0, step, e->w, e->ld);
        for (size_t k = 0; k < e->held_count; k++) e->multiplier[e->held[k]] += e->c[k];
        if (largest(step, e->ld) <= 1e-15 * largest(e->w, e->ld)) break;
    }
    forward(e->columns, e->m, e->r, e->w, z);
    e->reach = largest(z, (size_t)e->task->values);
    double most = 1e-300;
    for (size_t i = 0; i < e->rows; i++) {
        u[i] = dual_of(e, i, z[i]);
        most = fmax(most, fabs(u[i]) * e->task->unit[i]);
    }
    for (size_t i = 0; i < e->all; i++) {
        const double unit = e->task->unit[i], at = i < e->rows ? z[i] : 0.0;
        e->z_slack[i] = Z_SLACK * (fabs(at) + fabs(e->t[i])) + Z_TOUCH * e->reach * unit;
        e->u_slack[i] = U_SLACK * most / (unit > 0.0 ? unit : 1.0);
    }
    for (size_t i = 0; i < e->m; i++) {
        e->x_low[i] = -INFINITY, e->x_high[i] = INFINITY, e->x[i] = 0.0;
        if (i >= e->rows) continue;
        const bool held = e->state[i] == EQUAL;
        e->x[i] = held ? e->multiplier[i] : z[i];
        limits_of(e, i, e->state[i], &e->x_low[i], &e->x_high[i]);
        e->x_low[i] -= held ? e->u_slack[i] : e->z_slack[i];
        e->x_high[i] += held ? e->u_slack[i] : e->z_slack[i];
    }
}

/* ------------------------------------------------------------------ responses */

/* x and w of a force on a row, or of a row of E moved; false if there is no room. */
static bool respond(Engine *e, Changed *one) {
    if (one->x) return true;
    const size_t row = one->row;
    if (e->slot[row] < 0) {
        if (e->slots == e->capacity) return false;
        const size_t mine = e->slots++;
        double *x = e->response_x + mine * e->m, *w = e->response_w + mine * e->ld, *u = e->c;
        e->owner[mine] = row, e->slot[row] = (int)mine;
        if (row < e->rows && e->place[row] >= 0) {
            memset(e->delta, 0, e->ld * sizeof *e->delta), memset(e->f, 0, e->ld * sizeof *e->f);
            e->delta[e->place[row]] = 1.0;
            solve_base(e, e->f, e->delta, w, u);
        } else {
            solve_base(e, row_of(e, row), NULL, w, u);
        }
        forward(e->columns, e->m, e->r, w, x);
        for (size_t k = 0; k < e->held_count; k++) x[e->held[k]] = u[k];
    }
    one->x = e->response_x + (size_t)e->slot[row] * e->m;
    one->w = e->response_w + (size_t)e->slot[row] * e->ld;
    return true;
}

/* T: what a force on k does to the position of i. */
static double entry(const Engine *e, const Changed *i, const Changed *k) {
    if (i->row < e->rows) return k->x[i->row];
    if (i->x && k->row < e->rows) return i->x[k->row];
    return dot(row_of(e, i->row), k->w, e->ld);
}

/* ------------------------------------------------------------------ the path */

static Changed *changed_row(Engine *e, size_t row) {
    if (e->index[row] >= 0) return e->changed + e->index[row];
    if (e->changed_count == MOST_CHANGED) return NULL;
    Changed *one = e->changed + e->changed_count;
    memset(one, 0, sizeof *one);
    one->row = row;
    if (row < e->rows) {
        one->base = one->now = e->state[row];
        one->z0 = one->base == EQUAL ? e->t[row] : e->x[row];
        one->u0 = one->base == EQUAL ? e->x[row] : dual_of(e, row, one->z0);
    } else {
        one->base = ABSENT;
        one->z0 = dot(row_of(e, row), e->w, e->ld);
    }
    e->index[row] = (int)e->changed_count++;
    return one;
}

static void unchange(Engine *e, Changed *one) {
    const Changed *last = e->changed + --e->changed_count;
    e->index[one->row] = -1;
    if (one == last) return;
    *one = *last;
    e->index[one->row] = (int)(one - e->changed);
}

static void clear_path(Engine *e) {
    for (size_t i = 0; i < e->changed_count; i++) e->index[e->changed[i].row] = -1;
    e->changed_count = e->unknown_count = 0;
    e->sigma = 1.0;
}

static void start_path(Engine *e) {
    clear_path(e);
    for (size_t i = 0; i < e->wrong_count; i++) *changed_row(e, e->wrong[i].row) = e->wrong[i];
}

/* u, constant and times σ, of a row at an end. */
static void bound_of(const Engine *e, const Changed *one, double u[2]) {
    u[0] = end_of(e, one->row, one->now);
    u[1] = one->pull + (one->now == LOW ? one->low_shift : one->now == HIGH ? one->high_shift : 0.0);
}

/* Known forces at once; the equations of others: position + diagonal · force = target. */
static bool equation(const Engine *e, Changed *one, double *diagonal, double target[2]) {
    const double q = e->q[one->row], t = e->t[one->row];
    const bool end = one->now != CURVED && one->now != EQUAL;
    double u[2];
    bound_of(e, one, u);
    if (one->base == EQUAL) {
        if (end) {
            *diagonal = e->stiff, target[0] = u[0] - one->u0, target[1] = u[1];
            return true;
        }
        one->y[0] = 0.0, one->y[1] = one->t_shift;
    } else if (one->base == CURVED) {
        if (end) {
            *diagonal = -q, target[0] = t + q * u[0] - one->z0, target[1] = q * u[1];
            return true;
        }
        one->y[0] = 0.0, one->y[1] = one->t_shift / q - one->pull;
    } else if (one->now == CURVED) {
        *diagonal = q, target[0] = t + q * one->u0 - one->z0, target[1] = one->t_shift - q * one->pull;
        return true;
    } else if (one->now == EQUAL) {
        *diagonal = 0.0, target[0] = t - one->z0, target[1] = one->t_shift;
        return true;
    } else {
        one->y[0] = one->u0 - u[0], one->y[1] = -u[1];
    }
    return false;
}

/* Units of the unknowns: a force that leaves the base is measured by its own entry, one that enters by its own or by
   what those that leave make of it. */
static bool scale_system(Engine *e) {
    const size_t k = e->unknown_count, ld = padded(MOST_UNKNOWN);
    double *a = e->matrix;
    for (size_t i = 0; i < k; i++) {
        const unsigned char base = e->changed[e->unknowns[i]].base;
        e->scale[i] = base == CURVED || base == EQUAL ? 1.0 / sqrt(fabs(a[i * ld + i])) : 0.0;
    }
    for (size_t i = 0; i < k; i++) {
        const unsigned char base = e->changed[e->unknowns[i]].base;
        if (base == CURVED || base == EQUAL) continue;
        double most = fabs(a[i * ld + i]);
        for (size_t j = 0; j < k; j++) {
            const unsigned char other = e->changed[e->unknowns[j]].base;
            const double part = other == CURVED || other == EQUAL ? a[i * ld + j] * e->scale[j] : 0.0;
            most = fmax(most, part * part);
        }
        e->right[i + 2 * ld] = 1.0 / sqrt(most);
    }
    for (size_t i = 0; i < k; i++) {
        if (e->scale[i] == 0.0) e->scale[i] = e->right[i + 2 * ld];
        if (!isfinite(e->scale[i])) return false;
    }
    return true;
}

/* LU with pivots by column, of the matrix scaled on both sides; false if it is singular. */
static bool factor_system(Engine *e) {
    const size_t k = e->unknown_count, ld = padded(MOST_UNKNOWN);
    double *a = e->matrix;
    if (!scale_system(e)) return false;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) a[i * ld + j] *= e->scale[i] * e->scale[j];
    for (size_t j = 0; j < k; j++) {
        size_t best = j;
        for (size_t i = j + 1; i < k; i++)
            if (fabs(a[i * ld + j]) > fabs(a[best * ld + j])) best = i;
        e->pivot[j] = best;
        if (!(fabs(a[best * ld + j]) > 1e-14)) return false;
        if (best != j)
            for (size_t i = 0; i < k; i++) {
                const double other = a[j * ld + i];
                a[j * ld + i] = a[best * ld + i], a[best * ld + i] = other;
            }
        const double inverse = 1.0 / a[j * ld + j];
        for (size_t i = j + 1; i < k; i++) {
            const double f = a[i * ld + j] *= inverse;
            if (f == 0.0) continue;
            for (size_t l = j + 1; l < k; l++) a[i * ld + l] -= f * a[j * ld + l];
        }
    }
    return true;
}

static void solve_system(const Engine *e, double *y) {
    const size_t k = e->unknown_count, ld = padded(MOST_UNKNOWN);
    const double *a = e->matrix;
    for (size_t i = 0; i < k; i++) y[i] *= e->scale[i];
    for (size_t j = 0; j < k; j++) {
        const double value = y[e->pivot[j]];
        y[e->pivot[j]] = y[j], y[j] = value;
    }
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < i; j++) y[i] -= a[i * ld + j] * y[j];
    for (size_t i = k; i-- > 0;) {
        for (size_t j = i + 1; j < k; j++) y[i] -= a[i * ld + j] * y[j];
        y[i] /= a[i * ld + i];
    }
    for (size_t i = 0; i < k; i++) y[i] *= e->scale[i];
}

/* The forces on all rows that differ; false if there are none. */
static bool forces(Engine *e) {
    const size_t ld = padded(MOST_UNKNOWN);
    double *constant = e->right, *rate = e->right + ld, diagonal[MOST_UNKNOWN];
    e->unknown_count = 0;
    for (size_t i = 0; i < e->changed_count; i++) {
        Changed *one = e->changed + i;
        double own, target[2];
        one->unknown = -1;
        if (equation(e, one, &own, target)) {
            const size_t k = e->unknown_count;
            if (k == MOST_UNKNOWN) return false;
            diagonal[k] = own, constant[k] = target[0], rate[k] = target[1];
            one->unknown = (int)k, e->unknowns[k] = i, e->unknown_count++;
        }
        if ((one->unknown >= 0 || one->y[0] != 0.0 || one->y[1] != 0.0) && !respond(e, one)) return false;
    }
    for (size_t i = 0; i < e->unknown_count; i++) {
        const Changed *row = e->changed + e->unknowns[i];
        for (size_t j = 0; j < e->unknown_count; j++)
            e->matrix[i * ld + j] = entry(e, row, e->changed + e->unknowns[j]);
        e->matrix[i * ld + i] += diagonal[i];
        for (size_t k = 0; k < e->changed_count; k++) {
            const Changed *known = e->changed + k;
            if (known->unknown >= 0 || !known->x) continue;
            const double mine = entry(e, row, known);
            constant[i] -= mine * known->y[0], rate[i] -= mine * known->y[1];
        }
    }
    if (!e->unknown_count) return true;
    if (!factor_system(e)) return false;
    solve_system(e, constant), solve_system(e, rate);
    for (size_t i = 0; i < e->unknown_count; i++) {
        Changed *one = e->changed + e->unknowns[i];
        one->y[0] = constant[i], one->y[1] = rate[i];
    }
    return true;
}

/* xa: the positions at σ = 0. */
static void positions(Engine *e) {
    memcpy(e->xa, e->x, e->m * sizeof *e->xa);
    for (size_t k = 0; k < e->changed_count; k++)
        if (e->changed[k].x && e->changed[k].y[0] != 0.0) axpy(e->changed[k].y[0], e->changed[k].x, e->xa, e->m);
}

/* z of a row that differs, or its own u in E: constant and times σ. */
static void position_of(const Engine *e, const Changed *one, double x[2]) {
    const double q = e->q[one->row], t = e->t[one->row];
    if (one->unknown >= 0) {
        double u[2];
        bound_of(e, one, u);
        if (one->base == EQUAL)
            x[0] = t + one->y[0], x[1] = one->y[1];
        else if (one->base == CURVED)
            x[0] = t + q * (u[0] + one->y[0]), x[1] = q * (u[1] + one->y[1]);
        else if (one->now == CURVED)
            x[0] = t + q * (one->u0 - one->y[0]), x[1] = one->t_shift - q * (one->pull + one->y[1]);
        else
            x[0] = one->u0 - one->y[0], x[1] = -one->y[1] - one->pull;
        return;
    }
    x[0] = one->base == EQUAL ? one->u0 : one->z0, x[1] = 0.0;
    for (size_t k = 0; k < e->changed_count; k++) {
        const Changed *other = e->changed + k;
        if (!other->x) continue;
        const double mine = entry(e, one, other);
        x[0] += mine * other->y[0], x[1] += mine * other->y[1];
    }
    if (one->base == EQUAL) x[0] += e->stiff * one->y[0], x[1] += e->stiff * one->y[1] - one->pull;
}

static void add_candidate(Engine *e, size_t *count, Candidate one) {
    const bool beyond = one.margin[0] + e->sigma * one.margin[1] < -BEYOND * one.slack; /* by rounding, already */
    if (one.margin[0] < -one.slack && (beyond || one.margin[1] * e->sigma > SLOW * one.slack))
        e->candidates[(*count)++] = one;
}

static void changed_candidates(Engine *e, size_t *count) {
    for (size_t i = 0; i < e->changed_count; i++) {
        const Changed *one = e->changed + i;
        double x[2], low, high;
        limits_of(e, one->row, one->now, &low, &high);
        if (isinf(low) && isinf(high)) continue;
        const bool held = one->now == EQUAL;
        const double q = held ? 1.0 : e->q[one->row], t_shift = held ? 0.0 : one->t_shift;
        const double slack = held ? e->u_slack[one->row] : e->z_slack[one->row];
        const double low_shift = t_shift + q * (one->now == HIGH ? one->high_shift : one->low_shift);
        const double high_shift = t_shift + q * (one->now == LOW ? one->low_shift : one->high_shift);
        const bool inside = held || one->now == CURVED;
        position_of(e, one, x);
        if (!isinf(low)) {
            const Candidate down = {one->row, inside ? LOW : e->q[one->row] > 0.0 ? CURVED : EQUAL,
                                    {x[0] - low, x[1] - low_shift}, slack};
            add_candidate(e, count, down);
        }
        if (!isinf(high)) {
            const Candidate up = {one->row, inside ? HIGH : e->q[one->row] > 0.0 ? CURVED : EQUAL,
                                  {high - x[0], high_shift - x[1]}, slack};
            add_candidate(e, count, up);
        }
    }
}

/* A row in its base state that is beyond a limit at σ = 0. */
static void base_candidate(Engine *e, size_t row, size_t *count) {
    if (e->index[row] >= 0) return;
    const bool held = e->state[row] == EQUAL, inside = held || e->state[row] == CURVED;
    const double slack = held ? e->u_slack[row] : e->z_slack[row];
    double rate = 0.0;
    for (size_t k = 0; k < e->changed_count; k++)
        if (e->changed[k].x) rate += e->changed[k].y[1] * e->changed[k].x[row];
    const bool down = e->xa[row] < e->x_low[row];
    const Candidate one = {
        row, !inside ? (e->q[row] > 0.0 ? CURVED : EQUAL) : down ? LOW : HIGH,
        {down ? e->xa[row] - e->x_low[row] - slack : e->x_high[row] - slack - e->xa[row], down ? rate : -rate}, slack};
    add_candidate(e, count, one);
}

typedef long long mask __attribute__((vector_size(8 * LANES), aligned(8)));

static void base_candidates(Engine *e, size_t *count) {
    for (size_t i = 0; i < e->m; i += PAD) {
        long long any = 0;
        for (size_t k = i; k < i + PAD; k += LANES) {
            const vec x = load(e->xa + k);
            const mask out = (mask)(x < load(e->x_low + k)) | (mask)(x > load(e->x_high + k));
            for (int lane = 0; lane < LANES; lane++) any |= out[lane];
        }
        if (!any) continue;
        for (size_t k = i; k < i + PAD && k < e->rows; k++)
            if (e->xa[k] < e->x_low[k] || e->xa[k] > e->x_high[k]) base_candidate(e, k, count);
    }
}

/* σ at which a row is `slack` beyond its limit. */
static double when(const Engine *e, const Candidate *one, double slack) {
    return one->margin[1] > 0.0 ? fmin(-(one->margin[0] + slack) / one->margin[1], e->sigma) : e->sigma;
}

/* Harris's test: of the rows that leave before any is beyond its slack, the fastest. */
static const Candidate *next_event(const Engine *e, size_t count, double *sigma) {
    double latest = 0.0, fastest = 0.0;
    const Candidate *found = NULL;
    for (size_t i = 0; i < count; i++) latest = fmax(latest, when(e, e->candidates + i, e->candidates[i].slack));
    for (size_t i = 0; i < count; i++) {
        const Candidate *one = e->candidates + i;
        const double at = when(e, one, 0.0), speed = fabs(one->margin[1]) / one->slack;
        if (at >= latest && speed > fastest) fastest = speed, *sigma = at, found = one;
    }
    return found;
}

/* From σ = 1 to 0, `events` changes of state on the way; false where the path ends before. */
static bool follow(Engine *e, int64_t *events) {
    int zero_steps = 0;
    for (*events = 0; *events < MOST_EVENTS; ++*events) {
        if (!forces(e)) return false;
        positions(e);
        size_t count = 0;
        changed_candidates(e, &count), base_candidates(e, &count);
        if (!count) return true;
        double at = 0.0;
        const Candidate *event = next_event(e, count, &at);
        if (!event) return false;
        zero_steps = at < e->sigma * (1.0 - 1e-13) ? 0 : zero_steps + 1;
        if (zero_steps > MOST_ZERO_STEPS) return false;
        e->sigma = at;
        Changed *one = changed_row(e, event->row);
        if (!one) return false;
        one->now = event->to;
        if (!one->own && one->now == one->base) unchange(e, one);
    }
    return false;
}

/* ------------------------------------------------------------------ a right base */

/* Rows on the wrong side of their states, as changes that shift their ends there. */
static size_t find_wrong(Engine *e) {
    size_t count = 0;
    clear_path(e);
    for (size_t i = 0; i < e->rows; i++) {
        const double x = e->x[i];
        if (x >= e->x_low[i] && x <= e->x_high[i]) continue;
        if (count++ >= MOST_CHANGED / 2) continue;
        double low, high;
        limits_of(e, i, e->state[i], &low, &high);
        Changed *one = changed_row(e, i);
        one->own = true;
        const double over = x - (x > high ? high : low), unit = e->state[i] == CURVED ? 1.0 / e->q[i] : 1.0;
        if (e->state[i] == LOW || e->state[i] == HIGH)
            one->t_shift = over;
        else if (x > high)
            one->high_shift = over * unit;
        else
            one->low_shift = over * unit;
    }
    e->wrong_count = count < MOST_CHANGED / 2 ? count : MOST_CHANGED / 2;
    memcpy(e->wrong, e->changed, e->changed_count * sizeof *e->wrong);
    return count;
}

static bool set_base(Engine *e, double share) {
    clear_responses(e);
    factor_curved(e);
    if (!factor_held(e, 1e-2 * share)) {
        purify(e, share);
        factor_curved(e);
        if (!factor_held(e, 1e-4 * share)) return false;
    }
    settle_base(e);
    return true;
}

/* The states at the end of a path become the base's; multipliers start from theirs. */
static void take_states(Engine *e) {
    for (size_t i = 0; i < e->rows; i++)
        if (e->state[i] == EQUAL) e->multiplier[i] = e->xa[i];
    for (size_t k = 0; k < e->changed_count; k++) {
        const Changed *one = e->changed + k;
        if (one->now == EQUAL) {
            double x[2];
            position_of(e, one, x);
            e->multiplier[one->row] = x[0];
        }
        e->state[one->row] = one->now;
    }
}

/* CURVED rows and their ends by where z is; how many change. (Primal-dual active sets: Hintermüller, Ito, Kunisch.) */
static size_t change_all(Engine *e) {
    size_t count = 0;
    for (size_t i = 0; i < e->rows; i++) {
        if (!is_open(e, i) || !(e->q[i] > 0.0) || (e->x[i] >= e->x_low[i] && e->x[i] <= e->x_high[i])) continue;
        e->state[i] = e->state[i] != CURVED ? CURVED : e->x[i] < e->x_low[i] ? LOW : HIGH;
        count++;
    }
    return count;
}

static bool all_curved(const Engine *e) {
    for (size_t i = 0; i < e->rows; i++)
        if (is_open(e, i) && !(e->q[i] > 0.0)) return false;
    return true;
}

static unsigned char closed_state(const Engine *e, size_t row) { return e->low[row] == 0.0 ? ABSENT : LOW; }

/* Of a nearly optimal point's distances, of z from its breakpoint and of u from its end, the smaller one is 0. */
static void likely_states(Engine *e, const double *u) {
    double most = 1e-300, reach = 1e-300;
    forward(e->columns, e->m, e->r, e->w, e->z);
    reach = fmax(reach, largest(e->z, (size_t)e->task->values));
    for (size_t i = 0; i < e->rows; i++) most = fmax(most, fabs(u[i]) * e->task->unit[i]);
    for (size_t i = 0; i < e->rows; i++) {
        const double apart = e->z[i] - e->t[i], unit = fmax(e->task->unit[i], 1e-300);
        const double near = fabs(apart) / (reach * unit) * (most / unit);
        e->multiplier[i] = u[i];
        if (!is_open(e, i))
            e->state[i] = closed_state(e, i);
        else if (e->q[i] > 0.0)
            e->state[i] = e->z[i] < breakpoint(e, i, e->low[i])    ? LOW
                          : e->z[i] > breakpoint(e, i, e->high[i]) ? HIGH
                                                                   : CURVED;
        else if (apart < 0.0 && u[i] - e->low[i] < near)
            e->state[i] = LOW;
        else if (apart > 0.0 && e->high[i] - u[i] < near)
            e->state[i] = HIGH;
        else
            e->state[i] = EQUAL;
    }
}

static bool repair(Engine *e, double share) {
    const bool smooth = all_curved(e);
    const int last = (smooth ? NEWTON_ROUNDS : REPAIRS) - 1;
    for (int round = 0;; round++) {
        int64_t events;
        if (!set_base(e, share)) return false;
        const size_t wrong = find_wrong(e);
        if (!wrong || round == last) return true;
        if (smooth && (wrong > 8 || round < 2)) {
            change_all(e);
        } else {
            if (wrong > e->wrong_count) return true;
            follow(e, &events);
            take_states(e);
        }
    }
}

/* The base of a setting: how many of its rows are still wrong, -1: there is none. */
static int64_t make_base(Engine *e, size_t setting) {
    const FoldTask *task = e->task;
    for (size_t k = 0; k < sizeof SHARES / sizeof *SHARES; k++) {
        memset(e->w, 0, e->ld * sizeof *e->w), memset(e->multiplier, 0, e->m * sizeof *e->multiplier);
        if (task->w) {
            memcpy(e->w, task->w + setting * e->r, e->r * sizeof *e->w);
            likely_states(e, task->u + setting * e->rows);
        } else {
            for (size_t i = 0; i < e->rows; i++) e->state[i] = is_open(e, i) ? CURVED : closed_state(e, i);
        }
        const bool found = repair(e, SHARES[k]);
        if (found && !e->wrong_count) return 0;
        if (k + 1 == sizeof SHARES / sizeof *SHARES || !task->w) return found ? (int64_t)e->wrong_count : -1;
    }
    return -1;
}

/* ------------------------------------------------------------------ a fold */

static bool leave(Engine *e, size_t row) {
    Changed *one = changed_row(e, row);
    if (!one) return false;
    one->own = true, one->now = ABSENT;
    one->t_shift = one->low_shift = one->high_shift = 0.0, one->pull = one->u0;
    return true;
}

static bool appear(Engine *e, size_t row) {
    Changed *one = changed_row(e, row);
    if (!one) return false;
    const double low = e->low[row], high = e->high[row], t = e->t[row], q = e->q[row];
    const double apart = one->z0 - t, near = NEAR * e->reach * e->task->unit[row];
    e->z_slack[row] = Z_SLACK * (fabs(one->z0) + fabs(t)) + Z_TOUCH * e->reach * e->task->unit[row];
    one->own = true;
    double u = 0.0;
    if (!is_open(e, row))
        one->now = closed_state(e, row), u = low;
    else if (q > 0.0) {
        u = fmin(fmax(apart / q, low), high);
        one->now = u == low ? LOW : u == high ? HIGH : CURVED;
    } else if (fabs(apart) <= near || isinf(apart < 0.0 ? low : high))
        one->now = EQUAL, one->t_shift = apart, u = fmin(fmax(0.0, low), high);
    else
        one->now = apart < 0.0 ? LOW : HIGH, u = apart < 0.0 ? low : high;
    one->pull = -u;
    return true;
}

static bool begin_fold(Engine *e, size_t fold) {
    const FoldTask *task = e->task;
    if (e->capacity < e->all && e->slots + 2 * MOST_UNKNOWN > e->capacity) clear_responses(e);
    start_path(e);
    for (int64_t k = task->leave_from[fold]; k < task->leave_from[fold + 1]; k++)
        if (!leave(e, (size_t)task->leave[k])) return false;
    for (int64_t k = task->enter_from[fold]; k < task->enter_from[fold + 1]; k++)
        if (!appear(e, (size_t)task->enter[k])) return false;
    return true;
}

static double clipped(const Engine *e, size_t row, double u) { return fmin(fmax(u, e->low[row]), e->high[row]); }

/* u at the end of a path, of a row that differs. */
static double changed_dual(const Engine *e, const Changed *one, double z) {
    if (one->now == CURVED) return clipped(e, one->row, (z - e->t[one->row]) / e->q[one->row]);
    if (one->now != EQUAL) return end_of(e, one->row, one->now);
    return clipped(e, one->row, one->base == EQUAL ? e->xa[one->row] : one->u0 - one->y[0]);
}

/* z and u of all rows at fold_w, and P w + Aᵀu. */
static void point_of_fold(Engine *e) {
    forward(e->columns, e->m, e->r, e->fold_w, e->z);
    for (size_t i = 0; i < e->rows; i++) {
        const unsigned char state = e->state[i];
        e->u[i] = state == CURVED  ? clipped(e, i, (e->z[i] - e->t[i]) / e->q[i])
                  : state == EQUAL ? clipped(e, i, e->xa[i])
                                   : end_of(e, i, state);
    }
    memset(e->u + e->rows, 0, (e->m - e->rows) * sizeof *e->u);
    for (size_t k = 0; k < e->changed_count; k++) {
        const Changed *one = e->changed + k;
        if (one->row < e->rows)
            e->u[one->row] = changed_dual(e, one, e->z[one->row]);
        else
            e->extra_z[k] = dot(row_of(e, one->row), e->fold_w, e->ld), e->extra_u[k] = changed_dual(e, one, e->extra_z[k]);
    }
    stationarity(e, e->fold_w, e->u, e->residual);
    for (size_t k = 0; k < e->changed_count; k++)
        if (e->changed[k].row >= e->rows) axpy(e->extra_u[k], row_of(e, e->changed[k].row), e->residual, e->ld);
}

/* f(z) + f*(u) - z u of a row; a violated constraint at `price`. */
static double slack_of(const Engine *e, size_t row, double z, double u, double touch, double price) {
    const double v = z - e->t[row], q = e->q[row];
    double p;
    if (q > 0.0)
        p = v / q;
    else if (fabs(v) <= fmax(BREAKPOINT_WIDTH * fabs(z), touch * e->task->unit[row]))
        p = u + copysign(u, v);
    else
        p = v > 0.0 ? INFINITY : -INFINITY;
    p = clipped(e, row, p);
    if (!isfinite(p)) p = u + (v > 0.0 ? price : v < 0.0 ? -price : 0.0);
    return fmax((p - u) * (v - 0.5 * q * (p + u)), 0.0);
}

/* The relative duality gap at (fold_w, u) over the fold's own rows, a sum of non-negative parts. */
static double gap_of_fold(const Engine *e) {
    const double touch = ROUNDING * largest(e->z, (size_t)e->task->values);
    double most = fmax(largest(e->u, e->rows), e->u_scale), total = 0.0;
    for (size_t k = 0; k < e->changed_count; k++)
        if (e->changed[k].row >= e->rows) most = fmax(most, fabs(e->extra_u[k]));
    const double price = VIOLATION_PRICE * most;
    for (size_t i = 0; i < e->rows; i++) {
        if (e->index[i] >= 0 && e->changed[e->index[i]].now == ABSENT) continue;
        total += slack_of(e, i, e->z[i], e->u[i], touch, price);
    }
    for (size_t k = 0; k < e->changed_count; k++)
        if (e->changed[k].row >= e->rows)
            total += slack_of(e, e->changed[k].row, e->extra_z[k], e->extra_u[k], touch, price);
    for (size_t j = 0; j < e->r; j++) {
        const double g = e->residual[j], p = e->penalty[j];
        total += p > 0.0 ? 0.5 * g * g / p : fabs(g) * fmax(fabs(e->fold_w[j]), e->w_scale[j]);
    }
    return total / e->gap_scale;
}

/* One step of iterative refinement at the final states. */
static void refine(Engine *e) {
    double *shift = e->delta, *step = e->f, *multiplier = e->c, *y = e->right;
    for (size_t j = 0; j < e->ld; j++) e->residual[j] = -e->residual[j];
    memset(shift, 0, e->ld * sizeof *shift);
    for (size_t k = 0; k < e->held_count; k++) {
        const size_t row = e->held[k];
        if (e->index[row] < 0 || e->changed[e->index[row]].now == EQUAL) shift[k] = e->t[row] - e->z[row];
    }
    memcpy(e->wide, shift, e->held_count * sizeof *shift);
    solve_base(e, e->residual, shift, step, multiplier);
    for (size_t i = 0; i < e->unknown_count; i++) {
        const Changed *one = e->changed + e->unknowns[i];
        const double z = one->row < e->rows ? e->z[one->row] : e->extra_z[e->unknowns[i]];
        y[i] = one->base == EQUAL ? -multiplier[e->place[one->row]] : -dot(row_of(e, one->row), step, e->ld);
        if (one->now == EQUAL) y[i] += e->t[one->row] - z;
    }
    solve_system(e, y);
    axpy(1.0, step, e->fold_w, e->ld);
    for (size_t k = 0; k < e->held_count; k++) e->xa[e->held[k]] += multiplier[k] + e->stiff * e->wide[k];
    for (size_t i = 0; i < e->unknown_count; i++) {
        Changed *one = e->changed + e->unknowns[i];
        one->y[0] += y[i];
        axpy(y[i], one->w, e->fold_w, e->ld);
        for (size_t k = 0; k < e->held_count; k++) e->xa[e->held[k]] += y[i] * one->x[e->held[k]];
    }
}

/* w of the end of the path, refined while that helps, and its gap. */
static double prove(Engine *e, double *w) {
    double best = INFINITY;
    memcpy(e->fold_w, e->w, e->ld * sizeof *e->fold_w);
    for (size_t k = 0; k < e->changed_count; k++)
        if (e->changed[k].x) axpy(e->changed[k].y[0], e->changed[k].w, e->fold_w, e->ld);
    for (int pass = 0; pass < REFINEMENTS; pass++) {
        if (pass) refine(e);
        point_of_fold(e);
        const double gap = gap_of_fold(e);
        if (!(gap < best)) break;
        best = gap;
        memcpy(w, e->fold_w, e->r * sizeof *w);
        if (best <= EXACT) break;
    }
    return best;
}

/* ------------------------------------------------------------------ settings */

static void load_setting(Engine *e, size_t setting) {
    const FoldTask *task = e->task;
    const size_t at = setting * e->all;
    e->q = task->q + at, e->t = task->t + at, e->low = task->low + at, e->high = task->high + at;
    memcpy(e->penalty, task->penalty + setting * e->r, e->r * sizeof *e->penalty);
    memcpy(e->w_scale, task->w_scale + setting * e->r, e->r * sizeof *e->w_scale);
    e->u_scale = task->u_scale[setting], e->gap_scale = task->gap_scale[setting];
}

static void load_rows(Engine *e) {
    for (size_t i = 0; i < e->all; i++) {
        memcpy(e->by_row + i * e->ld, e->task->a + i * e->r, e->r * sizeof(double));
        e->slot[i] = e->index[i] = e->place[i] = -1;
        if (i < e->rows)
            for (size_t j = 0; j < e->r; j++) e->columns[j * e->m + i] = e->task->a[i * e->r + j];
    }
}

static int solve_setting(Engine *e, size_t setting, stop_flag stop) {
    const FoldTask *task = e->task;
    load_setting(e, setting);
    task->wrong[setting] = make_base(e, setting);
    for (size_t fold = 0; fold < (size_t)task->folds; fold++) {
        const size_t at = setting * (size_t)task->folds + fold;
        if (stop && *stop) return CORE_STOPPED;
        task->gap[at] = INFINITY, task->events[at] = 0;
        memset(task->fold_w + at * e->r, 0, e->r * sizeof(double));
        if (task->wrong[setting] < 0) continue;
        if (begin_fold(e, fold) && follow(e, task->events + at)) task->gap[at] = prove(e, task->fold_w + at * e->r);
    }
    return CORE_DONE;
}

int folds_solve(const FoldTask *task, int64_t first, int64_t last, stop_flag stop) {
    Engine engine = {.task = task, .r = (size_t)task->rank, .rows = (size_t)task->rows};
    Arena arena = {0};
    Engine *e = &engine;
    e->ld = padded(e->r), e->m = padded(e->rows), e->all = e->rows + (size_t)task->extra;
    const size_t affordable = ((size_t)64 << 20) / (8 * (e->m + e->ld)), least = 4 * MOST_UNKNOWN;
    e->capacity = affordable > least ? affordable : least;
    if (e->capacity > e->all) e->capacity = e->all;
    lay_out(e, &arena);
    arena.at = calloc(arena.used, 1), arena.used = 0;
    if (!arena.at) return CORE_MEMORY;
    lay_out(e, &arena);
    load_rows(e);
    int code = CORE_DONE;
    for (int64_t setting = first; setting < last && code == CORE_DONE; setting++)
        code = solve_setting(e, (size_t)setting, stop);
    free(arena.at);
    return code;
}
