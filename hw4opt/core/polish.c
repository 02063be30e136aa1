/* Proximal method of multipliers on the duals u, semismooth Newton steps inside (Rockafellar 1976; Li, Sun and Toh 2018).

   Rows with q = 0 get a quadratic ε, so that

       P w + Aᵀu⁺(w) = 0,    u⁺ = clip((A w - t + ε c)/(q + ε), low, high)

   is the gradient of a convex piecewise quadratic; Newton's method with a line search solves it, exactly once the
   active set is right, and c ← u⁺ removes ε again. A point is taken only where its duality gap is below the one before. */

#include "polish.h"

static const double VIOLATION_PRICE = 1e5; /* of a violated constraint, in units of the largest |u| */
static const double CONSTRAINT_ROUNDING = 1e-14; /* of the largest |z|: a constraint violated by no more is met */
static const double DIFFERENCE_ROUNDING = 4e-15; /* … of ‖w‖ times a fitted value's row: so is one of differences */
static const double SMOOTHING = 1e-3; /* ε, in units of z over u, */
static const double SMOOTHING_FACTOR = 0.3; /* and by what it shrinks when the centre moves: faster than linearly */
static const double LEAST_DUAL = 1e-14; /* of the typical dual: no smaller one sets ε */
static const double NEGLIGIBLE_SHARE = 1e-5; /* of the aim: there is nothing left to gain below */
static const double LARGEST_WORK = 5e7; /* rows × r²: above it polishing costs more than it gives */
enum { SEARCH_STEPS = 8 };

/* Typical sizes over the rows of one map. */
typedef struct {
    double largest_dual, largest_z, mean_z, mean_length;
} sizes;

static sizes sizes_of(const table *rows, size_t first, size_t *end, const double *z, const double *u) {
    sizes found = {0};
    size_t b = first, count = 0;
    for (; b < rows->blocks && rows->block[b].map == rows->block[first].map; b++)
        for (size_t i = rows->block[b].at; i < rows->block[b].at + rows->block[b].rows; i++) {
            found.largest_dual = larger(found.largest_dual, fabs(u[i]));
            found.largest_z = larger(found.largest_z, fabs(z[i]));
            found.mean_z += fabs(z[i]), found.mean_length += rows->length[i], count++;
        }
    found.mean_z /= (double)count, found.mean_length /= (double)count;
    *end = b;
    return found;
}

static void set_smoothing(const table *rows, const double *z, const double *u, double *epsilon) {
    for (size_t b = 0, end; b < rows->blocks; b = end) {
        const sizes typical = sizes_of(rows, b, &end, z, u);
        const double size = larger(typical.largest_dual, LEAST_DUAL * rows->u_scale);
        for (size_t k = b; k < end; k++)
            for (size_t i = rows->block[k].at; i < rows->block[k].at + rows->block[k].size; i++) {
                const double unit = typical.mean_z / typical.mean_length * rows->length[i];
                const double least = LEAST_DUAL * rows->z_scale * rows->length[i] / (rows->form->loss_length * size);
                epsilon[i] = rows->q[i] == 0.0 && rows->open[i] != 0.0 ? larger(SMOOTHING * unit / size, least) : 0.0;
            }
    }
}

/* u⁺ at z; closed rows stay where they are. */
static void dual_at(const table *rows, const polish_space *space, const double *z, double *u) {
    for (size_t b = 0; b < rows->blocks; b++) {
        const row_block *block = rows->block + b;
        if (!block->bounded) continue;
        for (size_t i = block->at; i < block->at + block->size; i++) {
            const double free = (z[i] - rows->t[i] + space->epsilon[i] * space->center[i]) / (rows->q[i] + space->epsilon[i]);
            u[i] = rows->open[i] != 0.0 ? smaller(larger(free, rows->low[i]), rows->high[i]) : rows->low[i];
        }
    }
}

static double row_slack(const table *rows, size_t i, double z, double u, double price, double met) {
    const double v = z - rows->t[i], low = rows->low[i], high = rows->high[i];
    double slope = row_slope(v, rows->q[i], low, high);
    if (rows->open[i] == 0.0) return 0.0;
    if (rows->q[i] == 0.0 && fabs(v) <= met && (isinf(low) || isinf(high))) return 0.0;
    if (isinf(slope)) slope = u + copysign(price, v);
    return larger((slope - u) * (v - 0.5 * rows->q[i] * (slope + u)), 0.0);
}

/* The duality gap at (w, u); violations of constraints at a multiple of their price |u|. Sets space->base to
   P w + h0 w + b0 and the gradient to that + Aᵀu. */
static double measure(table *rows, polish_space *space, const double *w, const double *z, const double *u) {
    const double reach = sqrt(dot(w, w, rows->ld)) * rows->form->loss_length;
    double total = 0.0;
    quadratic_pull(rows, w, space->base);
    memcpy(space->gradient, space->base, rows->ld * sizeof(double));
    for (size_t b = 0, end; b < rows->blocks; b = end) {
        const sizes typical = sizes_of(rows, b, &end, z, u);
        const double met = larger(CONSTRAINT_ROUNDING * typical.largest_z, DIFFERENCE_ROUNDING * reach);
        for (size_t k = b; k < end; k++) {
            const row_block *block = rows->block + k;
            if (!block->bounded) continue;
            adjoint(block_matrix(rows, block, rows->group), block->size, rows->r, u + block->at, space->gradient);
            for (size_t i = block->at; i < block->at + block->rows; i++) {
                const double unit = rows->u_scale * rows->form->loss_length / rows->length[i];
                total += row_slack(rows, i, z[i], u[i], VIOLATION_PRICE * larger(typical.largest_dual, unit), met);
            }
        }
    }
    return total + stationarity_cost(rows, w, space->gradient);
}

/* Where the inner problem is solved well enough, move the centre and shrink ε. */
static void move_center(table *rows, polish_space *space, double *u) {
    double moved = 0.0;
    for (size_t i = 0; i < rows->size; i++) {
        const double change = u[i] - space->center[i];
        moved += space->epsilon[i] * change * change;
    }
    if (2.0 * stationarity_cost(rows, space->w, space->gradient) > moved) return;
    memcpy(space->center, u, rows->size * sizeof *u);
    for (size_t i = 0; i < rows->size; i++) space->epsilon[i] *= SMOOTHING_FACTOR;
    dual_at(rows, space, space->z, u);
    memcpy(space->gradient, space->base, rows->ld * sizeof(double));
    for (size_t b = 0; b < rows->blocks; b++)
        if (rows->block[b].bounded)
            adjoint(block_matrix(rows, rows->block + b, rows->group), rows->block[b].size, rows->r, u + rows->block[b].at, space->gradient);
}

/* The slope of the inner objective after `length` of the direction; `fresh` is overwritten. */
static double slope_after(const table *rows, polish_space *space, double length, double linear, double curve) {
    double total = linear + length * curve;
    for (size_t b = 0; b < rows->blocks; b++) {
        const row_block *block = rows->block + b;
        if (!block->bounded) continue;
        for (size_t i = block->at; i < block->at + block->size; i++) {
            if (rows->open[i] == 0.0) {
                total += space->dz[i] * rows->low[i];
                continue;
            }
            const double z = space->z[i] + length * space->dz[i], epsilon = space->epsilon[i];
            const double free = (z - rows->t[i] + epsilon * space->center[i]) / (rows->q[i] + epsilon);
            total += space->dz[i] * smaller(larger(free, rows->low[i]), rows->high[i]);
        }
    }
    return total;
}

/* A step at which the slope along the direction has all but vanished, by false position between 0 and 1. */
static double search_length(const table *rows, polish_space *space, double linear, double curve, double start) {
    double length = 1.0, low = 0.0, high = 1.0, at_low = start;
    double here = slope_after(rows, space, length, linear, curve), at_high = here;
    for (int step = 0; step < SEARCH_STEPS; step++) {
        const bool past = here > 0.1 * fabs(start), shorter = here < -0.5 * fabs(start) && length < 1.0;
        if (!past && !shorter) break;
        if (past) high = length, at_high = here;
        else low = length, at_low = here;
        const double share = smaller(larger(-at_low / larger(at_high - at_low, 1e-300), 0.1), 0.9);
        length = low + share * (high - low);
        here = slope_after(rows, space, length, linear, curve);
    }
    return length;
}

/* Newton's direction of the inner problem, and a step along it. */
static void newton_step(table *rows, polish_space *space, const double *u) {
    const size_t r = rows->r;
    memcpy(space->system.h, rows->h0, rows->ld * rows->ld * sizeof(double));
    for (size_t b = 0; b < rows->blocks; b++) {
        const row_block *block = rows->block + b;
        if (!block->bounded) continue;
        for (size_t i = block->at; i < block->at + block->size; i++)
            space->weight[i] = rows->open[i] != 0.0 && u[i] > rows->low[i] && u[i] < rows->high[i]
                                   ? 1.0 / (rows->q[i] + space->epsilon[i]) : 0.0;
        gram(block_matrix(rows, block, rows->group), block->size, r, rows->ld, space->weight + block->at, space->system.h,
             rows->group->scratch);
    }
    factor_system(&space->system, rows->p, rows->form->proximal + rows->problem * r);
    for (size_t j = 0; j < r; j++) space->direction[j] = -space->gradient[j];
    solve_system(&space->system, space->direction);
    table_forward(rows, space->direction, space->dz, true);
    double linear = 0.0, start = 0.0, curve = 0.0;
    for (size_t j = 0; j < r; j++)
        linear += space->direction[j] * space->base[j], start += space->direction[j] * space->gradient[j];
    double *bend = space->gradient; /* no longer needed */
    quadratic_pull(rows, space->direction, bend);
    for (size_t j = 0; j < r; j++) curve += space->direction[j] * (bend[j] - rows->b0[j]);
    const double length = search_length(rows, space, linear, curve, start);
    for (size_t j = 0; j < r; j++) space->w[j] += length * space->direction[j];
    table_forward(rows, space->w, space->z, true); /* anew: z + length · dz would keep the rounding of a far start */
}

static bool finite_point(const double *w, size_t r) {
    for (size_t j = 0; j < r; j++)
        if (!isfinite(w[j])) return false;
    return true;
}

double point_gap(table *rows, polish_space *space, const point *at) {
    memset(space->z, 0, rows->size * sizeof(double));
    table_forward(rows, at->w, space->z, true);
    return measure(rows, space, at->w, space->z, at->u);
}

/* Rows with one bound are constraints, which a certificate wants met to rounding: all rounds are for them. */
void polish(table *rows, polish_space *space, point *best, double aim, int rounds) {
    const bool large = (double)rows->size * (double)rows->r * (double)rows->r > LARGEST_WORK;
    if (large && !isnan(best->gap)) return;
    memcpy(space->w, best->w, rows->ld * sizeof(double));
    memcpy(space->center, best->u, rows->size * sizeof(double));
    memset(space->z, 0, rows->size * sizeof(double));
    memset(space->dz, 0, rows->size * sizeof(double));
    table_forward(rows, space->w, space->z, true);
    if (isnan(best->gap)) best->gap = measure(rows, space, best->w, space->z, best->u);
    if (large) return;
    set_smoothing(rows, space->z, best->u, space->epsilon);
    double *u = space->fresh;
    memcpy(u, best->u, rows->size * sizeof(double));
    for (int number = 0; number <= rounds && finite_point(space->w, rows->r); number++) {
        dual_at(rows, space, space->z, u);
        const double gap = measure(rows, space, space->w, space->z, u), before = best->gap;
        if (gap < before) {
            best->gap = gap;
            memcpy(best->w, space->w, rows->ld * sizeof(double));
            memcpy(best->u, u, rows->size * sizeof(double));
        }
        if (gap <= NEGLIGIBLE_SHARE * aim || (rows->two_sided && before <= aim && gap > 0.1 * before) || number == rounds) return;
        move_center(rows, space, u);
        newton_step(rows, space, u);
    }
}
