/* Folds one at a time: rows that leave and enter, the path, refinement, and the duality gap. See folds.h. */

#include "arena.h"
#include "folds.h"

enum { REFINEMENTS = 3, LEAST_RESPONSES = 4 * MOST_UNKNOWN };
static const size_t RESPONSE_BYTES = (size_t)64 << 20;
static const double EXACT = 1e-13; /* relative gap at which a fold is not refined further */
static const double EXACT_ENOUGH = 1e-12; /* relative gap up to which held-out losses count towards `bound` */
static const double NEAR = 1e-10;  /* |z - t|, relative to the largest z, at which a row enters as EQUAL */
static const double VIOLATION_PRICE = 10.0; /* price of a violated constraint, in units of the largest |u| */
static const double BREAKPOINT_WIDTH = 1e-13, ROUNDING = 16 * 2.220446049250313e-16; /* of z: of |z|, of the largest */

/* ------------------------------------------------------------------ memory */

static void lay_out(void *owner, arena *from) {
    engine *e = owner;
    const size_t m = e->m, ld = e->ld, all = e->all, k = padded(MOST_UNKNOWN);
    double **by_row[] = {&e->x, &e->x_low, &e->x_high, &e->multiplier, &e->xa, &e->wide};
    double **by_column[] = {&e->penalty, &e->w_scale, &e->w, &e->floor, &e->b, &e->c, &e->d, &e->f, &e->shift,
                            &e->pull, &e->residual, &e->fold_w};
    double **of_all[] = {&e->z_slack, &e->u_slack}, **of_fold[] = {&e->z, &e->u};
    double **squares[] = {&e->gram, &e->v, &e->qt, &e->tri};
    TAKE_EACH(from, by_row, m);
    TAKE_EACH(from, by_column, ld);
    TAKE_EACH(from, of_all, all);
    TAKE_EACH(from, of_fold, m + all - e->rows);
    TAKE_EACH(from, squares, ld * ld);
    e->vectors = TAKE(from, m * ld, double), e->columns = TAKE(from, m * e->r, double);
    e->by_row = TAKE(from, all * ld, double);
    e->gathered = TAKE(from, GATHERED_ROWS * ld, double), e->tile = TAKE(from, GATHERED_ROWS * PAD, double);
    e->state = TAKE(from, m, unsigned char), e->absent = TAKE(from, m, unsigned char);
    e->held = TAKE(from, all, size_t);
    e->place = TAKE(from, all, int), e->slot = TAKE(from, all, int), e->index = TAKE(from, all, int);
    e->wrong = TAKE(from, MOST_CHANGED, change), e->changed = TAKE(from, MOST_CHANGED, change);
    e->owner = TAKE(from, e->capacity, size_t);
    e->response_x = TAKE(from, e->capacity * m, double), e->response_w = TAKE(from, e->capacity * ld, double);
    e->matrix = TAKE(from, k * k, double), e->right = TAKE(from, 2 * k, double), e->scale = TAKE(from, k, double);
    e->pivot = TAKE(from, k, size_t), e->unknowns = TAKE(from, k, size_t);
    e->candidates = TAKE(from, m + 2 * MOST_CHANGED, candidate);
    e->shares = TAKE(from, (size_t)e->task->folds, share);
    e->known = TAKE(from, e->task->correct ? (size_t)e->task->folds * all : 0, unsigned char);
}

static void load_rows(engine *e) {
    for (size_t i = 0; i < e->all; i++) {
        memcpy(e->by_row + i * e->ld, e->task->a + i * e->r, e->r * sizeof(double));
        e->slot[i] = e->index[i] = e->place[i] = -1;
        const size_t first = i < e->fixed ? 0 : e->fixed, stride = i < e->fixed ? e->fixed : moving(e);
        if (i < e->rows)
            for (size_t j = 0; j < e->r; j++)
                e->columns[first * e->r + j * stride + i - first] = e->task->a[i * e->r + j];
    }
}

/* The number of first rows that are closed, or curved without bounds, in every setting; a multiple of PAD. */
static size_t fixed_rows(const core_fold_task *task) {
    const size_t all = (size_t)(task->rows + task->extra);
    for (size_t i = 0; i < (size_t)task->rows; i++)
        for (size_t s = 0; s < (size_t)task->settings; s++) {
            const double low = task->low[s * all + i], high = task->high[s * all + i];
            if (low < high && !(task->q[s * all + i] > 0.0 && isinf(low) && isinf(high))) return i / PAD * PAD;
        }
    return (size_t)task->rows / PAD * PAD;
}

static void load_setting(engine *e, size_t setting) {
    const core_fold_task *task = e->task;
    const size_t at = setting * e->all;
    e->q = task->q + at, e->t = task->t + at, e->low = task->low + at, e->high = task->high + at;
    memcpy(e->penalty, task->penalty + setting * e->r, e->r * sizeof *e->penalty);
    memcpy(e->w_scale, task->w_scale + setting * e->r, e->r * sizeof *e->w_scale);
    e->z_scale = task->z_scale[setting], e->u_scale = task->u_scale[setting], e->gap_scale = task->gap_scale[setting];
}

/* ------------------------------------------------------------------ a fold */

static bool leave(engine *e, size_t row) {
    change *one = changed_row(e, row);
    if (!one) return false;
    one->own = true, one->now = ABSENT;
    one->t_shift = one->low_shift = one->high_shift = 0.0, one->pull = one->u0;
    return true;
}

static bool appear(engine *e, size_t row) {
    change *one = changed_row(e, row);
    if (!one) return false;
    const double low = e->low[row], high = e->high[row], apart = one->z0 - e->t[row];
    double u = 0.0;
    one->own = true;
    if (!is_open(e, row)) {
        one->now = closed_state(e, row), u = low;
    } else if (e->q[row] > 0.0) {
        u = clipped(e, row, apart / e->q[row]);
        one->now = u == low ? LOW : u == high ? HIGH : CURVED;
    } else if (fabs(apart) <= NEAR * e->reach * e->task->unit[row] || isinf(apart < 0.0 ? low : high)) {
        one->now = EQUAL, one->t_shift = apart, u = clipped(e, row, 0.0);
    } else {
        one->now = apart < 0.0 ? LOW : HIGH, u = end_of(e, row, one->now);
    }
    one->pull = -u;
    return true;
}

/* Select the rows that leave and enter in a fold. */
static void take_fold(engine *e, size_t fold) {
    const core_fold_task *task = e->task;
    e->leave = task->leave + task->leave_from[fold], e->leave_end = task->leave + task->leave_from[fold + 1];
    e->enter = task->enter + task->enter_from[fold], e->enter_end = task->enter + task->enter_from[fold + 1];
}

/* Start an empty path at the base. */
static void clear_fold(engine *e) {
    if (e->capacity < e->all && e->slots + 2 * MOST_UNKNOWN > e->capacity) clear_responses(e);
    clear_path(e);
}

/* The start of a fold's path: the base with the rows that violate their states, and those that leave and enter. */
static bool begin_fold(engine *e) {
    clear_fold(e);
    for (size_t i = 0; i < e->wrong_count; i++) *changed_row(e, e->wrong[i].row) = e->wrong[i];
    for (const int64_t *row = e->leave; row < e->leave_end; row++)
        if (!leave(e, (size_t)*row)) return false;
    for (const int64_t *row = e->enter; row < e->enter_end; row++)
        if (!appear(e, (size_t)*row)) return false;
    return true;
}

/* Copy a fold's force to the last row. */
static void load_force(engine *e, size_t at) {
    memcpy(e->by_row + (e->all - 1) * e->ld, e->task->force + at * e->r, e->r * sizeof(double));
}

enum { STUCK = 16 }; /* flag added to a known state */

static unsigned char base_state(const engine *e, size_t row) { return row < e->rows ? e->state[row] : ABSENT; }

static void keep_states(const engine *e, unsigned char *known) {
    for (size_t i = 0; i < e->all; i++) known[i] = base_state(e, i);
    for (size_t k = 0; k < e->changed_count; k++) {
        const change *one = e->changed + k;
        known[one->row] = (unsigned char)(one->now | (one->stuck ? STUCK : 0));
    }
}

/* Solve a fold in the states of the previous round; false if they are no longer optimal. */
static bool resume(engine *e, const unsigned char *known) {
    clear_fold(e);
    for (size_t i = 0; i < e->all; i++) {
        if (known[i] == base_state(e, i)) continue;
        change *one = changed_row(e, i);
        if (!one) return false;
        one->own = true, one->now = known[i] & (STUCK - 1), one->stuck = known[i] & STUCK;
    }
    change *force = changed_row(e, e->all - 1);
    return force && (force->own = true, force->now = LOW, settled(e));
}

/* z of the fold's rows at fold_w, without fixed rows. */
static void values_of_fold(engine *e) {
    forward_moving(e, e->fold_w, e->z);
    for (const int64_t *row = e->enter; row < e->enter_end; row++)
        e->z[place_of(e, (size_t)*row)] = dot(row_of(e, (size_t)*row), e->fold_w, e->ld);
}

static double changed_dual(const engine *e, const change *one, double z) {
    if (one->now == CURVED) return clipped(e, one->row, (z - e->t[one->row]) / e->q[one->row]);
    if (one->now != EQUAL) return end_of(e, one->row, one->now);
    return clipped(e, one->row, one->base == EQUAL ? e->xa[one->row] : one->u0 - one->y[0]);
}

/* u of the fold's rows at the end of the path. */
static void duals_of_fold(engine *e) {
    for (size_t i = e->fixed; i < e->rows; i++) {
        const unsigned char state = e->state[i];
        e->u[i] = state == CURVED  ? clipped(e, i, (e->z[i] - e->t[i]) / e->q[i])
                  : state == EQUAL ? clipped(e, i, e->xa[i])
                                   : end_of(e, i, state);
    }
    for (const change *one = e->changed; one < e->changed + e->changed_count; one++) {
        const size_t at = place_of(e, one->row);
        if (at >= e->fixed) e->u[at] = changed_dual(e, one, e->z[at]);
    }
}

/* f(z) + f*(u) - z u of a row; a violated constraint costs `price` per unit. */
static double slack_of(const engine *e, size_t row, double touch, double price) {
    const double z = e->z[place_of(e, row)], u = e->u[place_of(e, row)], v = z - e->t[row], q = e->q[row];
    const double width = larger(BREAKPOINT_WIDTH * fabs(z), touch * e->task->unit[row]);
    const bool on_breakpoint = q == 0.0 && fabs(v) <= width; /* then the slack is at most |u v| */
    const double slope = on_breakpoint ? clipped(e, row, u + copysign(u, v)) : row_slope(v, q, e->low[row], e->high[row]);
    return row_slack(v, q, u, slope, price);
}

/* residual = P w + Aᵀu over the fold's rows; fixed rows have the u of their state. */
static void residual_of_fold(engine *e) {
    const size_t ld = e->ld;
    symmetric_product(e->gram, e->r, ld, e->fold_w, e->residual);
    for (size_t j = 0; j < ld; j++) e->residual[j] += e->pull[j] + e->penalty[j] * e->fold_w[j];
    adjoint_moving(e, e->u, e->residual);
    for (const int64_t *left = e->leave; left < e->leave_end; left++) {
        const double *a = row_of(e, (size_t)*left);
        if ((size_t)*left < e->fixed) axpy(-dual_of(e, (size_t)*left, dot(a, e->fold_w, ld)), a, e->residual, ld);
    }
    for (const int64_t *row = e->enter; row < e->enter_end; row++)
        axpy(e->u[place_of(e, (size_t)*row)], row_of(e, (size_t)*row), e->residual, ld);
}

/* The relative duality gap at (fold_w, u) over the fold's own rows, a sum of nonnegative parts; sets the residual. */
static double gap_of_fold(engine *e) {
    const double touch = ROUNDING * (e->fixed ? e->largest_z : largest(e->z, (size_t)e->task->values));
    double most = larger(e->u_scale, e->largest_u), total = 0.0;
    most = larger(most, largest(e->u + e->fixed, e->rows - e->fixed));
    for (const int64_t *row = e->enter; row < e->enter_end; row++)
        most = larger(most, fabs(e->u[place_of(e, (size_t)*row)]));
    const double price = VIOLATION_PRICE * most;
    for (size_t i = e->fixed; i < e->rows; i++)
        if (!e->absent[i]) total += slack_of(e, i, touch, price);
    for (const int64_t *row = e->enter; row < e->enter_end; row++) total += slack_of(e, (size_t)*row, touch, price);
    residual_of_fold(e);
    return (total + stationarity_cost(e->penalty, e->w_scale, e->r, e->fold_w, e->residual)) / e->gap_scale;
}

/* One step of iterative refinement for the final states. */
static void refine(engine *e) {
    double *shift = e->shift, *step = e->f, *multiplier = e->c, *y = e->right, *moved = e->wide;
    for (size_t j = 0; j < e->ld; j++) e->residual[j] = -e->residual[j];
    memset(shift, 0, e->ld * sizeof *shift);
    for (size_t k = 0; k < e->held_count; k++) {
        const size_t row = e->held[k];
        if (e->index[row] < 0 || e->changed[e->index[row]].now == EQUAL) shift[k] = e->t[row] - e->z[row];
    }
    memcpy(moved, shift, e->held_count * sizeof *shift);
    solve_base(e, e->residual, shift, step, multiplier);
    for (size_t i = 0; i < e->unknown_count; i++) {
        const change *one = e->changed + e->unknowns[i];
        y[i] = one->base == EQUAL ? -multiplier[e->place[one->row]] : -dot(row_of(e, one->row), step, e->ld);
        if (one->now == EQUAL) y[i] += e->t[one->row] - e->z[place_of(e, one->row)];
    }
    solve_forces(e, y);
    axpy(1.0, step, e->fold_w, e->ld);
    for (size_t k = 0; k < e->held_count; k++) e->xa[e->held[k]] += multiplier[k] + e->stiff * moved[k];
    for (size_t i = 0; i < e->unknown_count; i++) {
        change *one = e->changed + e->unknowns[i];
        one->y[0] += y[i];
        axpy(y[i], one->w, e->fold_w, e->ld);
        for (size_t k = 0; k < e->held_count; k++) e->xa[e->held[k]] += y[i] * one->x[e->held[k]];
    }
}

static void mark_absent(engine *e, bool absent) {
    for (const int64_t *row = e->leave; row < e->leave_end; row++) e->absent[*row] = absent;
}

/* w and u at the end of the path, refined as long as the gap decreases; returns their gap. */
static double prove(engine *e, double *w, double *u) {
    double best = INFINITY;
    memcpy(e->fold_w, e->w, e->ld * sizeof *e->fold_w);
    for (size_t k = 0; k < e->changed_count; k++)
        if (e->changed[k].x) axpy(e->changed[k].y[0], e->changed[k].w, e->fold_w, e->ld);
    mark_absent(e, true);
    for (int pass = 0; pass < REFINEMENTS && best > EXACT; pass++) {
        if (pass) refine(e);
        values_of_fold(e);
        duals_of_fold(e);
        const double gap = gap_of_fold(e);
        if (!(gap < best)) break;
        best = gap;
        memcpy(w, e->fold_w, e->r * sizeof *w);
        if (!u) continue;
        memcpy(u, e->u, e->rows * sizeof *u);
        for (const int64_t *row = e->enter; row < e->enter_end; row++) u[*row] = e->u[place_of(e, (size_t)*row)];
    }
    mark_absent(e, false);
    return best;
}

/* ------------------------------------------------------------------ early termination of a setting */

/* f(z) of a row of a nonnegative loss. */
static double loss_of(const engine *e, size_t row, double z) {
    const double v = z - e->t[row], q = e->q[row], u = row_slope(v, q, e->low[row], e->high[row]);
    return v == 0.0 ? 0.0 : u * v - 0.5 * q * u * u;
}

/* The sum of the losses at w of the rows that a fold holds out. */
static double held_out_losses(const engine *e, const double *w) {
    double total = 0.0;
    for (const int64_t *row = e->leave; row < e->leave_end; row++)
        if (e->task->scored[*row]) total += loss_of(e, (size_t)*row, dot(row_of(e, (size_t)*row), w, e->ld));
    return total;
}

/* Whether a fold only removes rows of the loss: their held-out losses are then at least those at the full fit. */
static bool drops_losses_only(const engine *e) {
    bool only = e->enter == e->enter_end;
    for (const int64_t *row = e->leave; row < e->leave_end; row++) only &= e->task->scored[*row] != 0;
    return only;
}

static int larger_first(const void *a, const void *b) {
    const share *one = a, *other = b;
    if (one->likely != other->likely) return one->likely > other->likely ? -1 : 1;
    return one->fold < other->fold ? -1 : 1;
}

/* Set the order in which the folds are solved, and return the lower bound of their held-out losses. With early
   termination (`race`) the folds of largest loss at the full fit come first, else the order is unchanged and the bound
   is 0. */
static double line_up(engine *e, bool race, bool exact) {
    const size_t folds = (size_t)e->task->folds;
    double total = 0.0;
    for (size_t k = 0; k < folds; k++) {
        take_fold(e, k);
        const double likely = race ? held_out_losses(e, e->w) : 0.0;
        const double least = race && exact && drops_losses_only(e) ? likely : 0.0;
        e->shares[k] = (share){.fold = k, .likely = likely, .least = least};
        total += least;
    }
    if (race) qsort(e->shares, folds, sizeof *e->shares, larger_first);
    return total;
}

/* ------------------------------------------------------------------ settings */

/* Solve the folds in rounds until Python has no further corrections. */
static int solve_rounds(engine *e, size_t setting) {
    const core_fold_task *task = e->task;
    const size_t folds = (size_t)task->folds, first = setting * folds;
    for (int round = 0;; round++) {
        for (size_t fold = 0; fold < folds; fold++) {
            const size_t at = first + fold;
            unsigned char *known = e->known + fold * e->all;
            if (e->stop && *e->stop) return CORE_STOPPED;
            if (round && !task->again[at]) continue;
            take_fold(e, fold), load_force(e, at);
            task->gap[at] = INFINITY;
            if (!(round && resume(e, known)) && !(begin_fold(e) && follow(e, task->events + at))) continue;
            task->gap[at] = prove(e, task->fold_w + at * e->r, NULL);
            keep_states(e, known);
        }
        const int64_t left = task->correct((int64_t)setting);
        if (left <= 0) return left ? CORE_STOPPED : CORE_DONE;
    }
}

static int solve_setting(engine *e, size_t setting) {
    const core_fold_task *task = e->task;
    load_setting(e, setting);
    task->wrong[setting] = make_base(e, setting);
    const size_t folds = (size_t)task->folds, first = setting * folds;
    for (size_t at = first; at < first + folds; at++) task->gap[at] = INFINITY, task->events[at] = 0;
    if (task->bound) task->bound[setting] = 0.0;
    if (e->stop && *e->stop) return CORE_STOPPED;
    if (task->wrong[setting] < 0) return CORE_DONE;
    if (task->correct) return solve_rounds(e, setting);
    const double limit = task->limit ? task->limit[setting] : INFINITY;
    double total = line_up(e, limit < INFINITY, task->wrong[setting] == 0);
    for (const share *one = e->shares; one < e->shares + folds && !(total > limit); one++) {
        const size_t at = first + one->fold;
        if (e->stop && *e->stop) return CORE_STOPPED;
        take_fold(e, one->fold);
        if (!begin_fold(e) || !follow(e, task->events + at)) continue;
        task->gap[at] = prove(e, task->fold_w + at * e->r, task->fold_u ? task->fold_u + at * e->all : NULL);
        if (limit == INFINITY || task->gap[at] > EXACT_ENOUGH) continue;
        memcpy(e->fold_w, task->fold_w + at * e->r, e->r * sizeof *e->fold_w);
        total += held_out_losses(e, e->fold_w) - one->least;
    }
    if (task->bound) task->bound[setting] = total;
    return CORE_DONE;
}

/* The gaps at the given fold_w and fold_u. */
static int price_setting(engine *e, size_t setting) {
    const core_fold_task *task = e->task;
    load_setting(e, setting);
    for (size_t fold = 0; fold < (size_t)task->folds; fold++) {
        const size_t at = setting * (size_t)task->folds + fold;
        const double *u = task->fold_u + at * e->all;
        take_fold(e, fold), mark_absent(e, true);
        memcpy(e->fold_w, task->fold_w + at * e->r, e->r * sizeof *e->fold_w);
        for (size_t i = 0; i < e->all; i++)
            e->u[place_of(e, i)] = i < e->rows && e->absent[i] ? 0.0 : clipped(e, i, u[i]);
        values_of_fold(e);
        task->gap[at] = gap_of_fold(e);
        mark_absent(e, false);
    }
    return CORE_DONE;
}

static int each_setting(const core_fold_task *task, int64_t first, int64_t last, stop_flag stop, size_t fixed,
                        int (*act)(engine *, size_t)) {
    engine whole = {.task = task, .stop = stop, .fixed = fixed}, *e = &whole;
    e->r = (size_t)task->rank, e->rows = (size_t)task->rows;
    e->ld = padded(e->r), e->m = padded(e->rows), e->all = e->rows + (size_t)task->extra;
    const size_t affordable = RESPONSE_BYTES / (sizeof(double) * (e->m + e->ld));
    e->capacity = affordable > LEAST_RESPONSES ? affordable : LEAST_RESPONSES;
    if (e->capacity > e->all) e->capacity = e->all;
    void *arrays = arena_open(lay_out, e, NULL);
    if (!arrays) return CORE_MEMORY;
    load_rows(e);
    int code = CORE_DONE;
    for (int64_t setting = first; setting < last && code == CORE_DONE; setting++) code = act(e, (size_t)setting);
    free(arrays);
    return code;
}

/* Solve the folds of the settings first ≤ s < last. */
int core_folds(const core_fold_task *task, int64_t first, int64_t last, stop_flag stop) {
    return each_setting(task, first, last, stop, fixed_rows(task), solve_setting);
}

int core_fold_gaps(const core_fold_task *task, int64_t first, int64_t last, stop_flag stop) {
    return each_setting(task, first, last, stop, 0, price_setting);
}
