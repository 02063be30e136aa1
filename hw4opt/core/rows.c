#include "rows.h"

#include <stdlib.h>

enum { BLOCK_ROWS = 256, KEPT_ENTRIES = 4000000 };

static const double PIVOT_ROUNDING = 1e-15; /* of a diagonal entry, times r */

static void make_matrix(const core_form *form, const row_block *block, double *a) {
    const row_map *map = form->map + block->map;
    const size_t r = (size_t)form->r, size = block->size, width = (size_t)map->width;
    for (size_t i = 0; i < size; i += PAD) {
        for (size_t j = 0; j < r; j++)
            for (size_t lane = 0; lane < PAD; lane++) a[j * size + i + lane] = 0.0;
        for (size_t lane = 0; lane < PAD && i + lane < block->rows; lane++) {
            const size_t row = block->offset + i + lane;
            double *out = a + i + lane;
            for (size_t c = 0; c < width; c++) {
                const size_t at = map->index ? (size_t)map->index[row * width + c] : (size_t)map->first + row + c;
                const double coef = map->coef ? map->coef[row * (size_t)map->coef_stride + c] : 1.0;
                const double *base = form->base + at * r;
                if (coef == 1.0 && c == 0)
                    for (size_t j = 0; j < r; j++) out[j * size] = base[j];
                else
                    for (size_t j = 0; j < r; j++) out[j * size] += coef * base[j];
            }
        }
    }
}

const double *block_matrix(table *rows, const row_block *block) {
    if (block->kept) return block->kept;
    make_matrix(rows->form, block, rows->made);
    return rows->made;
}

static size_t count_blocks(const core_form *form) {
    size_t count = 0;
    for (int64_t m = 0; m < form->maps; m++) count += (size_t)(form->map[m].count + BLOCK_ROWS - 1) / BLOCK_ROWS;
    return count;
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
    rows->size = at;
}

int table_open(table *rows, const core_form *form) {
    *rows = (table){.form = form, .r = (size_t)form->r, .ld = padded((size_t)form->r), .rows = (size_t)form->rows};
    rows->blocks = count_blocks(form);
    rows->block = calloc(rows->blocks + 1, sizeof *rows->block);
    if (!rows->block) return CORE_MEMORY;
    lay_blocks(rows);
    const size_t size = rows->size, ld = rows->ld;
    const bool keep = size * rows->r <= KEPT_ENTRIES;
    double *arrays = calloc(8 * size + 3 * ld + ld * ld + BLOCK_ROWS * (rows->r + 4), sizeof *arrays);
    if (keep) rows->kept = malloc((size * rows->r + 1) * sizeof *rows->kept);
    rows->q = arrays;
    if (!arrays || (keep && !rows->kept)) {
        table_close(rows);
        return CORE_MEMORY;
    }
    double **by_row[] = {&rows->q, &rows->t, &rows->low, &rows->high, &rows->length, &rows->open, &rows->has_low, &rows->has_high};
    for (size_t k = 0; k < 8; k++) *by_row[k] = arrays, arrays += size;
    rows->p = arrays, rows->w_scale = arrays + ld, rows->b0 = arrays + 2 * ld, rows->h0 = arrays + 3 * ld;
    rows->made = rows->h0 + ld * ld, rows->gram_scratch = rows->made + BLOCK_ROWS * rows->r;
    for (size_t b = 0; b < rows->blocks; b++) {
        row_block *block = rows->block + b;
        memcpy(rows->length + block->at, form->length + block->from, block->rows * sizeof(double));
        for (size_t i = block->rows; i < block->size; i++) rows->length[block->at + i] = 1.0;
        if (!keep) continue;
        make_matrix(form, block, rows->kept + block->at * rows->r);
        block->kept = rows->kept + block->at * rows->r;
    }
    return CORE_DONE;
}

void table_close(table *rows) {
    free(rows->block);
    free(rows->q);
    free(rows->kept);
    *rows = (table){0};
}

/* Which rows are open, and have bounds; the quadratic of the blocks without bounds. */
static void load_block(table *rows, row_block *block, const double *weight_scratch) {
    double *q = rows->q + block->at, *t = rows->t + block->at, *low = rows->low + block->at, *high = rows->high + block->at;
    double *open = rows->open + block->at, *has_low = rows->has_low + block->at, *has_high = rows->has_high + block->at;
    double *weight = (double *)weight_scratch, *slope = weight + block->size;
    size_t bounds = 0;
    for (size_t i = 0; i < block->size; i++) {
        const bool there = low[i] < high[i];
        open[i] = there;
        has_low[i] = there && low[i] > -INFINITY;
        has_high[i] = there && high[i] < INFINITY;
        if (has_low[i] + has_high[i] == 1.0) rows->two_sided = false;
        bounds += (size_t)(has_low[i] + has_high[i]);
    }
    rows->bounds += bounds;
    block->bounded = bounds > 0;
    if (block->bounded) return;
    for (size_t i = 0; i < block->size; i++) {
        weight[i] = open[i] != 0.0 ? 1.0 / q[i] : 0.0;
        slope[i] = open[i] != 0.0 ? -weight[i] * t[i] : low[i];
        rows->c0 += (open[i] != 0.0 ? -0.5 : -1.0) * slope[i] * t[i];
    }
    const double *a = block_matrix(rows, block);
    gram(a, block->size, rows->r, weight, rows->h0, rows->ld, rows->gram_scratch);
    adjoint(a, block->size, rows->r, slope, rows->b0);
}

void table_load(table *rows, size_t problem) {
    const core_form *form = rows->form;
    const size_t r = rows->r, m = problem * rows->rows;
    double weight[2 * BLOCK_ROWS];
    rows->problem = problem, rows->bounds = 0, rows->two_sided = true, rows->c0 = 0.0;
    rows->z_scale = form->z_scale[problem], rows->u_scale = form->u_scale[problem];
    memset(rows->h0, 0, rows->ld * rows->ld * sizeof(double));
    memset(rows->b0, 0, rows->ld * sizeof(double));
    for (size_t j = 0; j < r; j++)
        rows->p[j] = form->penalty[problem * r + j], rows->w_scale[j] = form->w_scale[problem * r + j];
    for (size_t b = 0; b < rows->blocks; b++) {
        row_block *block = rows->block + b;
        const size_t bytes = block->rows * sizeof(double), from = m + block->from;
        memcpy(rows->q + block->at, form->q + from, bytes), memcpy(rows->t + block->at, form->t + from, bytes);
        memcpy(rows->low + block->at, form->low + from, bytes), memcpy(rows->high + block->at, form->high + from, bytes);
        for (size_t i = block->at + block->rows; i < block->at + block->size; i++)
            rows->q[i] = 1.0, rows->t[i] = rows->low[i] = rows->high[i] = 0.0;
        load_block(rows, block, weight);
    }
}

void table_forward(table *rows, const double *w, double *z, bool only_bounded) {
    for (size_t b = 0; b < rows->blocks; b++) {
        const row_block *block = rows->block + b;
        if (only_bounded && !block->bounded) continue;
        forward(block_matrix(rows, block), block->size, rows->r, w, z + block->at);
    }
}

double stationarity_cost(const table *rows, const double *w, const double *residual) {
    double cost = 0.0;
    for (size_t j = 0; j < rows->r; j++)
        cost += rows->p[j] > 0.0 ? 0.5 * residual[j] * residual[j] / rows->p[j]
                                 : fabs(residual[j]) * fmax(fabs(w[j]), rows->w_scale[j]);
    return cost;
}

/* out = h x of a symmetric matrix, of which the upper triangle is kept. */
static void symmetric_product(const double *h, size_t r, size_t ld, const double *x, double *out) {
    memset(out, 0, ld * sizeof *out);
    for (size_t i = 0; i < r; i++) {
        const double *row = h + i * ld;
        double total = row[i] * x[i];
        for (size_t j = i + 1; j < r; j++) total += row[j] * x[j], out[j] += row[j] * x[i];
        out[i] += total;
    }
}

double quadratic_pull(const table *rows, const double *w, double *residual) {
    double energy = 0.0;
    symmetric_product(rows->h0, rows->r, rows->ld, w, residual);
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

/* A sum in which the largest entry counts as the second largest. */
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

/* Where the i-th row of the table stands in padded arrays. */
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
    return fmax(fmin(most, fmax(fit, form->charged[problem])), form->least[problem]);
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
