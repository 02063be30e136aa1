/* Mehrotra's predictor-corrector on the box dual, one problem at a time.

   With slack duals s ≥ 0 of both bounds and the distances d = u - low and high - u to them,

       P w + Aᵀu = 0,     A w - t = q u + s_high - s_low,     s d = τ.

   Eliminating s and u of the bounded rows leaves one (r, r) system a step, (H₀ + Aᵀ W A) dw = …, W = 1/(q + Σ s/d), H₀
   from the rows without bounds. Blocks are visited in three passes: residuals and H; the affine direction and the
   corrector's right side; the step. (Mehrotra 1992; Gertz and Wright 2003.) */

#include "arena.h"
#include "polish.h"

#include <stdlib.h>
#include <time.h>

static const double SAFE_CENTERING = 0.2;   /* of a step after one that was no gain */
static const double BOUNDARY_SHARE = 0.999; /* of the way to the boundary that a step goes */
static const double FIRST_POLISH_GAP = 1e-7; /* relative gap at which the active set is tried for the first time */
static const double NEGLIGIBLE_GAP = 1e-16; /* of the least that a gap can be relative to: done, whatever the scale */
static const double GAP_SCALE_FROM = 1e-6;  /* … and from which on the gap is judged by what the fit explains */
static const double LARGEST_WEIGHT = 1e14;  /* of W, in units of the rest of H */
static const double GAP_OF_LEAST_SQUARES = 4.0, GAP_OF_WARM_START = 3e-2; /* relative gaps that starts are centred at */
static const double FAR_ROUNDING = 1e4; /* typical targets: from there on a row's rounding hides what others lack */
static const double FAR_TARGET = 10.0;  /* typical targets: a row of a bounded slope pulls no more than one there */
static const double NEAR_BOUND = 1e-6;  /* of a bound: a distance to it that tells u better than u itself */
static const double LEAST_DISTANCE = 1e-14; /* share of the way to a bound that a start keeps from it */
static const double SLACK_SHARE = 0.3; /* of the mean residual: the slack of a row that starts between far bounds */
static const double CONSTRAINT_DISTANCE = 0.3; /* units that a start keeps from a constraint */
static const double DUAL_REACH = 10.0; /* typical duals: beyond it no loss could ask for more */
enum { STALLED_STEPS = 8, POLISH_ROUNDS = 8, CENTERING_STEPS = 6 };

typedef struct {
    double tol;
    int64_t max_iterations;
    double end; /* seconds since the epoch (C's TIME_UTC) at which every problem stops; infinite: never */
    const double *start_w, *start_u; /* (b, r) and (b, M), or NULL: w to begin at, polished first where u is there */
} core_options;

typedef struct {
    double *w, *u, *interior; /* (b, r), (b, M), (b, r) */
    double *gap;              /* (b) as the solver counts it */
    int64_t *iterations;      /* (b) */
    int64_t *solved;          /* (b) 1 where the gap is small enough */
} core_answer;

/* Where the interior point stands; row arrays by padded row. */
typedef struct {
    table rows;
    polish_space space;
    double *u, *s_low, *s_high, *d_low, *d_high;
    double *k, *weight, *least, *exact, *z, *du, *ds_low, *ds_high, *one, *two;
    double *w, *right, *residual, *direction, *center, *second;
    double complementarity, gap, scale;
    double least_squares_weight, target, correction, length, largest_curvature; /* what passes are given */
    bool far_targets;
    newton_system system;
    point best, spare;
    double *arrays;
} solver;

enum { ROW_ARRAYS = 23, COLUMN_ARRAYS = 13 };

static int solver_open(solver *own, const core_form *form, core_team *team) {
    *own = (solver){0};
    if (table_open(&own->rows, form, team)) return CORE_MEMORY;
    const size_t size = own->rows.size, ld = own->rows.ld;
    const size_t gaps = (ROW_ARRAYS + COLUMN_ARRAYS + 2) * GAP;
    double *next = own->arrays = calloc(ROW_ARRAYS * size + COLUMN_ARRAYS * ld + 2 * (ld * ld) + gaps, sizeof *next);
    if (!next) {
        table_close(&own->rows);
        return CORE_MEMORY;
    }
    double **by_row[ROW_ARRAYS] = {
        &own->u, &own->s_low, &own->s_high, &own->d_low, &own->d_high, &own->k, &own->weight, &own->least, &own->exact,
        &own->z, &own->du, &own->ds_low, &own->ds_high, &own->one, &own->two, &own->best.u, &own->spare.u,
        &own->space.z, &own->space.dz, &own->space.center, &own->space.epsilon, &own->space.fresh, &own->space.weight};
    double **by_column[COLUMN_ARRAYS] = {
        &own->w, &own->right, &own->residual, &own->direction, &own->center, &own->second, &own->best.w, &own->spare.w,
        &own->space.w, &own->space.direction, &own->space.gradient, &own->space.base, &own->system.floor};
    for (size_t k = 0; k < ROW_ARRAYS; k++) *by_row[k] = take(&next, size);
    for (size_t k = 0; k < COLUMN_ARRAYS; k++) *by_column[k] = take(&next, ld);
    own->system.h = take(&next, ld * ld);
    own->system.r = own->rows.r, own->system.ld = ld;
    own->space.system = own->system; /* the two are never in use at once, but their diagonals are */
    own->space.system.h = take(&next, ld * ld);
    return CORE_DONE;
}

static void solver_close(solver *own) {
    table_close(&own->rows);
    free(own->arrays);
}

#define EACH_BOUNDED_BLOCK(own, block)                                                                \
    for (row_block *block = (own)->rows.block; block < (own)->rows.block + (own)->rows.blocks; block++) \
        if (block->bounded)
#define EACH_BOUNDED_BLOCK_OF(own, g, block)                                                                    \
    for (row_block *block = first_block(&(own)->rows, g); block < first_block(&(own)->rows, (g) + 1); block++) \
        if (block->bounded)
#define EACH_ROW(block, i) for (size_t i = (block)->at; i < (block)->at + (block)->size; i++)

/* Whether every function is smallest at w = 0, u = 0. */
static bool perfect_at_zero(const table *rows) {
    for (size_t i = 0; i < rows->size; i++) {
        if (smaller(larger(0.0, rows->low[i]), rows->high[i]) != 0.0) return false;
        if (rows->open[i] != 0.0 && row_slope(-rows->t[i], rows->q[i], rows->low[i], rows->high[i]) != 0.0) return false;
    }
    return true;
}

/* ---- where to begin ---- */

/* One visit of all blocks, by groups. */
static void pass(solver *own, group_act act) { team_run(own->rows.team, act, own, own->rows.groups); }

static void least_squares_group(void *data, size_t g) {
    solver *own = data;
    table *rows = &own->rows;
    const row_group *group = rows->group + g;
    const double far = FAR_TARGET * rows->z_scale;
    const size_t of_loss = (size_t)(rows->form->loss_rows * rows->form->loss_functions);
    EACH_BOUNDED_BLOCK_OF(own, g, block) {
        if (block->from >= of_loss) continue;
        EACH_ROW(block, i) {
            own->one[i] = own->least_squares_weight * rows->open[i] * smaller(1.0, far / larger(fabs(rows->t[i]), far));
            own->two[i] = own->one[i] * rows->t[i];
        }
        const double *a = block_matrix(rows, block, group);
        block_gram(rows, block, a, own->one + block->at, group);
        adjoint(a, block->size, rows->r, own->two + block->at, group->one);
    }
}

/* w of the ridge and the loss's targets alone, every residual squared; those far out weigh less, so that none pulls more
   than a few. */
static void least_squares(solver *own) {
    table *rows = &own->rows;
    own->least_squares_weight = rows->u_scale / rows->z_scale;
    memcpy(own->system.h, rows->h0, rows->ld * rows->ld * sizeof(double));
    for (size_t j = 0; j < rows->r; j++) own->w[j] = -rows->b0[j];
    begin_sums(rows, own->system.h, own->w, NULL);
    pass(own, least_squares_group);
    end_sums(rows);
    factor_system(&own->system, rows->p, NULL);
    solve_system(&own->system, own->w);
}

/* A dual strictly inside its bounds near the slope at w = 0, of the size that a loss could ask for. */
static double dual_inside(const table *rows, size_t i, double reach) {
    const double low = rows->low[i], high = rows->high[i];
    const double slope = row_slope(-rows->t[i], rows->q[i], low, high);
    if (rows->has_low[i] != 0.0 && rows->has_high[i] != 0.0) {
        const double inside = 0.1 * (high - low);
        return smaller(larger(slope, low + inside), high - inside);
    }
    const double sign = rows->has_high[i] != 0.0 ? 1.0 : -1.0, inner = (sign > 0 ? high : low) - sign * reach;
    return isfinite(slope) && sign * (inner - slope) >= 0.0 ? slope : inner;
}

/* A row with one bound: s d = τ at no less than a share of the row's unit from the constraint; a z outside it stays a
   residual. */
static void center_constraint(solver *own, size_t i, double target, double unit) {
    const table *rows = &own->rows;
    const bool high = rows->has_high[i] != 0.0;
    const double sign = high ? 1.0 : -1.0, bound = high ? rows->high[i] : rows->low[i];
    const double v = sign * (own->z[i] - rows->t[i] - rows->q[i] * bound);
    const double s = larger(0.5 * (v + sqrt(v * v + 4.0 * rows->q[i] * target)), CONSTRAINT_DISTANCE * unit);
    *(high ? own->s_high + i : own->s_low + i) = s;
    *(high ? own->d_high + i : own->d_low + i) = target / s;
    own->u[i] = bound - sign * target / s;
}

/* A row with two bounds: v = q u + τ/(high - u) - τ/(u - low) up to rounding, and s = τ/d. */
static void center_box(solver *own, size_t i, double target) {
    const table *rows = &own->rows;
    const double q = rows->q[i], middle = 0.5 * (rows->high[i] + rows->low[i]), half = 0.5 * (rows->high[i] - rows->low[i]);
    const double v = own->z[i] - rows->t[i], reach = v - q * middle, pull = target / half, most = 1.0 - LEAST_DISTANCE;
    double t = reach / (pull + q * half + hypot(pull, reach)); /* u = middle + half t */
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

/* A row whose bounds are far beyond any dual that the loss could ask for: in the middle, slacks that cover its residual. */
static void start_inside(solver *own, size_t i, double reach, double least) {
    const table *rows = &own->rows;
    const double inside = 0.1 * smaller(rows->high[i] - rows->low[i], reach);
    const double u = smaller(larger(0.0, rows->low[i] + inside), rows->high[i] - inside);
    const double residual = own->z[i] - rows->t[i] - rows->q[i] * u;
    own->u[i] = u;
    own->s_high[i] = larger(residual, 0.0) + least, own->s_low[i] = larger(-residual, 0.0) + least;
    own->d_high[i] = rows->high[i] - u, own->d_low[i] = u - rows->low[i];
}

/* The mean |residual| of a block's rows whose bounds are far out, at u = the middle; negative where there are none. */
static double mean_far_residual(const solver *own, const row_block *block, double ratio_reach) {
    const table *rows = &own->rows;
    double total = 0.0;
    size_t count = 0;
    for (size_t i = block->at; i < block->at + block->rows; i++) {
        const double reach = ratio_reach / rows->length[i], wide = rows->high[i] - rows->low[i];
        if (rows->has_low[i] == 0.0 || rows->has_high[i] == 0.0 || 0.5 * wide <= reach) continue;
        const double inside = 0.1 * smaller(wide, reach), u = smaller(larger(0.0, rows->low[i] + inside), rows->high[i] - inside);
        total += fabs(own->z[i] - rows->t[i] - rows->q[i] * u), count++;
    }
    return count ? total / (double)count : -1.0;
}

/* Every row at its point on the central path of `target`. */
static void center_group(void *data, size_t g) {
    solver *own = data;
    const table *rows = &own->rows;
    const double unit_of_length = rows->z_scale / rows->form->loss_length;
    const double ratio_reach = DUAL_REACH * rows->u_scale * rows->form->loss_length;
    EACH_BOUNDED_BLOCK_OF(own, g, block) {
        const double far = mean_far_residual(own, block, ratio_reach);
        EACH_ROW(block, i) {
            const double unit = unit_of_length * rows->length[i], reach = ratio_reach / rows->length[i];
            own->s_low[i] = own->s_high[i] = 0.0, own->d_low[i] = own->d_high[i] = 1.0, own->u[i] = 0.0;
            if (rows->open[i] == 0.0) own->u[i] = rows->low[i];
            else if (rows->has_low[i] != 0.0 && rows->has_high[i] != 0.0) {
                if (far >= 0.0 && 0.5 * (rows->high[i] - rows->low[i]) > reach)
                    start_inside(own, i, reach, SLACK_SHARE * larger(far, unit));
                else center_box(own, i, own->target);
            } else if (rows->has_low[i] != 0.0 || rows->has_high[i] != 0.0) center_constraint(own, i, own->target, unit);
        }
    }
}

/* The rows' units and roundings, and what they add to the dual objective at a first guess of u. */
static void begin_group(void *data, size_t g) {
    solver *own = data;
    const table *rows = &own->rows;
    const double ratio_reach = DUAL_REACH * rows->u_scale * rows->form->loss_length;
    double value = 0.0;
    EACH_BOUNDED_BLOCK_OF(own, g, block) EACH_ROW(block, i) {
        const double length = rows->length[i], low = rows->low[i], high = rows->high[i];
        own->least[i] = length * length / (LARGEST_WEIGHT * own->largest_curvature);
        own->exact[i] = own->far_targets ? 8 * 0x1p-52 * fabs(rows->t[i]) : 0.0;
        if (rows->open[i] == 0.0) continue;
        const double u = rows->two_sided ? row_slope(own->z[i] - rows->t[i], rows->q[i], low, high)
                         : rows->has_low[i] + rows->has_high[i] > 0.0 ? dual_inside(rows, i, ratio_reach / length) : 0.0;
        value += (0.5 * rows->q[i] * u + rows->t[i]) * u;
    }
    rows->group[g].sums[0] = value;
}

/* Centred at a first guess of w: a warm start where all duals have two bounds, else least squares. */
static void begin(solver *own, const double *warm) {
    table *rows = &own->rows;
    const bool from_warm = warm && rows->two_sided;
    double largest = 0.0, far = 0.0;
    for (size_t j = 0; j < rows->r; j++) largest = larger(largest, rows->p[j]);
    for (size_t i = 0; i < rows->size; i++) far = larger(far, fabs(rows->t[i]));
    if (from_warm) memcpy(own->w, warm, rows->r * sizeof(double));
    else least_squares(own);
    table_forward(rows, own->w, own->z, true);
    own->largest_curvature = largest + 1e-6 * (double)rows->form->data_rows * rows->u_scale / rows->z_scale;
    own->far_targets = far > FAR_ROUNDING * rows->z_scale;
    begin_sums(rows, NULL, NULL, NULL);
    pass(own, begin_group);
    end_sums(rows);
    const double dual = fabs(quadratic_pull(rows, own->w, own->residual) - rows->c0 + rows->group->sums[0]);
    const double size = larger(dual, 0.1 * rows->z_scale * rows->u_scale * (double)rows->bounds);
    own->target = (from_warm ? GAP_OF_WARM_START : GAP_OF_LEAST_SQUARES) * size / (double)rows->bounds;
    pass(own, center_group);
}

/* ---- one step ---- */

static void evaluate_group(void *data, size_t g) {
    solver *own = data;
    const table *rows = &own->rows;
    row_group *group = rows->group + g;
    double complementarity = 0.0, residual_cost = 0.0, dual = 0.0;
    EACH_BOUNDED_BLOCK_OF(own, g, block) {
        const double *a = block_matrix(rows, block, group);
        forward(a, block->size, rows->r, own->w, own->z + block->at);
        EACH_ROW(block, i) {
            const double u = own->u[i], qu = rows->q[i] * u, k = qu + rows->t[i] - own->z[i], open = rows->open[i];
            const double rest = k + own->s_high[i] - own->s_low[i];
            const double total = rows->q[i] + own->s_high[i] / own->d_high[i] + own->s_low[i] / own->d_low[i];
            own->k[i] = k;
            own->weight[i] = open / larger(total, own->least[i]);
            own->one[i] = own->weight[i] * k;
            complementarity += own->s_high[i] * own->d_high[i] + own->s_low[i] * own->d_low[i];
            residual_cost += open * larger(fabs(rest) - own->exact[i], 0.0) * fabs(u);
            dual += (open * 0.5 * qu + rows->t[i]) * u;
        }
        block_gram(rows, block, a, own->weight + block->at, group);
        two_adjoints(a, block->size, rows->r, own->u + block->at, own->one + block->at, group->one, group->two);
    }
    group->sums[0] = complementarity, group->sums[1] = residual_cost, group->sums[2] = dual;
}

/* Residuals, H, the affine right side, and the gap that complementarity and residuals leave; gives the size of the dual
   objective. */
static double evaluate(solver *own) {
    table *rows = &own->rows;
    const double energy = quadratic_pull(rows, own->w, own->residual);
    memcpy(own->system.h, rows->h0, rows->ld * rows->ld * sizeof(double));
    memset(own->right, 0, rows->ld * sizeof(double));
    begin_sums(rows, own->system.h, own->residual, own->right);
    pass(own, evaluate_group);
    end_sums(rows);
    const double *sums = rows->group->sums;
    own->complementarity = sums[0];
    own->gap = sums[0] + sums[1] + stationarity_cost(rows, own->w, own->residual);
    return fabs(energy - rows->c0 + sums[2]);
}

/* What the gap is relative to at the end: what the fit explains, no more than the dual objective. */
static double final_scale(solver *own, double dual) {
    table *rows = &own->rows;
    if (rows->curved && !rows->form->given_gap_scale) table_forward(rows, own->w, own->z, false);
    return smaller(dual, gap_scale(rows, own->w, own->z, own->gap));
}

/* … and on the way: the size of the dual objective far from the end. */
static double scale_of(solver *own, double dual) {
    const core_form *form = own->rows.form;
    if (own->gap > GAP_SCALE_FROM * dual) return dual;
    if (!form->given_gap_scale && own->gap <= NEGLIGIBLE_GAP * form->least[own->rows.problem]) return dual;
    return final_scale(own, dual);
}

static void affine_group(void *data, size_t g) {
    solver *own = data;
    const table *rows = &own->rows;
    row_group *group = rows->group + g;
    double steepest = 0.0, cross = 0.0;
    EACH_BOUNDED_BLOCK_OF(own, g, block) {
        const double *a = block_matrix(rows, block, group);
        forward(a, block->size, rows->r, own->direction, own->du + block->at);
        EACH_ROW(block, i) {
            const double du = own->weight[i] * (own->du[i] - own->k[i]);
            const double to_high = rows->has_high[i] / own->d_high[i], to_low = rows->has_low[i] / own->d_low[i];
            const double high = du * (own->s_high[i] - own->s_high[i] * to_high * du);
            const double low = du * (-own->s_low[i] - own->s_low[i] * to_low * du);
            const double up = du * to_high, down = -du * to_low; /* s falls by 1 - its own distance's approach */
            const double top = larger(up, rows->has_high[i] * (1.0 - up)), bottom = larger(down, rows->has_low[i] * (1.0 - down));
            own->du[i] = du;
            cross += high + low;
            steepest = larger(steepest, larger(top, bottom));
            own->one[i] = own->weight[i] * (to_high - to_low);
            own->two[i] = own->weight[i] * (low * to_low - high * to_high);
        }
        two_adjoints(a, block->size, rows->r, own->one + block->at, own->two + block->at, group->one, group->two);
    }
    group->largest = steepest, group->sums[0] = cross;
}

/* The affine direction; gives the steepest approach to a bound. Of the corrector: Σ ds dd into `cross`, and AᵀW of the
   centring and second-order terms. */
static double affine_pass(solver *own, double *cross) {
    table *rows = &own->rows;
    memset(own->center, 0, rows->ld * sizeof(double));
    memset(own->second, 0, rows->ld * sizeof(double));
    begin_sums(rows, NULL, own->center, own->second);
    pass(own, affine_group);
    end_sums(rows);
    *cross = rows->group->sums[0];
    return rows->group->largest;
}

/* The combined direction, and its steepest approach to a bound. */
static void combined_group(void *data, size_t g) {
    solver *own = data;
    const table *rows = &own->rows;
    row_group *group = rows->group + g;
    const double target = own->target, correction = own->correction;
    double steepest = 0.0;
    EACH_BOUNDED_BLOCK_OF(own, g, block) {
        forward(block_matrix(rows, block, group), block->size, rows->r, own->direction, own->one + block->at);
        EACH_ROW(block, i) {
            const double before = own->du[i], to_high = rows->has_high[i] / own->d_high[i], to_low = rows->has_low[i] / own->d_low[i];
            const double ratio_high = own->s_high[i] * to_high, ratio_low = own->s_low[i] * to_low;
            const double aim_high = (target - correction * before * (own->s_high[i] - ratio_high * before)) * to_high;
            const double aim_low = (target - correction * before * (-own->s_low[i] - ratio_low * before)) * to_low;
            const double du = own->weight[i] * (own->one[i] - own->k[i] - aim_high + aim_low);
            const double ds_high = aim_high - own->s_high[i] + ratio_high * du, ds_low = aim_low - own->s_low[i] - ratio_low * du;
            own->du[i] = du, own->ds_high[i] = ds_high, own->ds_low[i] = ds_low;
            steepest = larger(steepest, larger(du * to_high, -du * to_low));
            steepest = larger(steepest, rows->has_high[i] != 0.0 ? -ds_high / own->s_high[i] : 0.0);
            steepest = larger(steepest, rows->has_low[i] != 0.0 ? -ds_low / own->s_low[i] : 0.0);
        }
    }
    group->largest = steepest;
}

static void advance_group(void *data, size_t g) {
    solver *own = data;
    const table *rows = &own->rows;
    const double length = own->length;
    EACH_BOUNDED_BLOCK_OF(own, g, block) EACH_ROW(block, i) {
        own->u[i] += length * own->du[i];
        own->s_high[i] += rows->has_high[i] * length * own->ds_high[i], own->d_high[i] -= rows->has_high[i] * length * own->du[i];
        own->s_low[i] += rows->has_low[i] * length * own->ds_low[i], own->d_low[i] += rows->has_low[i] * length * own->du[i];
    }
}

/* Predictor, centring by its success, corrector, and the step to near the boundary. Where the last step was no gain
   (`slow`), a plain well-centred one breaks the cycle that the correction can fall into. */
static void step(solver *own, bool slow) {
    table *rows = &own->rows;
    const size_t r = rows->r;
    factor_system(&own->system, rows->p, NULL);
    for (size_t j = 0; j < r; j++) own->direction[j] = own->right[j] - own->residual[j];
    solve_system(&own->system, own->direction);
    own->target = 0.0, own->correction = slow ? 0.0 : 1.0;
    if (rows->bounds) {
        double cross;
        const double steepest = affine_pass(own, &cross), length = 1.0 / larger(steepest, 1.0);
        const double after = larger((1.0 - length) * own->complementarity + length * length * cross, 0.0);
        const double ratio = after / larger(own->complementarity, 1e-300);
        const double infeasibility = larger(own->gap - own->complementarity, 0.0);
        /* complementarity must not run ahead of residuals */
        const bool ahead = infeasibility > 10.0 * own->complementarity && own->gap < own->scale;
        const double share = slow ? SAFE_CENTERING : ratio * ratio * ratio;
        own->target = (ahead ? SAFE_CENTERING * infeasibility : share * own->complementarity) / (double)rows->bounds;
        for (size_t j = 0; j < r; j++)
            own->direction[j] = own->right[j] - own->residual[j] + own->target * own->center[j] + own->correction * own->second[j];
        solve_system(&own->system, own->direction);
    }
    begin_sums(rows, NULL, NULL, NULL);
    pass(own, combined_group);
    end_sums(rows);
    own->length = smaller(1.0, BOUNDARY_SHARE / larger(rows->group->largest, 1e-300));
    for (size_t j = 0; j < r; j++) own->w[j] += own->length * own->direction[j];
    pass(own, advance_group);
}

/* ---- one problem ---- */

/* The duals where it stands: near a bound, the distance has digits that u has not. */
static void take_point(const solver *own, point *out) {
    const table *rows = &own->rows;
    memcpy(out->w, own->w, rows->ld * sizeof(double));
    memset(out->u, 0, rows->size * sizeof(double));
    out->gap = own->gap;
    EACH_BOUNDED_BLOCK(own, block) EACH_ROW(block, i) {
        double u = rows->open[i] != 0.0 ? own->u[i] : rows->low[i];
        if (rows->has_high[i] != 0.0 && own->d_high[i] <= NEAR_BOUND * fabs(rows->high[i])) u = rows->high[i] - own->d_high[i];
        if (rows->has_low[i] != 0.0 && own->d_low[i] <= NEAR_BOUND * fabs(rows->low[i])) u = rows->low[i] + own->d_low[i];
        out->u[i] = u;
    }
}

static void keep_better(solver *own, const point *found, double *interior) {
    if (found->gap > own->best.gap) return;
    memcpy(own->best.w, found->w, own->rows.ld * sizeof(double));
    memcpy(own->best.u, found->u, own->rows.size * sizeof(double));
    own->best.gap = found->gap;
    memcpy(interior, own->w, own->rows.r * sizeof(double));
}

static void polish_here(solver *own, double aim, double *interior) {
    take_point(own, &own->spare);
    if (own->rows.bounds) polish(&own->rows, &own->space, &own->spare, aim, POLISH_ROUNDS);
    keep_better(own, &own->spare, interior);
}

/* An array in the table's order as a padded one; 0 on padding. */
static void read_rows(const table *rows, const double *from, double *out) {
    memset(out, 0, rows->size * sizeof *out);
    for (size_t b = 0; b < rows->blocks; b++)
        memcpy(out + rows->block[b].at, from + rows->block[b].from, rows->block[b].rows * sizeof *out);
}

/* A warm start, polished; whether that is enough. */
static bool solved_by_start(solver *own, const core_options *options, double *interior) {
    table *rows = &own->rows;
    const size_t r = rows->r, problem = rows->problem;
    memcpy(own->w, options->start_w + problem * r, r * sizeof(double));
    table_forward(rows, own->w, own->z, false);
    memcpy(own->spare.w, own->w, rows->ld * sizeof(double));
    read_rows(rows, options->start_u + problem * rows->rows, own->spare.u);
    own->spare.gap = NAN;
    const double aim = 0.5 * options->tol * gap_scale(rows, own->w, own->z, 0.0);
    polish(rows, &own->space, &own->spare, aim, POLISH_ROUNDS);
    if (!(own->spare.gap <= aim)) return false;
    keep_better(own, &own->spare, interior);
    return true;
}

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Steps until the gap is small enough, polished at FIRST_POLISH_GAP or at the tolerance; gives how many. */
static int64_t iterate(solver *own, const core_options *options, stop_flag stop, double *interior, bool *solved) {
    double best = INFINITY;
    bool tried = false, near = false; /* … that the best is near the end */
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
                          (stalled >= STALLED_STEPS && best <= FIRST_POLISH_GAP * own->scale);
        const bool good = relative <= 0.5 * options->tol; /* half: the certificate counts the gap its own way */
        const bool last = iteration >= options->max_iterations || *stop || seconds() >= options->end;
        const bool try_first = better && relative <= FIRST_POLISH_GAP && !tried && own->rows.bounds;
        if ((try_first || good || last || lost) && (isfinite(relative) || last)) {
            const double aim = 0.5 * options->tol * final_scale(own, dual);
            tried = true;
            polish_here(own, aim, interior);
            *solved = good || own->spare.gap <= aim;
        } else if (better && relative <= FIRST_POLISH_GAP && own->gap < own->best.gap) {
            take_point(own, &own->spare);
            keep_better(own, &own->spare, interior);
        }
        if (*solved || last || lost) return iteration;
        step(own, !better);
    }
}

/* The best duals in the table's order, (b, M); rows of blocks without bounds have the slope at the best w. */
static void write_duals(solver *own, size_t problem, double *out) {
    table *rows = &own->rows;
    table_forward(rows, own->best.w, own->z, false);
    for (size_t b = 0; b < rows->blocks; b++) {
        const row_block *block = rows->block + b;
        double *u = out + problem * rows->rows + block->from;
        for (size_t k = 0; k < block->rows; k++) {
            const size_t i = block->at + k;
            u[k] = block->bounded ? own->best.u[i] : rows->open[i] != 0.0 ? (own->z[i] - rows->t[i]) / rows->q[i] : rows->low[i];
        }
    }
}

static void solve_problem(solver *own, size_t problem, const core_options *options, stop_flag stop,
                          core_answer *answer) {
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
    if (perfect_at_zero(rows)) own->best.gap = 0.0, solved = true;
    else if (!(options->start_u && (solved = solved_by_start(own, options, interior)))) {
        if (rows->bounds) begin(own, options->start_w ? options->start_w + problem * r : NULL);
        answer->iterations[problem] = iterate(own, options, stop, interior, &solved);
    }
    answer->solved[problem] = solved;
    answer->gap[problem] = own->best.gap;
    memcpy(answer->w + problem * r, own->best.w, r * sizeof(double));
    write_duals(own, problem, answer->u);
}

/* Polish the starts of problems low … high, whose gaps are to fall to aim (b), in at most max_iterations steps. */
CORE_API int core_polish(const core_form *form, const core_options *options, const double *aim, core_answer *answer,
                         int64_t low, int64_t high, stop_flag stop) {
    solver own;
    if (solver_open(&own, form, NULL)) return CORE_MEMORY;
    const size_t r = own.rows.r, all = own.rows.rows;
    for (size_t problem = (size_t)low; problem < (size_t)high && !*stop; problem++) {
        table_load(&own.rows, problem);
        memcpy(own.best.w, options->start_w + problem * r, r * sizeof(double));
        read_rows(&own.rows, options->start_u + problem * all, own.best.u);
        own.best.gap = NAN;
        polish(&own.rows, &own.space, &own.best, aim[problem], (int)options->max_iterations);
        answer->gap[problem] = own.best.gap;
        memcpy(answer->w + problem * r, own.best.w, r * sizeof(double));
        write_duals(&own, problem, answer->u);
    }
    solver_close(&own);
    return *stop ? CORE_STOPPED : CORE_DONE;
}

/* Problems low … high of the batch; `team` (or NULL) helps with each of them. */
CORE_API int core_interior(const core_form *form, const core_options *options, core_answer *answer, core_team *team,
                           int64_t low, int64_t high, stop_flag stop) {
    solver own;
    if (solver_open(&own, form, team)) return CORE_MEMORY;
    for (int64_t problem = low; problem < high && !*stop; problem++)
        solve_problem(&own, (size_t)problem, options, stop, answer);
    solver_close(&own);
    return *stop ? CORE_STOPPED : CORE_DONE;
}
