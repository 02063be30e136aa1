/* The homotopy path from the base to a fold: responses of rows, the small system of changed rows, and events. */

#include "folds.h"

enum { MOST_EVENTS = 1000, MOST_ZERO_STEPS = 60 };
static const double SLOW = 0.01;      /* movement, in slacks, below which a row does not leave its state */
static const double BEYOND = 100.0;   /* violation, in slacks, at which a row has left its state through rounding */
static const double SINGULAR = 1e-14, RAY = 1e-13; /* pivots of the scaled system: singular, and its replacement */

void clear_responses(engine *e) {
    for (size_t i = 0; i < e->slots; i++) e->slot[e->owner[i]] = -1;
    e->slots = 0;
}

/* The response x and w to a unit force on a row, or unit displacement of a row of E; false if the cache is full. */
static bool respond(engine *e, change *one) {
    if (one->x) return true;
    const size_t row = one->row;
    const bool fresh = e->slot[row] < 0;
    if (fresh && e->slots == e->capacity) return false;
    if (fresh || (e->task->correct && row + 1 == e->all)) { /* the force row differs from fold to fold */
        const size_t mine = fresh ? e->slots++ : (size_t)e->slot[row];
        double *x = e->response_x + mine * e->m, *w = e->response_w + mine * e->ld, *u = e->c;
        e->owner[mine] = row, e->slot[row] = (int)mine;
        if (row < e->rows && e->place[row] >= 0) {
            memset(e->shift, 0, e->ld * sizeof *e->shift), memset(e->f, 0, e->ld * sizeof *e->f);
            e->shift[e->place[row]] = 1.0;
            solve_base(e, e->f, e->shift, w, u);
        } else {
            solve_base(e, row_of(e, row), NULL, w, u);
        }
        forward_moving(e, w, x);
        for (size_t k = 0; k < e->held_count; k++) x[e->held[k]] = u[k];
    }
    one->x = e->response_x + (size_t)e->slot[row] * e->m;
    one->w = e->response_w + (size_t)e->slot[row] * e->ld;
    return true;
}

/* The entry of T: the position of i for a unit force on k. */
static double entry(const engine *e, const change *i, const change *k) {
    if (i->row < e->rows && i->row >= e->fixed) return k->x[i->row];
    if (i->x && k->row < e->rows && k->row >= e->fixed) return i->x[k->row];
    return dot(row_of(e, i->row), k->w, e->ld);
}

change *changed_row(engine *e, size_t row) {
    if (e->index[row] >= 0) return e->changed + e->index[row];
    if (e->changed_count == MOST_CHANGED) return NULL;
    change *one = e->changed + e->changed_count;
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

static void unchange(engine *e, change *one) {
    const change *last = e->changed + --e->changed_count;
    e->index[one->row] = -1;
    if (one == last) return;
    *one = *last;
    e->index[one->row] = (int)(one - e->changed);
}

void clear_path(engine *e) {
    for (size_t i = 0; i < e->changed_count; i++) e->index[e->changed[i].row] = -1;
    e->changed_count = e->unknown_count = 0;
    e->sigma = 1.0;
}

/* u[0] + σ u[1] of a row at a bound. */
static void bound_of(const engine *e, const change *one, double u[2]) {
    u[0] = end_of(e, one->row, one->now);
    u[1] = one->pull + (one->now == LOW ? one->low_shift : one->now == HIGH ? one->high_shift : 0.0);
}

/* Sets the force y of a changed row and returns false if it is known; otherwise returns true with the row's equation
   position + diagonal · force = target[0] + σ target[1]. */
static bool equation(const engine *e, change *one, double *diagonal, double target[2]) {
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

static bool leaves_base(const engine *e, size_t unknown) {
    const unsigned char base = e->changed[e->unknowns[unknown]].base;
    return base == CURVED || base == EQUAL;
}

/* Scales of the unknowns: by its diagonal entry for a row that leaves its base state; for others by the largest of the
   diagonal entry and the couplings to rows that leave. False if a scale is not finite. */
static bool scale_system(engine *e, const double *diagonal) {
    const size_t k = e->unknown_count, ld = padded(MOST_UNKNOWN);
    const double *a = e->matrix;
    bool finite = true;
    for (size_t i = 0; i < k; i++)
        if (leaves_base(e, i)) e->scale[i] = 1.0 / sqrt(fabs(a[i * ld + i] - diagonal[i]) + fabs(diagonal[i]));
    for (size_t i = 0; i < k; i++) {
        if (!leaves_base(e, i)) {
            double most = fabs(a[i * ld + i]);
            for (size_t j = 0; j < k; j++)
                if (leaves_base(e, j)) most = larger(most, a[i * ld + j] * a[i * ld + j] * e->scale[j] * e->scale[j]);
            e->scale[i] = 1.0 / sqrt(most);
        }
        finite &= isfinite(e->scale[i]);
    }
    return finite;
}

/* LU factorisation with column pivoting of the matrix scaled on both sides; false if it is singular.

   The determinant has the sign of (-1)^(number of rows that leave their base states). If a row leaves that alone
   prevented w from moving along a ray (`ray`), the last pivot is 0: a small pivot of the correct sign makes w move far
   in the correct direction. */
static bool factor_system(engine *e, const double *diagonal, bool ray) {
    const size_t k = e->unknown_count, ld = padded(MOST_UNKNOWN);
    double *a = e->matrix;
    bool negative = false;
    if (!scale_system(e, diagonal)) return false;
    for (size_t i = 0; i < k; i++) {
        negative ^= leaves_base(e, i);
        for (size_t j = 0; j < k; j++) a[i * ld + j] *= e->scale[i] * e->scale[j];
    }
    for (size_t j = 0; j < k; j++) {
        size_t best = j;
        for (size_t i = j + 1; i < k; i++)
            if (fabs(a[i * ld + j]) > fabs(a[best * ld + j])) best = i;
        e->pivot[j] = best;
        if (!(fabs(a[best * ld + j]) > SINGULAR)) {
            if (!ray || j + 1 < k) return false;
            a[j * ld + j] = negative ? -RAY : RAY;
        }
        if (best != j)
            for (size_t i = 0; i < k; i++) {
                const double other = a[j * ld + i];
                a[j * ld + i] = a[best * ld + i], a[best * ld + i] = other;
            }
        negative ^= (best != j) ^ (a[j * ld + j] < 0.0);
        const double inverse = 1.0 / a[j * ld + j];
        for (size_t i = j + 1; i < k; i++) {
            const double f = a[i * ld + j] *= inverse;
            if (f == 0.0) continue;
            for (size_t l = j + 1; l < k; l++) a[i * ld + l] -= f * a[j * ld + l];
        }
    }
    return true;
}

void solve_forces(const engine *e, double *y) {
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

/* Solve for the forces on all changed rows; false if that fails. */
static bool forces(engine *e, bool ray) {
    const size_t ld = padded(MOST_UNKNOWN);
    double *constant = e->right, *rate = e->right + ld, diagonal[MOST_UNKNOWN];
    e->unknown_count = 0;
    for (size_t i = 0; i < e->changed_count; i++) {
        change *one = e->changed + i;
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
        const change *row = e->changed + e->unknowns[i];
        for (size_t j = 0; j < e->unknown_count; j++)
            e->matrix[i * ld + j] = entry(e, row, e->changed + e->unknowns[j]);
        e->matrix[i * ld + i] += diagonal[i];
        for (size_t k = 0; k < e->changed_count; k++) {
            const change *known = e->changed + k;
            if (known->unknown >= 0 || !known->x) continue;
            const double mine = entry(e, row, known);
            constant[i] -= mine * known->y[0], rate[i] -= mine * known->y[1];
        }
    }
    if (!e->unknown_count) return true;
    if (!factor_system(e, diagonal, ray)) return false;
    solve_forces(e, constant), solve_forces(e, rate);
    for (size_t i = 0; i < e->unknown_count; i++) {
        change *one = e->changed + e->unknowns[i];
        one->y[0] = constant[i], one->y[1] = rate[i];
    }
    return true;
}

/* xa = the positions at σ = 0 of rows that are not fixed, adding four responses at a time. */
static void positions(engine *e) {
    const double *x[4] = {0};
    double y[4] = {0};
    size_t found = 0;
    memcpy(e->xa + e->fixed, e->x + e->fixed, moving(e) * sizeof *e->xa);
    for (size_t k = 0; k <= e->changed_count; k++) {
        const bool last = k == e->changed_count;
        if (!last && e->changed[k].x && e->changed[k].y[0] != 0.0)
            x[found] = e->changed[k].x, y[found++] = e->changed[k].y[0];
        if (!found || (found < 4 && !last)) continue;
        for (size_t i = found; i < 4; i++) x[i] = x[0], y[i] = 0.0;
        const vec a = splat(y[0]), b = splat(y[1]), c = splat(y[2]), d = splat(y[3]);
        for (size_t i = e->fixed; i < e->m; i += LANES)
            store(e->xa + i, load(e->xa + i) + (a * load(x[0] + i) + b * load(x[1] + i)) +
                                 (c * load(x[2] + i) + d * load(x[3] + i)));
        found = 0;
    }
}

/* The position of a changed row (z, or u in E) as x[0] + σ x[1]. */
void position_of(const engine *e, const change *one, double x[2]) {
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
        const change *other = e->changed + k;
        if (!other->x) continue;
        const double mine = entry(e, one, other);
        x[0] += mine * other->y[0], x[1] += mine * other->y[1];
    }
    if (one->base == EQUAL) x[0] += e->stiff * one->y[0], x[1] += e->stiff * one->y[1] - one->pull;
}

static void add_candidate(engine *e, size_t *count, candidate one) {
    const bool beyond = one.margin[0] + e->sigma * one.margin[1] < -BEYOND * one.slack; /* violated through rounding */
    if (one.margin[0] < -one.slack && (beyond || one.margin[1] * e->sigma > SLOW * one.slack))
        e->candidates[(*count)++] = one;
}

static void changed_candidates(engine *e, size_t *count) {
    for (size_t i = 0; i < e->changed_count; i++) {
        const change *one = e->changed + i;
        double x[2], low, high;
        limits_of(e, one->row, one->now, &low, &high);
        if (one->stuck || (isinf(low) && isinf(high))) continue;
        const bool held = one->now == EQUAL;
        const double q = held ? 1.0 : e->q[one->row], t_shift = held ? 0.0 : one->t_shift;
        const double slack = held ? e->u_slack[one->row] : e->z_slack[one->row];
        const double low_shift = t_shift + q * (one->now == HIGH ? one->high_shift : one->low_shift);
        const double high_shift = t_shift + q * (one->now == LOW ? one->low_shift : one->high_shift);
        const bool inside = held || one->now == CURVED;
        position_of(e, one, x);
        if (!isinf(low)) {
            const candidate down = {one->row, inside ? LOW : e->q[one->row] > 0.0 ? CURVED : EQUAL,
                                    {x[0] - low, x[1] - low_shift}, slack};
            add_candidate(e, count, down);
        }
        if (!isinf(high)) {
            const candidate up = {one->row, inside ? HIGH : e->q[one->row] > 0.0 ? CURVED : EQUAL,
                                  {high - x[0], high_shift - x[1]}, slack};
            add_candidate(e, count, up);
        }
    }
}

/* Add a row in its base state whose position violates a limit at σ = 0. */
static void base_candidate(engine *e, size_t row, size_t *count) {
    if (e->index[row] >= 0) return;
    const bool held = e->state[row] == EQUAL, inside = held || e->state[row] == CURVED;
    const double slack = held ? e->u_slack[row] : e->z_slack[row];
    double rate = 0.0;
    for (size_t k = 0; k < e->changed_count; k++)
        if (e->changed[k].x) rate += e->changed[k].y[1] * e->changed[k].x[row];
    const bool down = e->xa[row] < e->x_low[row];
    const candidate one = {
        row, !inside ? (e->q[row] > 0.0 ? CURVED : EQUAL) : down ? LOW : HIGH,
        {down ? e->xa[row] - e->x_low[row] - slack : e->x_high[row] - slack - e->xa[row], down ? rate : -rate}, slack};
    add_candidate(e, count, one);
}

static void base_candidates(engine *e, size_t *count) {
    for (size_t i = e->fixed; i < e->m; i += PAD) {
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

/* The σ at which a row violates its limit by `slack`. */
static double when(const engine *e, const candidate *one, double slack) {
    return one->margin[1] > 0.0 ? smaller(-(one->margin[0] + slack) / one->margin[1], e->sigma) : e->sigma;
}

/* Harris's ratio test: of the rows that reach their limit before any row violates it by its slack, the fastest. */
static const candidate *next_event(const engine *e, size_t count, double *sigma) {
    double latest = 0.0, fastest = 0.0;
    const candidate *found = NULL;
    for (size_t i = 0; i < count; i++) latest = larger(latest, when(e, e->candidates + i, e->candidates[i].slack));
    for (size_t i = 0; i < count; i++) {
        const candidate *one = e->candidates + i;
        const double at = when(e, one, 0.0), speed = fabs(one->margin[1]) / one->slack;
        if (at >= latest && speed > fastest) fastest = speed, *sigma = at, found = one;
    }
    return found;
}

/* In a singular system a row of E depends on others: either that of the last event, which is returned to its earlier
   state, or rows that entered with the fold, which become IMPLIED. Returns whether such a row was found. */
static bool give_way(engine *e, const candidate *event, unsigned char before) {
    bool found = false;
    if (event) {
        change *one = changed_row(e, event->row);
        if (!one || one->now != EQUAL || one->stuck) return false;
        return one->now = before, one->own = one->stuck = true;
    }
    for (size_t i = 0; i < e->changed_count; i++) {
        change *one = e->changed + i;
        if (one->row >= e->rows && one->now == EQUAL) one->now = IMPLIED, found = true;
    }
    return found;
}

bool settled(engine *e) {
    size_t count = 0;
    if (!forces(e, false)) return false;
    positions(e);
    changed_candidates(e, &count), base_candidates(e, &count);
    return !count;
}

/* Follow the path from σ = 1 to 0; *events: changes of state. False if the path ends earlier. */
bool follow(engine *e, int64_t *events) {
    int zero_steps = 0;
    candidate event = {0};
    unsigned char before = ABSENT;
    bool ray = false;
    for (*events = 0; *events < MOST_EVENTS && !(e->stop && *e->stop); ++*events) {
        if (!forces(e, ray)) {
            const bool found = !ray && give_way(e, *events ? &event : NULL, before);
            if (!found && ray) return false;
            ray = !found;
            continue;
        }
        positions(e);
        size_t count = 0;
        changed_candidates(e, &count), base_candidates(e, &count);
        if (!count) return true;
        double at = 0.0;
        const candidate *next = next_event(e, count, &at);
        if (!next) return false;
        zero_steps = at < e->sigma * (1.0 - 1e-13) ? 0 : zero_steps + 1;
        if (zero_steps > MOST_ZERO_STEPS) return false;
        event = *next, e->sigma = at, ray = false;
        change *one = changed_row(e, event.row);
        if (!one) return false;
        before = one->now, one->now = event.to;
        if (!one->own && one->now == one->base) unchange(e, one);
    }
    return false;
}
