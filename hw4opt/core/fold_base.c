/* The base of a setting: the states of all data's rows at the optimum, which then solves a linear system. */

#include "folds.h"

enum { REPAIRS = 4, REFINEMENTS = 3 };
static const double Z_SLACK = 1e-12, Z_TOUCH = 3e-15; /* tolerance of z: relative to |z| + |t|, to the largest |z| */
static const double NO_CURVATURE = 1e-12, LITTLE_CURVATURE = 1e-9; /* of free columns, relative to a typical one */
static const double U_SLACK = 1e-12;                  /* tolerance of u, relative to the largest |u| */
static const double LEAST_REACH = 0.1; /* smallest scale of z, relative to the typical |z|: the fit may be 0 */
static const double LEAST_ROOM = 1e-3; /* smallest weight of a row's distance to its bounds, relative to the largest */
/* squared residual of a row after projection on E, relative to its square, up to which the row counts as dependent;
   tried in turn */
static const double SHARES[] = {1e-7, 1e-5, 1e-9, 1e-4};

/* b = Vᵀa and p = V b; V upper triangular, by rows. */
static void times_v_transposed(const engine *e, const double *a, double *b) {
    memset(b, 0, e->ld * sizeof *b);
    for (size_t k = 0; k < e->r; k += 4) {
        const size_t count = e->r - k < 4 ? e->r - k : 4;
        add_rows(a + k, e->v + k * e->ld + k, count, e->ld, b + k, e->ld - k);
    }
}

static void times_v(const engine *e, const double *b, double *p) {
    memset(p + e->r, 0, (e->ld - e->r) * sizeof *p);
    for (size_t k = 0; k < e->r; k += 4) {
        const size_t count = e->r - k < 4 ? e->r - k : 4;
        dots(e->v + k * e->ld + k, count, e->ld, b + k, p + k, e->ld - k);
    }
}

/* b ← (I - QQᵀ)² b, the second time for rounding; c = Qᵀb. */
static void project(const engine *e, double *b, double *c) {
    double *again = e->d;
    memset(c, 0, e->ld * sizeof *c);
    for (int pass = 0; pass < 2; pass++) {
        dots(e->qt, e->held_count, e->ld, b, again, e->ld);
        for (size_t i = 0; i < e->held_count; i++) c[i] += again[i], again[i] = -again[i];
        add_rows(again, e->qt, e->held_count, e->ld, b, e->ld);
    }
}

/* h += Σ weight_i a_i a_iᵀ for the listed rows. */
static void gram_of_rows(const engine *e, const size_t *list, const double *weight, size_t count, double *h) {
    for (size_t i = 0, some; i < count; i += some) {
        some = count - i < GATHERED_ROWS ? count - i : GATHERED_ROWS;
        for (size_t k = 0; k < some; k++) memcpy(e->gathered + k * e->ld, row_of(e, list[i + k]), e->ld * sizeof *h);
        gram(e->gathered, some, e->ld, weight + i, h, e->tile);
    }
}

/* V = U⁻¹ in place, from the last row to the first. */
static void invert_upper(const engine *e, double *u) {
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

/* The breakpoint z = t + q u for a bound of u. */
static double breakpoint(const engine *e, size_t row, double end) {
    return isinf(end) ? end : e->t[row] + e->q[row] * end;
}

/* The limits of the position x of a row in this state. */
void limits_of(const engine *e, size_t row, unsigned char state, double *low, double *high) {
    *low = -INFINITY, *high = INFINITY;
    if (!is_open(e, row) || state == ABSENT) return;
    if (state == EQUAL)
        *low = e->low[row], *high = e->high[row];
    else if (state == CURVED)
        *low = breakpoint(e, row, e->low[row]), *high = breakpoint(e, row, e->high[row]);
    else if (state == IMPLIED)
        *low = *high = e->t[row];
    else if (state == LOW)
        *high = breakpoint(e, row, e->low[row]);
    else
        *low = breakpoint(e, row, e->high[row]);
}

/* The distance of u from its bounds for each row of E, scaled to LEAST_ROOM … 1 + LEAST_ROOM. */
static void find_room(const engine *e, double *room) {
    double most = 1e-300;
    for (size_t i = 0; i < e->rows; i++) {
        const double u = e->multiplier[i];
        room[i] = larger(smaller(e->high[i] - u, u - e->low[i]), 0.0);
        if (e->state[i] == EQUAL && isfinite(room[i])) most = larger(most, room[i]);
    }
    for (size_t i = 0; i < e->rows; i++) room[i] = LEAST_ROOM + (isfinite(room[i]) ? room[i] / most : 1.0);
}

/* The state of a row that is dropped from E because it depends on others: its nearest bound, or IMPLIED without bounds. */
static unsigned char nearest_end(const engine *e, size_t row) {
    const double up = e->high[row] - e->multiplier[row], down = e->multiplier[row] - e->low[row];
    return isinf(up) && isinf(down) ? IMPLIED : up < down ? HIGH : LOW;
}

/* Drop dependent rows from E by a pivoted Gram-Schmidt method: the next row has the largest residual after projection,
   weighted by the distance of u from its bounds. Once all residuals are at most `share`, the others move to bounds. */
static void purify(engine *e, double share) {
    const size_t ld = e->ld;
    double *left = e->z, *room = e->u, *vector;
    find_room(e, room);
    for (size_t i = 0; i < e->rows; i++) {
        left[i] = 0.0;
        if (e->state[i] != EQUAL) continue;
        times_v_transposed(e, row_of(e, i), vector = e->vectors + i * ld);
        const double size = sqrt(dot(vector, vector, ld));
        if (size > 0.0) scale(1.0 / size, vector, ld), left[i] = 1.0;
    }
    for (e->held_count = 0; e->held_count < e->r; e->held_count++) {
        double *own = e->qt + e->held_count * ld, top = 0.0;
        size_t best = 0;
        for (size_t i = 0; i < e->rows; i++)
            if (left[i] > share && left[i] * room[i] > top) top = left[i] * room[i], best = i;
        if (top == 0.0) break;
        memcpy(own, e->vectors + best * ld, ld * sizeof *own);
        project(e, own, e->c);
        scale(1.0 / sqrt(dot(own, own, ld)), own, ld);
        left[best] = -1.0; /* stays in E */
        for (size_t i = 0; i < e->rows; i++) {
            if (!(left[i] > share)) continue;
            const double part = dot(own, vector = e->vectors + i * ld, ld);
            axpy(-part, own, vector, ld);
            left[i] = larger(left[i] - part * part, 0.0);
        }
    }
    for (size_t i = 0; i < e->rows; i++)
        if (e->state[i] == EQUAL && left[i] >= 0.0) e->state[i] = nearest_end(e, i);
}

/* The diagonal entry of a column if every row of the loss had typical curvature. */
static double loss_curvature(const engine *e, size_t column) {
    double squares = 0.0;
    for (size_t i = 0; i < (size_t)e->task->values; i++) squares += row_of(e, i)[column] * row_of(e, i)[column];
    return squares * e->u_scale / e->z_scale;
}

/* V with H⁻¹ = VVᵀ, H = P + Σ aaᵀ/q. If a column has no penalty, H includes stiff · aaᵀ for the rows of E, which does
   not change the solution since these rows do not move. A column without any curvature gets a small one: it then moves
   fast along the path until a row changes its state. */
static void factor_curved(engine *e) {
    size_t *list = e->held, count = 0, held = 0;
    double *weight = e->wide, squares = 0.0, trace = 0.0;
    bool free_column = false;
    for (size_t i = e->fixed; i < e->rows; i++)
        if (e->state[i] == CURVED) list[count] = i, weight[count++] = 1.0 / e->q[i];
    memcpy(e->v, e->gram, e->r * e->ld * sizeof *e->v);
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
    for (size_t j = 0; j < e->r; j++) {
        double *pivot = e->v + j * e->ld + j;
        if (!(e->penalty[j] > 0.0)) {
            const double typical = loss_curvature(e, j);
            if (*pivot <= NO_CURVATURE * typical) *pivot += LITTLE_CURVATURE * typical;
        }
        e->floor[j] = 1e-15 * (double)e->r * *pivot;
    }
    cholesky(e->v, e->r, e->ld, e->floor);
    invert_upper(e, e->v);
}

/* QR = VᵀA_Eᵀ by the Gram-Schmidt method with reorthogonalisation; false if a row depends on earlier ones. */
static bool factor_held(engine *e, double share) {
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
        scale(1.0 / size, own, e->ld);
        for (size_t j = 0; j < k; j++) e->tri[j * e->ld + k] = e->c[j];
        memset(e->tri + k * e->ld, 0, e->ld * sizeof *e->tri);
        e->tri[k * e->ld + k] = size;
        e->held[k] = i, e->place[i] = (int)k;
        e->held_count++;
    }
    return true;
}

/* The response of w and of the multipliers of E to a force (r) and to displacements shift[k] of the rows of E; shift is
   overwritten. */
void solve_base(const engine *e, const double *force, double *shift, double *w, double *multiplier) {
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

void adjoint_moving(const engine *e, const double *u, double *g) {
    adjoint(e->columns + e->fixed * e->r, moving(e), e->r, u + e->fixed, g);
}

static void forward_all(const engine *e, const double *w, double *z) {
    forward(e->columns, e->fixed, e->r, w, z);
    forward_moving(e, w, z);
}

/* gram and pull: Aᵀu of the fixed rows as a function of w. */
static void sum_fixed(engine *e) {
    double *weight = e->wide, *u = e->u;
    size_t *list = e->held, count = 0;
    for (size_t i = 0; i < e->fixed; i++) {
        const bool curved = e->state[i] == CURVED;
        u[i] = curved ? -e->t[i] / e->q[i] : end_of(e, i, e->state[i]);
        if (curved) list[count] = i, weight[count++] = 1.0 / e->q[i];
    }
    memset(e->gram, 0, e->r * e->ld * sizeof *e->gram), memset(e->pull, 0, e->ld * sizeof *e->pull);
    gram_of_rows(e, list, weight, count, e->gram);
    adjoint(e->columns, e->fixed, e->r, u, e->pull);
}

/* u of a row of all data at z, by its state in the base. */
double dual_of(const engine *e, size_t row, double z) {
    if (e->state[row] == CURVED) return (z - e->t[row]) / e->q[row];
    if (e->state[row] == EQUAL) return e->multiplier[row] + e->stiff * (z - e->t[row]);
    return end_of(e, row, e->state[row]);
}

/* w and multipliers for the states of the base, with iterative refinement; positions, their limits and tolerances. */
static void settle_base(engine *e) {
    double *z = e->z, *u = e->u, *force = e->f, *shift = e->shift, *step = e->fold_w;
    for (int pass = 0; pass < REFINEMENTS; pass++) {
        forward_all(e, e->w, z);
        for (size_t i = 0; i < e->rows; i++) u[i] = dual_of(e, i, z[i]);
        memset(u + e->rows, 0, (e->m - e->rows) * sizeof *u);
        for (size_t j = 0; j < e->ld; j++) force[j] = e->penalty[j] * e->w[j];
        adjoint(e->columns, e->fixed, e->r, u, force), adjoint_moving(e, u, force);
        for (size_t j = 0; j < e->ld; j++) force[j] = -force[j];
        memset(shift, 0, e->ld * sizeof *shift);
        for (size_t k = 0; k < e->held_count; k++) shift[k] = e->t[e->held[k]] - z[e->held[k]];
        solve_base(e, force, shift, step, e->c);
        axpy(1.0, step, e->w, e->ld);
        for (size_t k = 0; k < e->held_count; k++) e->multiplier[e->held[k]] += e->c[k];
        if (largest(step, e->ld) <= 1e-15 * largest(e->w, e->ld)) break;
    }
    forward_all(e, e->w, z);
    e->largest_z = largest(z, (size_t)e->task->values);
    e->reach = larger(e->largest_z, LEAST_REACH * e->z_scale);
    double most = 1e-300;
    for (size_t i = 0; i < e->rows; i++) {
        u[i] = dual_of(e, i, z[i]);
        most = larger(most, fabs(u[i]) * e->task->unit[i]);
    }
    e->largest_u = largest(u, e->fixed);
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

/* List the rows that violate their states as changes that shift their bounds or breakpoints to their positions; returns
   their number. */
static size_t find_wrong(engine *e) {
    size_t count = 0;
    clear_path(e);
    for (size_t i = 0; i < e->rows; i++) {
        const double x = e->x[i];
        if (x >= e->x_low[i] && x <= e->x_high[i]) continue;
        if (count++ >= MOST_CHANGED / 2) continue; /* the other half is for the rows of a fold */
        double low, high;
        limits_of(e, i, e->state[i], &low, &high);
        change *one = changed_row(e, i);
        one->own = true;
        const double over = x - (x > high ? high : low), unit = e->state[i] == CURVED ? 1.0 / e->q[i] : 1.0;
        if (e->state[i] != CURVED && e->state[i] != EQUAL)
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

static bool set_base(engine *e, double share) {
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

/* Take the states at the end of a path for the base, with their multipliers as initial values. */
static void take_states(engine *e) {
    for (size_t i = 0; i < e->rows; i++)
        if (e->state[i] == EQUAL) e->multiplier[i] = e->xa[i];
    for (size_t k = 0; k < e->changed_count; k++) {
        const change *one = e->changed + k;
        if (one->now == EQUAL) {
            double x[2];
            position_of(e, one, x);
            e->multiplier[one->row] = x[0];
        }
        e->state[one->row] = one->now;
    }
}

/* Estimate the states from a nearly optimal point: of the scaled distances of z from its breakpoint and of u from its
   bound, the smaller one is taken to be 0 (complementarity). */
static void likely_states(engine *e, const double *u) {
    double most = 1e-300, reach = 1e-300;
    forward_all(e, e->w, e->z);
    reach = larger(reach, largest(e->z, (size_t)e->task->values));
    for (size_t i = 0; i < e->rows; i++) most = larger(most, fabs(u[i]) * e->task->unit[i]);
    for (size_t i = 0; i < e->rows; i++) {
        const double apart = e->z[i] - e->t[i], unit = larger(e->task->unit[i], 1e-300);
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

/* Correct the estimated states by following paths; false if a base cannot be factored. */
static bool repair(engine *e, double share) {
    for (int round = 0;; round++) {
        int64_t events;
        if ((e->stop && *e->stop) || !set_base(e, share)) return false;
        const size_t wrong = find_wrong(e);
        if (!wrong || round == REPAIRS - 1 || wrong > e->wrong_count) return true;
        follow(e, &events);
        take_states(e);
    }
}

/* Compute the base of a setting; returns the number of rows that violate their states, -1 without a base. */
int64_t make_base(engine *e, size_t setting) {
    const core_fold_task *task = e->task;
    bool found = false;
    for (size_t k = 0; k < sizeof SHARES / sizeof *SHARES; k++) {
        memset(e->w, 0, e->ld * sizeof *e->w), memset(e->multiplier, 0, e->m * sizeof *e->multiplier);
        memcpy(e->w, task->w + setting * e->r, e->r * sizeof *e->w);
        likely_states(e, task->u + setting * e->rows);
        sum_fixed(e);
        found = repair(e, SHARES[k]);
        if (found && !e->wrong_count) return 0;
    }
    return found ? (int64_t)e->wrong_count : -1;
}
