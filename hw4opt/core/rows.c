#include "arena.h"
#include "rows.h"

#include <time.h>

enum { KEPT_ENTRIES = 4000000, GROUPED_BLOCKS = 512, GROUPS = 32 };

static const double PIVOT_ROUNDING = 1e-15; /* times r: rounding of a pivot relative to its diagonal entry */

/* out = row `row` of a map, (r). */
static void make_row(const core_form *form, const row_map *map, size_t row, double *restrict out) {
    const size_t r = (size_t)form->r, width = (size_t)map->width;
    for (size_t c = 0; c < width; c++) {
        const size_t at = map->index ? (size_t)map->index[row * width + c] : (size_t)map->first + row + c;
        const double coef = map->coef ? map->coef[row * (size_t)map->coef_stride + c] : 1.0;
        const double *base = form->base + at * r;
        if (c == 0)
            for (size_t j = 0; j < r; j++) out[j] = coef * base[j];
        else
            for (size_t j = 0; j < r; j++) out[j] += coef * base[j];
    }
}

/* a = the rows of a block, padded with zeros. */
static void make_matrix(const core_form *form, const row_block *block, double *a) {
    const size_t r = (size_t)form->r, ld = padded(r);
    for (size_t i = 0; i < block->rows; i++) {
        make_row(form, form->map + block->map, block->offset + i, a + i * ld);
        for (size_t j = r; j < ld; j++) a[i * ld + j] = 0.0;
    }
    memset(a + block->rows * ld, 0, (block->size - block->rows) * ld * sizeof *a);
}

const double *block_matrix(const table *rows, const row_block *block, const row_group *group) {
    if (block->kept) return block->kept;
    make_matrix(rows->form, block, group->made);
    return group->made;
}

/* The first block of a group; that of the next group is its end. */
static row_block *first_block(const table *rows, size_t group) {
    return rows->block + group * rows->blocks / rows->groups;
}

static void visit_group(void *data, size_t g) {
    const table *rows = data;
    for (row_block *block = first_block(rows, g); block < first_block(rows, g + 1); block++)
        if (block->bounded || rows->all) rows->act(rows->data, rows->group + g, block);
}

static const row_group *pass(table *rows, block_act act, void *data, bool all, double *h, double *one, double *two) {
    const size_t ld = rows->ld;
    rows->act = act, rows->data = data, rows->all = all;
    row_group *total = rows->group;
    for (row_group *group = total; group < total + rows->groups; group++) {
        const bool first = group == total;
        group->h = first ? h : group->own_h, group->one = first ? one : group->own_one, group->two = first ? two : group->own_two;
        memset(group->sums, 0, sizeof group->sums);
        group->largest = 0.0;
        if (first) continue;
        if (h) memset(group->h, 0, ld * ld * sizeof(double));
        memset(group->own_one, 0, ld * sizeof(double)), memset(group->own_two, 0, ld * sizeof(double));
    }
    team_run(rows->team, visit_group, rows, rows->groups);
    for (const row_group *group = total + 1; group < total + rows->groups; group++) {
        if (h) axpy(1.0, group->h, h, ld * ld);
        if (one) axpy(1.0, group->one, one, ld);
        if (two) axpy(1.0, group->two, two, ld);
        for (size_t k = 0; k < 4; k++) total->sums[k] += group->sums[k];
        total->largest = larger(total->largest, group->largest);
    }
    return total;
}

const row_group *table_pass(table *rows, block_act act, void *data, double *h, double *one, double *two) {
    return pass(rows, act, data, false, h, one, two);
}

static void lay_blocks(table *rows) {
    const core_form *form = rows->form;
    size_t number = 0, from = 0, at = 0;
    for (size_t m = 0; m < (size_t)form->maps; m++)
        for (size_t offset = 0; offset < (size_t)form->map[m].count; offset += BLOCK_ROWS) {
            const size_t left = (size_t)form->map[m].count - offset, count = left < BLOCK_ROWS ? left : BLOCK_ROWS;
            row_block *block = rows->block + number++;
            *block = (row_block){.rows = count, .size = padded(count), .from = from, .at = at, .map = m, .offset = offset};
            from += count, at += block->size;
        }
}

/* Groups after the first have their own sums. */
static void lay_out(void *owner, arena *from) {
    table *rows = owner;
    const size_t size = rows->size, ld = rows->ld;
    double **by_row[] = {&rows->q, &rows->t, &rows->low, &rows->high, &rows->length};
    double **by_column[] = {&rows->p, &rows->w_scale, &rows->b0};
    rows->block = TAKE(from, rows->blocks + 1, row_block), rows->group = TAKE(from, rows->groups, row_group);
    rows->size_of = TAKE(from, (size_t)rows->form->maps, map_size);
    TAKE_EACH(from, by_row, size);
    TAKE_EACH(from, by_column, ld);
    rows->h0 = TAKE(from, ld * ld, double);
    rows->kept = size * ld <= KEPT_ENTRIES ? TAKE(from, size * ld, double) : NULL;
    for (size_t g = 0; g < rows->groups; g++) {
        double *made = TAKE(from, BLOCK_ROWS * ld, double), *scratch = TAKE(from, BLOCK_ROWS * PAD, double);
        double *h = g ? TAKE(from, ld * ld, double) : NULL, *one = g ? TAKE(from, 2 * ld, double) : NULL;
        if (from->at)
            rows->group[g] = (row_group){.made = made, .scratch = scratch, .own_h = h, .own_one = one, .own_two = g ? one + ld : NULL};
    }
}

int table_open(table *rows, const core_form *form, core_team *team, stop_flag stop, double end) {
    *rows = (table){.form = form, .team = team, .stop = stop, .end = end};
    rows->r = (size_t)form->r, rows->ld = padded(rows->r), rows->rows = (size_t)form->rows;
    for (int64_t m = 0; m < form->maps; m++) {
        rows->blocks += (size_t)(form->map[m].count + BLOCK_ROWS - 1) / BLOCK_ROWS;
        rows->size += padded((size_t)form->map[m].count);
    }
    rows->groups = rows->blocks < GROUPED_BLOCKS ? 1 : GROUPS;
    rows->arrays = arena_open(lay_out, rows, form->give);
    if (!rows->arrays) return CORE_MEMORY;
    lay_blocks(rows);
    for (size_t b = 0; b < rows->blocks; b++) {
        row_block *block = rows->block + b;
        memcpy(rows->length + block->at, form->length + block->from, block->rows * sizeof(double));
        for (size_t i = block->rows; i < block->size; i++) rows->length[block->at + i] = 1.0;
        if (!rows->kept) continue;
        make_matrix(form, block, rows->kept + block->at * rows->ld);
        block->kept = rows->kept + block->at * rows->ld;
    }
    return CORE_DONE;
}

void table_close(table *rows) {
    if (!rows->form->give) free(rows->arrays);
}

bool table_stopped(const table *rows) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return *rows->stop || (double)now.tv_sec + 1e-9 * (double)now.tv_nsec >= rows->end;
}

/* Copy the rows of a block. Sums: c0, number of bounds, of rows with one bound, of blocks without bounds; h0 and b0 of
   a block without bounds. */
static void load_block(void *data, row_group *group, row_block *block) {
    table *rows = data;
    const core_form *form = rows->form;
    const size_t from = rows->problem * rows->rows + block->from, bytes = block->rows * sizeof(double);
    double *q = rows->q + block->at, *t = rows->t + block->at;
    double *low = rows->low + block->at, *high = rows->high + block->at;
    double weight[BLOCK_ROWS], slope[BLOCK_ROWS], bounds = 0.0;
    memcpy(q, form->q + from, bytes), memcpy(t, form->t + from, bytes);
    memcpy(low, form->low + from, bytes), memcpy(high, form->high + from, bytes);
    for (size_t i = block->rows; i < block->size; i++) q[i] = 1.0, t[i] = low[i] = high[i] = 0.0;
    EACH_ROW(block, i) {
        const int count = has_low(rows, i) + has_high(rows, i);
        bounds += count;
        group->sums[2] += count == 1;
    }
    group->sums[1] += bounds;
    block->bounded = bounds > 0.0;
    if (block->bounded) return;
    for (size_t i = 0; i < block->size; i++) {
        const bool open = low[i] < high[i];
        weight[i] = open ? 1.0 / q[i] : 0.0;
        slope[i] = open ? -weight[i] * t[i] : low[i];
        group->sums[0] += (open ? -0.5 : -1.0) * slope[i] * t[i];
    }
    group->sums[3] += 1.0;
    const double *a = block_matrix(rows, block, group);
    gram(a, block->size, rows->ld, weight, group->h, group->scratch);
    add_rows(slope, a, block->size, rows->ld, group->one, rows->ld);
}

void table_load(table *rows, size_t problem) {
    const core_form *form = rows->form;
    const size_t r = rows->r;
    rows->problem = problem;
    rows->z_scale = form->z_scale[problem], rows->u_scale = form->u_scale[problem];
    memset(rows->h0, 0, rows->ld * rows->ld * sizeof(double));
    memset(rows->b0, 0, rows->ld * sizeof(double));
    memcpy(rows->p, form->penalty + problem * r, r * sizeof(double));
    memcpy(rows->w_scale, form->w_scale + problem * r, r * sizeof(double));
    rows->penalized = true;
    for (size_t j = 0; j < r; j++) rows->penalized &= rows->p[j] > 0.0;
    const double *sums = pass(rows, load_block, rows, true, rows->h0, rows->b0, NULL)->sums;
    rows->c0 = sums[0], rows->bounds = (size_t)sums[1], rows->two_sided = sums[2] == 0.0, rows->curved = sums[3] > 0.0;
}

static void forward_block(void *data, row_group *group, row_block *block) {
    const table *rows = data;
    dots(block_matrix(rows, block, group), block->size, rows->ld, rows->w_in, rows->z_out + block->at, rows->ld);
}

void table_forward(table *rows, const double *w, double *z, bool only_bounded) {
    rows->w_in = w, rows->z_out = z;
    pass(rows, forward_block, rows, !only_bounded, NULL, NULL, NULL);
}

double quadratic_pull(const table *rows, const double *w, double *residual) {
    double energy = 0.0;
    if (rows->curved) symmetric_product(rows->h0, rows->r, rows->ld, w, residual);
    else memset(residual, 0, rows->ld * sizeof *residual);
    for (size_t j = 0; j < rows->r; j++) {
        const double bend = residual[j] + rows->p[j] * w[j];
        energy += 0.5 * w[j] * bend;
        residual[j] = bend + rows->b0[j];
    }
    return energy;
}

static double row_value(const table *rows, size_t i, double z) {
    const double v = z - rows->t[i], u = row_slope(v, rows->q[i], rows->low[i], rows->high[i]);
    return isfinite(u) ? (v - 0.5 * rows->q[i] * u) * u : INFINITY;
}

/* A sum with the largest entry replaced by the second largest. */
typedef struct {
    double total, first, second;
    size_t count;
} trimmed_sum;

static void add(trimmed_sum *sum, double value) {
    sum->total += value, sum->count++;
    if (value > sum->first) sum->second = sum->first, sum->first = value;
    else if (value > sum->second) sum->second = value;
}

static double trimmed(const trimmed_sum *sum) {
    return sum->count < 2 ? sum->total : sum->total - sum->first + sum->second;
}

/* The index in padded arrays of row i of the table; *block: a block not after that of i, advanced to it. */
static size_t place_of(const table *rows, size_t i, size_t *block) {
    while (i >= rows->block[*block].from + rows->block[*block].rows) ++*block;
    return rows->block[*block].at + (i - rows->block[*block].from);
}

double gap_scale(const table *rows, const double *w, const double *z, double gap) {
    const core_form *form = rows->form;
    const size_t n = (size_t)form->loss_rows, functions = (size_t)form->loss_functions, problem = rows->problem;
    if (form->given_gap_scale) return form->given_gap_scale[problem];
    trimmed_sum remains = {0.0, -INFINITY, -INFINITY, 0}, explained = remains;
    size_t blocks[4] = {0};
    for (size_t i = 0; i < n; i++) {
        double excess = 0.0;
        for (size_t k = 0; k < functions; k++) {
            const size_t at = place_of(rows, k * n + i, blocks + (k < 4 ? k : 3));
            excess += row_value(rows, at, z[at]);
        }
        const double left = form->share[problem * n + i] * excess;
        add(&remains, left);
        add(&explained, form->lost[problem * n + i] - left);
    }
    double penalties = 0.0;
    for (size_t j = 0; j < rows->r; j++) penalties += 0.5 * rows->p[j] * w[j] * w[j];
    for (size_t i = functions * n, block = 0; i < rows->rows; i++) {
        const size_t at = place_of(rows, i, &block);
        const double value = row_value(rows, at, z[at]);
        if (isfinite(value)) penalties += value;
    }
    const double most = trimmed(&remains) + penalties, fit = trimmed(&explained) - penalties + gap;
    return larger(smaller(most, larger(fit, form->charged[problem])), form->least[problem]);
}

void factor_system(newton_system *system, const double *penalty, const double *extra) {
    for (size_t j = 0; j < system->r; j++) {
        double *pivot = system->h + j * system->ld + j;
        *pivot = (*pivot + penalty[j] + (extra ? extra[j] : 0.0)) * (1.0 + PIVOT_ROUNDING * (double)system->r);
        system->floor[j] = 0.1 * PIVOT_ROUNDING * *pivot;
    }
    cholesky(system->h, system->r, system->ld, system->floor);
}

void solve_system(const newton_system *system, double *x) {
    solve_lower(system->h, system->r, system->ld, x);
    solve_upper(system->h, system->r, system->ld, x);
}
