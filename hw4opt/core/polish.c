/* Proximal method of multipliers on the duals u with semismooth Newton steps (Rockafellar 1976; Li, Sun and Toh 2018).

   Rows with q = 0 get a proximal term of weight ε and centre c, so that

       P w + Aᵀu⁺(w) = 0,    u⁺ = clip((A w - t + ε c)/(q + ε), low, high)

   is the zero of the gradient of a convex piecewise quadratic. Newton's method with a line search solves it, exactly
   once the active set is correct, and the update c ← u⁺ removes the effect of ε. A point is accepted only if its
   duality gap is smaller than that of the best point. */

#include "polish.h"

static const double VIOLATION_PRICE = 1e5; /* price of a violated constraint, in units of the largest |u| */
static const double CONSTRAINT_ROUNDING = 1e-14; /* violation, relative to the largest |z|, that counts as rounding */
static const double DIFFERENCE_ROUNDING = 3e-16; /* … relative to ‖w‖ times the lengths of the rows that are summed */
static const double SMOOTHING = 1e-3; /* initial ε, in units of z/u */
static const double SMOOTHING_FACTOR = 0.3; /* by which ε decreases at each update of c: superlinear convergence */
static const double LEAST_DUAL = 1e-14; /* smallest |u| that determines ε, relative to the typical dual */
static const double NEGLIGIBLE_SHARE = 1e-5; /* gap, relative to the aim, at which polishing ends */
static const double SHORTEST_STEP = 1e-3; /* Newton step length that indicates a far from correct active set */
enum { SEARCH_STEPS = 8 };

/* u⁺ of a row at z; constant for a closed row. */
static inline double dual_at(const polish_space *space, size_t i, double z) {
    const table *rows = space->rows;
    const double free = (z - rows->t[i] + space->epsilon[i] * space->center[i]) / (rows->q[i] + space->epsilon[i]);
    return is_open(rows, i) ? smaller(larger(free, rows->low[i]), rows->high[i]) : rows->low[i];
}

static double slack_at(const table *rows, size_t i, double z, double u, double price, double rounding) {
    const double v = z - rows->t[i], q = rows->q[i], low = rows->low[i], high = rows->high[i];
    if (!is_open(rows, i) || (q == 0.0 && fabs(v) <= rounding && (isinf(low) || isinf(high)))) return 0.0;
    return row_slack(v, q, u, row_slope(v, q, low, high), price);
}

/* Σ|coef| of a row times the length of the rows that it sums: ‖w‖ times it exceeds what z is rounded relative to. */
static double summed_length(const table *rows, const row_block *block, size_t i) {
    const row_map *map = rows->form->map + block->map;
    const size_t row = i - block->at;
    if (!map->coef || row >= block->rows) return rows->length[i];
    const double *coef = map->coef + (int64_t)(block->offset + row) * map->coef_stride;
    double total = 0.0;
    for (int64_t c = 0; c < map->width; c++) total += fabs(coef[c]);
    return total * rows->form->loss_length;
}

/* Start from a point: z, and the sizes over the rows of each map in blocks with bounds. */
static void locate(polish_space *space, const point *at) {
    table *rows = space->rows;
    memcpy(space->w, at->w, rows->ld * sizeof(double));
    space->given = at->u;
    space->norm = sqrt(dot(at->w, at->w, rows->ld));
    table_forward(rows, at->w, space->z, true);
    for (size_t m = 0; m < (size_t)rows->form->maps; m++) rows->size_of[m] = (map_size){0};
    EACH_BOUNDED_BLOCK(rows, block) {
        map_size *all = rows->size_of + block->map;
        double z = 0.0, length = 0.0;
        for (size_t i = block->at; i < block->at + block->rows; i++) {
            all->largest_dual = larger(all->largest_dual, fabs(at->u[i]));
            all->largest_z = larger(all->largest_z, fabs(space->z[i]));
            z += fabs(space->z[i]), length += rows->length[i];
        }
        all->total_z += z, all->total_length += length;
    }
}

/* u⁺ after a step unless u is given; sums of the rows' slack and of ε (u⁺ - c)²; Aᵀu. */
static void measure_block(void *data, row_group *group, row_block *block) {
    polish_space *space = data;
    const table *rows = space->rows;
    const double *a = block_matrix(rows, block, group), *z = space->given ? space->z : space->ahead;
    const map_size *sizes = rows->size_of + block->map;
    const double *u = space->given ? space->given : space->u;
    if (!space->given) dots(a, block->size, rows->ld, space->w, space->ahead + block->at, rows->ld);
    EACH_ROW(block, i) {
        const double unit = rows->u_scale * rows->form->loss_length / rows->length[i];
        if (!space->given) {
            const double next = dual_at(space, i, z[i]), change = next - space->center[i];
            space->u[i] = next;
            group->sums[1] += space->epsilon[i] * change * change;
        }
        const double of_sum = DIFFERENCE_ROUNDING * space->norm * summed_length(rows, block, i);
        const double rounding = larger(CONSTRAINT_ROUNDING * sizes->largest_z, of_sum);
        group->sums[0] += slack_at(rows, i, z[i], u[i], VIOLATION_PRICE * larger(sizes->largest_dual, unit), rounding);
    }
    add_rows(u + block->at, a, block->size, rows->ld, group->one, rows->ld);
}

/* The duality gap at w, with VIOLATION_PRICE for violated constraints. Sets space->base = P w + h0 w + b0 and
   space->gradient = base + Aᵀu. */
static double measure(polish_space *space) {
    table *rows = space->rows;
    quadratic_pull(rows, space->w, space->base);
    memcpy(space->gradient, space->base, rows->ld * sizeof(double));
    const double *sums = table_pass(rows, measure_block, space, NULL, space->gradient, NULL)->sums;
    const double cost = stationarity_cost(rows->p, rows->w_scale, rows->r, space->w, space->gradient);
    space->moving = !space->given && 2.0 * cost <= sums[1]; /* the inner problem is accurate enough to update c */
    return sums[0] + cost;
}

double point_gap(polish_space *space, const point *at) {
    locate(space, at);
    return measure(space);
}

static void set_smoothing(polish_space *space, const double *u) {
    const table *rows = space->rows;
    EACH_BOUNDED_BLOCK(rows, block) EACH_ROW(block, i) {
        const map_size *sizes = rows->size_of + block->map;
        const double size = larger(sizes->largest_dual, LEAST_DUAL * rows->u_scale);
        const double unit = sizes->total_z / sizes->total_length * rows->length[i];
        const double least = LEAST_DUAL * rows->z_scale * rows->length[i] / (rows->form->loss_length * size);
        space->epsilon[i] = rows->q[i] == 0.0 && is_open(rows, i) ? larger(SMOOTHING * unit / size, least) : 0.0;
        space->center[i] = u[i];
    }
}

/* Update c and ε if space->moving, with u and the gradient; accumulate H. */
static void curvature_block(void *data, row_group *group, row_block *block) {
    polish_space *space = data;
    const table *rows = space->rows;
    double weight[BLOCK_ROWS], change[BLOCK_ROWS];
    size_t place[BLOCK_ROWS], inside = 0;
    bool changed = false;
    EACH_ROW(block, i) {
        const double before = space->u[i];
        if (space->moving && space->epsilon[i] > 0.0) {
            space->center[i] = before, space->epsilon[i] *= SMOOTHING_FACTOR;
            space->u[i] = dual_at(space, i, space->z[i]);
        }
        place[inside] = i - block->at, weight[inside] = 1.0 / (rows->q[i] + space->epsilon[i]);
        inside += space->u[i] > rows->low[i] && space->u[i] < rows->high[i];
        change[i - block->at] = space->u[i] - before;
        changed |= space->u[i] != before;
    }
    if (!inside && !changed) return;
    const double *a = block_matrix(rows, block, group);
    if (changed) add_rows(change, a, block->size, rows->ld, group->one, rows->ld);
    for (size_t k = 0; k < inside; k++)
        memmove(group->made + k * rows->ld, a + place[k] * rows->ld, rows->ld * sizeof *a);
    gram(group->made, inside, rows->ld, weight, group->h, group->scratch);
}

static void slope_block(void *data, row_group *group, row_block *block) {
    const polish_space *space = data;
    EACH_ROW(block, i) {
        const double step = space->ahead[i] - space->z[i];
        group->sums[0] += step * dual_at(space, i, space->z[i] + space->length * step);
    }
}

/* A step length at which the slope along the direction is nearly 0, by false position; the slope is `start` at 0 and
   `here` at 1, and its quadratic part is linear + length · curve. */
static double search_length(polish_space *space, double linear, double curve, double start, double here) {
    double length = 1.0, low = 0.0, high = 1.0, at_low = start, at_high = here;
    for (int step = 0; step < SEARCH_STEPS; step++) {
        const bool past = here > 0.1 * fabs(start), shorter = here < -0.5 * fabs(start) && length < 1.0;
        if (!past && !shorter) break;
        if (past) high = length, at_high = here;
        else low = length, at_low = here;
        const double share = smaller(larger(-at_low / larger(at_high - at_low, 1e-300), 0.1), 0.9);
        length = space->length = low + share * (high - low);
        here = linear + length * curve + table_pass(space->rows, slope_block, space, NULL, NULL, NULL)->sums[0];
    }
    return length;
}

/* A Newton step of the inner problem; returns the gap after it. */
static double newton_step(polish_space *space) {
    table *rows = space->rows;
    const size_t ld = rows->ld;
    double *z = space->z;
    space->z = space->ahead, space->ahead = z;
    memcpy(space->system.h, rows->h0, ld * ld * sizeof(double));
    table_pass(rows, curvature_block, space, space->system.h, space->gradient, NULL);
    factor_system(&space->system, rows->p, rows->form->proximal + rows->problem * rows->r);
    for (size_t j = 0; j < ld; j++) space->direction[j] = -space->gradient[j];
    solve_system(&space->system, space->direction);
    const double *d = space->direction, linear = dot(d, space->base, ld), start = dot(d, space->gradient, ld);
    axpy(1.0, d, space->w, ld);
    const double gap = measure(space), curve = dot(d, space->base, ld) - linear;
    const double length = search_length(space, linear, curve, start, dot(d, space->gradient, ld));
    space->length = length;
    if (length == 1.0) return gap;
    axpy(length - 1.0, d, space->w, ld);
    return measure(space);
}

/* Rows with one bound are constraints, which a certificate requires to hold to rounding. If there are any, at least one
   step is taken, and its point is accepted even if its gap is not smaller. */
void polish(polish_space *space, point *best, double aim, int rounds, int patience) {
    const table *rows = space->rows;
    double lowest = INFINITY;
    int barren = 0;
    if (isnan(best->gap)) best->gap = point_gap(space, best);
    else locate(space, best);
    set_smoothing(space, best->u);
    memset(space->u, 0, rows->size * sizeof(double));
    space->given = NULL;
    double gap = measure(space);
    for (int number = 0;; number++) {
        const double before = best->gap;
        const bool done = gap <= NEGLIGIBLE_SHARE * aim && (number || rows->two_sided);
        if (gap < before || (done && number)) copy_point(rows, &(point){space->w, space->u, gap}, best);
        barren = gap < 0.5 * lowest ? 0 : barren + (space->length < SHORTEST_STEP ? 2 : 1);
        lowest = smaller(lowest, gap);
        if (done || (rows->two_sided && before <= aim && gap > 0.1 * before)) return;
        if (number == rounds || barren >= patience || !isfinite(gap) || table_stopped(rows)) return;
        gap = newton_step(space);
    }
}
