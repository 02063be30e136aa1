/* Mehrotra's predictor-corrector on the box dual, one problem at a time.

   With multipliers s ≥ 0 of both bounds and the distances d_low = u - low and d_high = high - u,

       P w + Aᵀu = 0,     A w - t = q u + s_high - s_low,     s d = τ.

   Elimination of s and u of the bounded rows leaves an (r, r) system per step, (H₀ + Aᵀ W A) dw = …, W = 1/(q + Σ s/d),
   with H₀ from the rows without bounds. A step takes three passes over the blocks: residuals and H; the affine
   direction and the right-hand side of the corrector; the combined direction. (Mehrotra 1992; Gertz, Wright 2003.) */

#include "arena.h"
#include "polish.h"

static const double SAFE_CENTERING = 0.2;   /* centering parameter of a step after one without progress */
static const double MOST_RAISED = 3.0; /* largest factor by which a step may raise complementarity */
static const double BOUNDARY_SHARE = 0.999; /* fraction of the step to the boundary */
static const double POLISH_GAP_OF_BOXES = 1e-2; /* relative gap at which polishing is first tried if all bounded rows
                                                   have two bounds and w is unique (every column is penalised); else
                                                   the analytic centre of several w would be lost */
static const double POLISH_GAP_OF_CONSTRAINTS = 1e-7; /* … and otherwise */
static const double POLISH_AGAIN = 1e-5; /* factor on the relative gap at which polishing is tried again */
static const double NEGLIGIBLE_GAP = 1e-16; /* gap, relative to the smallest gap_scale, at which the scale is moot */
static const double GAP_SCALE_FROM = 1e-6;  /* gap, relative to the dual objective, below which gap_scale is computed */
static const double LARGEST_WEIGHT = 1e14;  /* bound of W, relative to the rest of H */
static const double GAP_OF_LEAST_SQUARES = 4.0, GAP_OF_WARM_START = 3e-2; /* relative gaps of starting points */
static const double FAR_ROUNDING = 1e4; /* |t|, in typical targets, above which a row's rounding is subtracted */
static const double FAR_TARGET = 10.0;  /* |t|, in typical targets, above which least squares down-weights rows */
static const double NEAR_BOUND = 1e-6;  /* relative distance of u to a bound below which u is computed from d */
static const double LEAST_DISTANCE = 1e-14; /* smallest relative distance of a starting u from a bound */
static const double SLACK_SHARE = 0.3; /* initial s of a row between far bounds, relative to the mean residual */
static const double CONSTRAINT_DISTANCE = 0.3; /* smallest initial distance from a constraint, in typical z */
static const double DUAL_REACH = 10.0; /* upper estimate of the loss's duals, in typical duals */
enum { STALLED_STEPS = 8, POLISH_ROUNDS = 8, POLISH_PATIENCE = 3, CENTERING_STEPS = 3 };

typedef struct {
    double tol;
    int64_t max_iterations;
    double end; /* deadline, seconds since the epoch (C's TIME_UTC); infinite: none */
    const double *start_w, *start_u; /* starting points (b, r), (b, M), or NULL; polished first if that may suffice */
    const double *aim; /* (b), or NULL: only polish the starting point until its gap is well below aim */
} core_options;

typedef struct {
    double *w, *u, *interior; /* (b, r), (b, M), (b, r) */
    double *gap;              /* (b) the solver's duality gap */
    int64_t *iterations;      /* (b) */
    int64_t *solved;          /* (b) 1 if the gap is within the tolerance */
} core_answer;

/* The state of the interior point method; row arrays are padded. Polishing reuses arrays that each step overwrites. */
typedef struct {
    table rows;
    polish_space space;
    double *u, *s_low, *s_high, *d_low, *d_high;
    double *k, *weight, *z, *du, *ds_low, *ds_high;
    double *w, *right, *residual, *direction, *center, *second;
    double complementarity, gap, scale;
    double least_squares_weight, target, correction, length, least_total, exact_share; /* arguments of passes */
    newton_system system;
    point best, spare;
    void *arrays;
} solver;

static void lay_out(void *owner, arena *from) {
    solver *own = owner;
    const size_t ld = own->rows.ld;
    double **by_row[] = {
        &own->u, &own->s_low, &own->s_high, &own->d_low, &own->d_high, &own->k, &own->weight, &own->z, &own->du,
        &own->ds_low, &own->ds_high, &own->best.u, &own->spare.u, &own->space.u};
    double **by_column[] = {
        &own->w, &own->right, &own->residual, &own->direction, &own->center, &own->second, &own->best.w, &own->spare.w,
        &own->space.w, &own->space.direction, &own->space.gradient, &own->space.base, &own->system.floor};
    TAKE_EACH(from, by_row, own->rows.size);
    TAKE_EACH(from, by_column, ld);
    own->system.h = TAKE(from, ld * ld, double), own->space.system.h = TAKE(from, ld * ld, double);
}

static int solver_open(solver *own, const core_form *form, core_team *team, stop_flag stop, double end) {
    *own = (solver){0};
    if (table_open(&own->rows, form, team, stop, end)) return CORE_MEMORY;
    own->arrays = arena_open(lay_out, own, form->give);
    if (!own->arrays) {
        table_close(&own->rows);
        return CORE_MEMORY;
    }
    own->system.r = own->rows.r, own->system.ld = own->rows.ld;
    own->space.rows = &own->rows;
    own->space.system = (newton_system){own->space.system.h, own->system.floor, own->rows.r, own->rows.ld};
    own->space.z = own->z, own->space.ahead = own->du, own->space.center = own->ds_low;
    own->space.epsilon = own->ds_high;
    return CORE_DONE;
}

static void solver_close(solver *own) {
    if (!own->rows.form->give) free(own->arrays);
    table_close(&own->rows);
}

/* Whether w = 0, u = 0 is optimal. */
static bool perfect_at_zero(const table *rows) {
    for (size_t i = 0; i < rows->size; i++) {
        if (smaller(larger(0.0, rows->low[i]), rows->high[i]) != 0.0) return false;
        if (is_open(rows, i) && row_slope(-rows->t[i], rows->q[i], rows->low[i], rows->high[i]) != 0.0) return false;
    }
    return true;
}

/* ---- starting point ---- */

static void least_squares_block(void *data, row_group *group, row_block *block) {
    const solver *own = data;
    const table *rows = &own->rows;
    const double far = FAR_TARGET * rows->z_scale;
    double weight[BLOCK_ROWS], pull[BLOCK_ROWS];
    if (block->from >= (size_t)(rows->form->loss_rows * rows->form->loss_functions)) return;
    EACH_ROW(block, i) {
        const double near = smaller(1.0, far / larger(fabs(rows->t[i]), far));
        weight[i - block->at] = is_open(rows, i) ? own->least_squares_weight * near : 0.0;
        pull[i - block->at] = weight[i - block->at] * rows->t[i];
    }
    const double *a = block_matrix(rows, block, group);
    gram(a, block->size, rows->ld, weight, group->h, group->scratch);
    add_rows(pull, a, block->size, rows->ld, group->one, rows->ld);
}

/* w = ridge regression on the loss's targets; far targets are down-weighted, so that none has more influence than one
   at FAR_TARGET. */
static void least_squares(solver *own) {
    table *rows = &own->rows;
    own->least_squares_weight = rows->u_scale / rows->z_scale;
    memcpy(own->system.h, rows->h0, rows->ld * rows->ld * sizeof(double));
    for (size_t j = 0; j < rows->r; j++) own->w[j] = -rows->b0[j];
    table_pass(rows, least_squares_block, own, own->system.h, own->w, NULL);
    factor_system(&own->system, rows->p, NULL);
    solve_system(&own->system, own->w);
}

/* A dual strictly inside its bounds near the slope at w = 0, at most of size `reach` from a single bound. */
static double dual_inside(const table *rows, size_t i, double reach) {
    const double low = rows->low[i], high = rows->high[i];
    const double slope = row_slope(-rows->t[i], rows->q[i], low, high);
    if (has_low(rows, i) && has_high(rows, i)) {
        const double inside = 0.1 * (high - low);
        return smaller(larger(slope, low + inside), high - inside);
    }
    const double sign = has_high(rows, i) ? 1.0 : -1.0, inner = (sign > 0 ? high : low) - sign * reach;
    return isfinite(slope) && sign * (inner - slope) >= 0.0 ? slope : inner;
}

/* A row with one bound: s d = τ, with s at least CONSTRAINT_DISTANCE units; if z violates the constraint, a primal
   residual remains. */
static void center_constraint(solver *own, size_t i, double target, double unit) {
    const table *rows = &own->rows;
    const bool high = has_high(rows, i);
    const double sign = high ? 1.0 : -1.0, bound = high ? rows->high[i] : rows->low[i];
    const double v = sign * (own->z[i] - rows->t[i] - rows->q[i] * bound);
    const double s = larger(0.5 * (v + sqrt(v * v + 4.0 * rows->q[i] * target)), CONSTRAINT_DISTANCE * unit);
    *(high ? own->s_high + i : own->s_low + i) = s;
    *(high ? own->d_high + i : own->d_low + i) = target / s;
    own->u[i] = bound - sign * target / s;
}

/* A row with two bounds: u solves v = q u + τ/(high - u) - τ/(u - low) up to rounding; s = τ/d. */
static void center_box(solver *own, size_t i, double target) {
    const table *rows = &own->rows;
    const double q = rows->q[i], middle = 0.5 * (rows->high[i] + rows->low[i]), half = 0.5 * (rows->high[i] - rows->low[i]);
    const double v = own->z[i] - rows->t[i], reach = v - q * middle, pull = target / half, most = 1.0 - LEAST_DISTANCE;
    double t = reach / (pull + q * half + sqrt(pull * pull + reach * reach)); /* u = middle + half t */
    t = smaller(larger(t, -most), most);
    for (int step = 0; step < CENTERING_STEPS; step++) {
        const double room = (1.0 - t) * (1.0 + t), slope = q * half + 2.0 * pull * (1.0 + t * t) / (room * room);
        const double next = t - (q * half * t + 2.0 * pull * t / room - reach) / slope;
        t = smaller(larger(next, 0.5 * (t - 1.0)), 0.5 * (t + 1.0));
    }
    t = smaller(larger(t, -most), most);
    own->u[i] = middle + half * t;
    const double s_high = pull / (1.0 - t), s_low = pull / (1.0 + t), excess = v - q * own->u[i] - s_high + s_low;
    own->s_high[i] = s_high + larger(excess, 0.0), own->s_low[i] = s_low + larger(-excess, 0.0);
    own->d_high[i] = half * (1.0 - t), own->d_low[i] = half * (1.0 + t);
}

/* A row whose bounds exceed all plausible duals of the loss: u well inside, and s that covers the residual. */
static void start_inside(solver *own, size_t i, double reach, double least) {
    const table *rows = &own->rows;
    const double inside = 0.1 * smaller(rows->high[i] - rows->low[i], reach);
    const double u = smaller(larger(0.0, rows->low[i] + inside), rows->high[i] - inside);
    const double residual = own->z[i] - rows->t[i] - rows->q[i] * u;
    own->u[i] = u;
    own->s_high[i] = larger(residual, 0.0) + least, own->s_low[i] = larger(-residual, 0.0) + least;
    own->d_high[i] = rows->high[i] - u, own->d_low[i] = u - rows->low[i];
}

/* The mean |residual| of a block's rows with far bounds at the u of start_inside; negative if there are none. */
static double mean_far_residual(const solver *own, const row_block *block, double ratio_reach) {
    const table *rows = &own->rows;
    double total = 0.0;
    size_t count = 0;
    for (size_t i = block->at; i < block->at + block->rows; i++) {
        const double reach = ratio_reach / rows->length[i], wide = rows->high[i] - rows->low[i];
        if (!has_low(rows, i) || !has_high(rows, i) || 0.5 * wide <= reach) continue;
        const double inside = 0.1 * smaller(wide, reach), u = smaller(larger(0.0, rows->low[i] + inside), rows->high[i] - inside);
        total += fabs(own->z[i] - rows->t[i] - rows->q[i] * u), count++;
    }
    return count ? total / (double)count : -1.0;
}

/* Set every row to its point on the central path for τ = target. */
static void center_block(void *data, row_group *group, row_block *block) {
    solver *own = data;
    const table *rows = &own->rows;
    const double unit_of_length = rows->z_scale / rows->form->loss_length;
    const double ratio_reach = DUAL_REACH * rows->u_scale * rows->form->loss_length;
    const double far = mean_far_residual(own, block, ratio_reach);
    EACH_ROW(block, i) {
        const double unit = unit_of_length * rows->length[i], reach = ratio_reach / rows->length[i];
        own->s_low[i] = own->s_high[i] = 0.0, own->d_low[i] = own->d_high[i] = 1.0, own->u[i] = 0.0;
        own->du[i] = own->ds_low[i] = own->ds_high[i] = 0.0;
        if (!is_open(rows, i)) own->u[i] = rows->low[i];
        else if (has_low(rows, i) && has_high(rows, i)) {
            if (far >= 0.0 && 0.5 * (rows->high[i] - rows->low[i]) > reach)
                start_inside(own, i, reach, SLACK_SHARE * larger(far, unit));
            else center_box(own, i, own->target);
        } else if (has_low(rows, i) || has_high(rows, i)) center_constraint(own, i, own->target, unit);
    }
}

/* The rows' contribution to the dual objective at an initial estimate of u. */
static void begin_block(void *data, row_group *group, row_block *block) {
    const solver *own = data;
    const table *rows = &own->rows;
    const double ratio_reach = DUAL_REACH * rows->u_scale * rows->form->loss_length;
    EACH_ROW(block, i) {
        if (!is_open(rows, i)) continue;
        double u = 0.0;
        if (rows->two_sided) u = row_slope(own->z[i] - rows->t[i], rows->q[i], rows->low[i], rows->high[i]);
        else if (has_low(rows, i) || has_high(rows, i)) u = dual_inside(rows, i, ratio_reach / rows->length[i]);
        group->sums[0] += (0.5 * rows->q[i] * u + rows->t[i]) * u;
    }
}

/* A central starting point at an initial w: the warm start if all bounded rows have two bounds, else least squares. */
static void begin(solver *own, const double *warm) {
    table *rows = &own->rows;
    const bool from_warm = warm && rows->two_sided;
    double largest = 0.0, far = 0.0;
    for (size_t j = 0; j < rows->r; j++) largest = larger(largest, rows->p[j]);
    for (size_t i = 0; i < rows->size; i++) far = larger(far, fabs(rows->t[i]));
    if (from_warm) memcpy(own->w, warm, rows->r * sizeof(double));
    else least_squares(own);
    table_forward(rows, own->w, own->z, true);
    largest += 1e-6 * (double)rows->form->data_rows * rows->u_scale / rows->z_scale;
    own->least_total = 1.0 / (LARGEST_WEIGHT * largest);
    own->exact_share = far > FAR_ROUNDING * rows->z_scale ? 8 * 0x1p-52 : 0.0;
    const double rest = table_pass(rows, begin_block, own, NULL, NULL, NULL)->sums[0];
    const double dual = fabs(quadratic_pull(rows, own->w, own->residual) - rows->c0 + rest);
    const double size = larger(dual, 0.1 * rows->z_scale * rows->u_scale * (double)rows->bounds);
    own->target = (from_warm ? GAP_OF_WARM_START : GAP_OF_LEAST_SQUARES) * size / (double)rows->bounds;
    table_pass(rows, center_block, own, NULL, NULL, NULL);
    own->length = 0.0;
}

/* ---- one step ---- */

/* Masks of the open rows, and of those with an upper and with a lower bound. */
typedef struct {
    mask open, high, low;
} row_masks;

static inline row_masks masks_at(const table *rows, size_t i) {
    const vec low = load(rows->low + i), high = load(rows->high + i);
    const mask open = (mask)(low < high);
    return (row_masks){open, open & (mask)(high < splat(INFINITY)), open & (mask)(low > splat(-INFINITY))};
}

static inline vec where(mask there, vec x) { return (vec)(there & (mask)x); }

/* Take a step of own->length; residuals and weights at the new point. */
static void evaluate_block(void *data, row_group *group, row_block *block) {
    solver *own = data;
    const table *rows = &own->rows;
    const vec length = splat(own->length), zero = splat(0.0);
    vec complementarity = zero, residual_cost = zero, dual = zero;
    const double *a = block_matrix(rows, block, group);
    double pull[BLOCK_ROWS];
    dots(a, block->size, rows->ld, own->w, own->z + block->at, rows->ld);
    EACH_VECTOR(block, i) {
        const row_masks is = masks_at(rows, i);
        const vec q = load(rows->q + i), t = load(rows->t + i), unit = load(rows->length + i);
        const vec du = length * load(own->du + i), u = load(own->u + i) + du, qu = q * u;
        const vec s_high = load(own->s_high + i) + length * load(own->ds_high + i);
        const vec s_low = load(own->s_low + i) + length * load(own->ds_low + i);
        const vec d_high = load(own->d_high + i) - where(is.high, du);
        const vec d_low = load(own->d_low + i) + where(is.low, du);
        const vec k = qu + t - load(own->z + i), total = q + s_high / d_high + s_low / d_low;
        const vec rest = absolute(k + s_high - s_low) - splat(own->exact_share) * absolute(t);
        const vec weight = where(is.open, 1.0 / larger_of(total, splat(own->least_total) * unit * unit));
        store(own->u + i, u), store(own->s_high + i, s_high), store(own->s_low + i, s_low);
        store(own->d_high + i, d_high), store(own->d_low + i, d_low), store(own->k + i, k);
        store(own->weight + i, weight), store(pull + (i - block->at), weight * k);
        complementarity += s_high * d_high + s_low * d_low;
        residual_cost += where(is.open, larger_of(rest, zero) * absolute(u));
        dual += (where(is.open, 0.5 * qu) + t) * u;
    }
    gram(a, block->size, rows->ld, own->weight + block->at, group->h, group->scratch);
    add_rows(own->u + block->at, a, block->size, rows->ld, group->one, rows->ld);
    add_rows(pull, a, block->size, rows->ld, group->two, rows->ld);
    group->sums[0] += sum_of(complementarity), group->sums[1] += sum_of(residual_cost), group->sums[2] += sum_of(dual);
}

/* Take the step; residuals, H, the affine right-hand side, and the gap from complementarity and residuals. Returns the
   absolute value of the dual objective. */
static double evaluate(solver *own) {
    table *rows = &own->rows;
    const double energy = quadratic_pull(rows, own->w, own->residual);
    memcpy(own->system.h, rows->h0, rows->ld * rows->ld * sizeof(double));
    memset(own->right, 0, rows->ld * sizeof(double));
    const double *sums = table_pass(rows, evaluate_block, own, own->system.h, own->residual, own->right)->sums;
    own->complementarity = sums[0];
    own->gap = sums[0] + sums[1] + stationarity_cost(rows->p, rows->w_scale, rows->r, own->w, own->residual);
    return fabs(energy - rows->c0 + sums[2]);
}

/* The scale of the gap at the end: gap_scale, but at most the dual objective. */
static double final_scale(solver *own, const double *w, double gap, double dual) {
    table *rows = &own->rows;
    const bool known = w == own->w && !rows->curved; /* evaluate() has computed z of all rows */
    if (!known && !rows->form->given_gap_scale) table_forward(rows, w, own->z, false);
    return smaller(dual, gap_scale(rows, w, own->z, gap));
}

/* The scale of the gap during the iteration: the dual objective as long as the gap is large. */
static double scale_of(solver *own, double dual) {
    const core_form *form = own->rows.form;
    if (own->gap > GAP_SCALE_FROM * dual) return dual;
    if (!form->given_gap_scale && own->gap <= NEGLIGIBLE_GAP * form->least[own->rows.problem]) return dual;
    return final_scale(own, own->w, own->gap, dual);
}

/* The affine direction; the largest relative decrease of an s or d; Σ ds dd for the corrector, and AᵀW times its
   centering and second-order terms. */
static void affine_block(void *data, row_group *group, row_block *block) {
    solver *own = data;
    const table *rows = &own->rows;
    const vec zero = splat(0.0);
    vec steepest = zero, cross = zero;
    const double *a = block_matrix(rows, block, group);
    double center[BLOCK_ROWS], second[BLOCK_ROWS];
    dots(a, block->size, rows->ld, own->direction, own->du + block->at, rows->ld);
    EACH_VECTOR(block, i) {
        const row_masks is = masks_at(rows, i);
        const vec weight = load(own->weight + i), du = weight * (load(own->du + i) - load(own->k + i));
        const vec to_high = where(is.high, 1.0 / load(own->d_high + i));
        const vec to_low = where(is.low, 1.0 / load(own->d_low + i));
        const vec s_high = load(own->s_high + i), s_low = load(own->s_low + i);
        const vec up = du * to_high, down = -du * to_low;
        const vec high = du * s_high * (1.0 - up), low = -du * s_low * (1.0 - down);
        const vec top = larger_of(up, where(is.high, 1.0 - up)); /* relative decreases of d and s add up to 1 */
        const vec bottom = larger_of(down, where(is.low, 1.0 - down));
        store(own->du + i, du);
        cross += high + low;
        steepest = larger_of(steepest, larger_of(top, bottom));
        store(center + (i - block->at), weight * (to_high - to_low));
        store(second + (i - block->at), weight * (low * to_low - high * to_high));
    }
    add_rows(center, a, block->size, rows->ld, group->one, rows->ld);
    add_rows(second, a, block->size, rows->ld, group->two, rows->ld);
    group->largest = larger(group->largest, largest_of(steepest)), group->sums[0] += sum_of(cross);
}

/* The combined direction, and its largest relative decrease of an s or d. */
static void combined_block(void *data, row_group *group, row_block *block) {
    solver *own = data;
    const table *rows = &own->rows;
    const vec target = splat(own->target), correction = splat(own->correction), zero = splat(0.0);
    vec steepest = zero;
    double z[BLOCK_ROWS];
    dots(block_matrix(rows, block, group), block->size, rows->ld, own->direction, z, rows->ld);
    EACH_VECTOR(block, i) {
        const row_masks is = masks_at(rows, i);
        const vec before = load(own->du + i), s_high = load(own->s_high + i), s_low = load(own->s_low + i);
        const vec to_high = where(is.high, 1.0 / load(own->d_high + i));
        const vec to_low = where(is.low, 1.0 / load(own->d_low + i));
        const vec ratio_high = s_high * to_high, ratio_low = s_low * to_low;
        const vec aim_high = (target - correction * before * (s_high - ratio_high * before)) * to_high;
        const vec aim_low = (target + correction * before * (s_low + ratio_low * before)) * to_low;
        const vec du = load(own->weight + i) * (load(z + (i - block->at)) - load(own->k + i) - aim_high + aim_low);
        const vec ds_high = aim_high - s_high + ratio_high * du, ds_low = aim_low - s_low - ratio_low * du;
        store(own->du + i, du), store(own->ds_high + i, ds_high), store(own->ds_low + i, ds_low);
        steepest = larger_of(steepest, larger_of(du * to_high, -du * to_low));
        steepest = larger_of(steepest, where(is.high, -ds_high / s_high));
        steepest = larger_of(steepest, where(is.low, -ds_low / s_low));
    }
    group->largest = larger(group->largest, largest_of(steepest));
}

/* Predictor, centering parameter, corrector, and step length. If the last step made no progress (`slow`), a
   well-centered step without correction breaks the cycle that the corrector can cause. */
static void step(solver *own, bool slow) {
    table *rows = &own->rows;
    const size_t r = rows->r;
    factor_system(&own->system, rows->p, NULL);
    for (size_t j = 0; j < r; j++) own->direction[j] = own->right[j] - own->residual[j];
    solve_system(&own->system, own->direction);
    own->target = 0.0, own->correction = slow ? 0.0 : 1.0;
    if (rows->bounds) {
        memset(own->center, 0, rows->ld * sizeof(double)), memset(own->second, 0, rows->ld * sizeof(double));
        const row_group *found = table_pass(rows, affine_block, own, NULL, own->center, own->second);
        const double length = 1.0 / larger(found->largest, 1.0), cross = found->sums[0];
        const double after = larger((1.0 - length) * own->complementarity + length * length * cross, 0.0);
        const double ratio = after / larger(own->complementarity, 1e-300);
        const double infeasibility = larger(own->gap - own->complementarity, 0.0);
        /* keep complementarity from decreasing much faster than the residuals; raised too fast, it shortens steps */
        const bool ahead = infeasibility > 2.0 * own->complementarity && own->gap < own->scale;
        const double share = slow ? SAFE_CENTERING : ratio * ratio * ratio;
        const double raised = smaller(SAFE_CENTERING * infeasibility, MOST_RAISED * own->complementarity);
        own->target = (ahead ? raised : share * own->complementarity) / (double)rows->bounds;
        for (size_t j = 0; j < r; j++)
            own->direction[j] = own->right[j] - own->residual[j] + own->target * own->center[j] + own->correction * own->second[j];
        solve_system(&own->system, own->direction);
    }
    const double steepest = table_pass(rows, combined_block, own, NULL, NULL, NULL)->largest;
    own->length = smaller(1.0, BOUNDARY_SHARE / larger(steepest, 1e-300));
    axpy(own->length, own->direction, own->w, rows->ld);
}

/* ---- one problem ---- */

/* The current point; its gap is NAN if there are constraints, since polishing counts violations differently. Near a
   bound u is computed from d, which has more significant digits. */
static void take_point(solver *own, point *out) {
    const table *rows = &own->rows;
    memcpy(out->w, own->w, rows->ld * sizeof(double));
    memset(out->u, 0, rows->size * sizeof(double));
    EACH_BOUNDED_BLOCK(rows, block) EACH_ROW(block, i) {
        double u = is_open(rows, i) ? own->u[i] : rows->low[i];
        if (has_high(rows, i) && own->d_high[i] <= NEAR_BOUND * fabs(rows->high[i])) u = rows->high[i] - own->d_high[i];
        if (has_low(rows, i) && own->d_low[i] <= NEAR_BOUND * fabs(rows->low[i])) u = rows->low[i] + own->d_low[i];
        out->u[i] = u;
    }
    out->gap = rows->two_sided ? own->gap : NAN;
}

static void keep_better(solver *own, const point *found, double *interior) {
    if (found->gap > own->best.gap) return;
    copy_point(&own->rows, found, &own->best);
    memcpy(interior, own->w, own->rows.r * sizeof(double));
}

/* Polish the spare point and keep it if it is better; returns whether its gap is within tolerance by its own scale. */
static bool polish_spare(solver *own, double scale, double half_tol, double dual, double *interior) {
    if (own->rows.bounds) polish(&own->space, &own->spare, half_tol * scale, POLISH_ROUNDS, POLISH_PATIENCE);
    keep_better(own, &own->spare, interior);
    return own->spare.gap <= half_tol * final_scale(own, own->spare.w, own->spare.gap, dual);
}

/* The given starting point, and z there; without given duals u = f'(z). */
static void read_start(solver *own, const core_options *options, point *out) {
    table *rows = &own->rows;
    const size_t r = rows->r, problem = rows->problem;
    memcpy(out->w, options->start_w + problem * r, r * sizeof(double));
    table_forward(rows, out->w, own->z, false);
    out->gap = NAN;
    for (const row_block *block = rows->block; block < rows->block + rows->blocks; block++)
        for (size_t k = 0; k < block->size; k++) {
            const size_t i = block->at + k;
            if (k >= block->rows) out->u[i] = 0.0;
            else if (options->start_u) out->u[i] = options->start_u[problem * rows->rows + block->from + k];
            else out->u[i] = row_slope(own->z[i] - rows->t[i], rows->q[i], rows->low[i], rows->high[i]);
        }
}

/* Polish the warm start; returns whether that suffices. */
static bool solved_by_start(solver *own, const core_options *options, double *interior) {
    read_start(own, options, &own->spare);
    memcpy(own->w, own->spare.w, own->rows.ld * sizeof(double));
    return polish_spare(own, gap_scale(&own->rows, own->w, own->z, 0.0), 0.5 * options->tol, INFINITY, interior);
}

/* Iterate until the gap is within tolerance, with polishing; returns the number of steps. */
static int64_t iterate(solver *own, const core_options *options, double *interior, bool *solved) {
    double best = INFINITY;
    double next_polish = own->rows.two_sided && own->rows.penalized ? POLISH_GAP_OF_BOXES : POLISH_GAP_OF_CONSTRAINTS;
    bool near = false; /* whether the best gap is near the tolerance */
    int stalled = 0;
    *solved = false;
    for (int64_t iteration = 0;; iteration++) {
        const double dual = larger(evaluate(own), 1e-300);
        own->scale = scale_of(own, dual);
        const bool better = own->gap < best || iteration == 0;
        if (better) best = own->gap, near = own->gap <= 1e-4 * own->scale && own->gap <= GAP_SCALE_FROM * dual;
        stalled = better ? 0 : stalled + 1;
        const double relative = own->gap / own->scale;
        const bool lost = !isfinite(relative) || (own->gap > 1e3 * best && near) ||
                          (stalled >= STALLED_STEPS && best <= POLISH_GAP_OF_CONSTRAINTS * own->scale);
        const bool good = relative <= 0.5 * options->tol; /* half, since the certificate computes the gap differently */
        const bool last = iteration >= options->max_iterations || table_stopped(&own->rows);
        const bool try_now = better && relative <= next_polish && own->rows.bounds;
        if ((try_now || good || last || lost) && (isfinite(relative) || last)) {
            const double scale = final_scale(own, own->w, own->gap, dual);
            next_polish = POLISH_AGAIN * relative;
            take_point(own, &own->spare);
            /* constraints must hold to rounding: if polishing does not achieve that, a few more steps do */
            const bool enough = own->rows.two_sided || last || lost || !better;
            *solved = polish_spare(own, scale, 0.5 * options->tol, dual, interior) || (good && enough);
        } else if (better && relative <= POLISH_GAP_OF_CONSTRAINTS && own->gap < own->best.gap) {
            take_point(own, &own->spare);
            if (isnan(own->spare.gap)) own->spare.gap = point_gap(&own->space, &own->spare);
            keep_better(own, &own->spare, interior);
        }
        if (*solved || last || lost) return iteration;
        step(own, !better);
    }
}

/* The best duals in the order of the table, (b, M); for blocks without bounds u = f'(z) at the best w. */
static void write_duals(solver *own, size_t problem, double *out) {
    table *rows = &own->rows;
    table_forward(rows, own->best.w, own->z, false);
    for (size_t b = 0; b < rows->blocks; b++) {
        const row_block *block = rows->block + b;
        double *u = out + problem * rows->rows + block->from;
        for (size_t k = 0; k < block->rows; k++) {
            const size_t i = block->at + k;
            const double free = is_open(rows, i) ? (own->z[i] - rows->t[i]) / rows->q[i] : rows->low[i];
            u[k] = block->bounded ? own->best.u[i] : free;
        }
    }
}

static void solve_problem(solver *own, size_t problem, const core_options *options, core_answer *answer) {
    table *rows = &own->rows;
    const size_t r = rows->r;
    double *interior = answer->interior + problem * r;
    bool solved = false;
    table_load(rows, problem);
    memset(own->best.w, 0, rows->ld * sizeof(double));
    memset(own->best.u, 0, rows->size * sizeof(double));
    memset(own->w, 0, rows->ld * sizeof(double));
    memset(interior, 0, r * sizeof(double));
    own->best.gap = INFINITY;
    answer->iterations[problem] = 0;
    if (options->aim) {
        const int rounds = (int)options->max_iterations;
        read_start(own, options, &own->best);
        polish(&own->space, &own->best, options->aim[problem], rounds, rounds);
    } else if (perfect_at_zero(rows)) own->best.gap = 0.0, solved = true;
    else if (!(options->start_w && (options->start_u || rows->two_sided) &&
               (solved = solved_by_start(own, options, interior)))) {
        if (rows->bounds) begin(own, options->start_w ? options->start_w + problem * r : NULL);
        answer->iterations[problem] = iterate(own, options, interior, &solved);
    }
    answer->solved[problem] = solved;
    answer->gap[problem] = own->best.gap;
    memcpy(answer->w + problem * r, own->best.w, r * sizeof(double));
    write_duals(own, problem, answer->u);
}

/* Solve problems low ≤ problem < high of the batch, with the threads of `team` (or NULL) on each. */
CORE_API int core_interior(const core_form *form, const core_options *options, core_answer *answer, core_team *team,
                           int64_t low, int64_t high, stop_flag stop) {
    solver own;
    if (solver_open(&own, form, team, stop, options->end)) return CORE_MEMORY;
    for (int64_t problem = low; problem < high && !*stop; problem++)
        solve_problem(&own, (size_t)problem, options, answer);
    solver_close(&own);
    return *stop ? CORE_STOPPED : CORE_DONE;
}
