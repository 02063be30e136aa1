/* The row table of one problem after the other, over rows that all problems share.

   minimise over w in R^r   ½ Σ_j p_j w_j² + Σ_i f_i(a_iᵀw),    f_i(z) = max over low ≤ u ≤ high of (z - t) u - ½ q u²

   A row is closed (low = high: linear, u stays there), free (no bound: quadratic, u = (z - t)/q) or bounded. */

#ifndef HW4OPT_ROWS_H
#define HW4OPT_ROWS_H

#include "arena.h"
#include "core.h"
#include "gap.h"
#include "team.h"

#include <stdbool.h>
#include <stdint.h>

/* Rows of one map: row j is Σ_c coef[j, c] · base[index[j, c]], or of base rows first + j, first + j + 1, … */
typedef struct {
    int64_t count, first, width;
    const int64_t *index; /* (count, width), or NULL */
    const double *coef;   /* (count, width) with this stride between rows, or NULL: all ones */
    int64_t coef_stride;
} row_map;

/* A batch of problems as Python hands it over; arrays are C-contiguous, (b, M) unless said otherwise. */
typedef struct {
    int64_t batch, r, base_rows, maps, rows;
    const double *base; /* (N, r) */
    const row_map *map; /* (maps): their rows behind each other are the M rows of the table */
    const double *penalty; /* (b, r) */
    const double *q, *t, *low, *high;
    const double *length;    /* (M) typical length of the rows of A */
    const double *w_scale;   /* (b, r) the size of w where a column has no penalty */
    const double *proximal;  /* (b, r) curvature that Newton steps lend to such columns */
    const double *z_scale, *u_scale; /* (b) typical |z| and |u| of the loss */
    const double *given_gap_scale; /* (b) what gaps are relative to, or NULL: computed from the next ones */
    const double *share, *lost;       /* (b, loss_rows) */
    const double *charged, *least;    /* (b) */
    double loss_length;
    int64_t loss_rows, loss_functions; /* the first loss_rows × loss_functions rows are the loss's */
    int64_t data_rows;
    take_block give; /* what a solver keeps, or NULL: memory of its own */
} core_form;

enum { BLOCK_ROWS = 64 };

/* Rows that are visited together, their matrix kept, or made when it is asked for. */
typedef struct {
    size_t rows, size;     /* how many, and padded */
    size_t from, at;       /* the first one's place in the table, and in padded arrays */
    size_t map, offset;    /* whose rows, from which one on */
    const double *kept;
    bool bounded; /* of the current problem: some row has a bound */
} row_block;

/* Typical sizes over the rows of a map where polishing begins. */
typedef struct {
    double largest_dual, largest_z, total_z, total_length;
} map_size;

/* What a group of neighbouring blocks is visited with: room for a block's matrix and for the weighted columns of its
   Gram product; and what it adds to sums over all rows. Those of the first group are where the sums are wanted. */
typedef struct {
    double *made, *scratch, *h, *one, *two;
    double sums[4], largest;
    double *own_h, *own_one, *own_two;
} row_group;

/* What a pass does with a block. */
typedef void (*block_act)(void *data, row_group *group, row_block *block);

/* What one problem after the other is solved in; every row array has `size` entries, every column array `ld`. */
typedef struct {
    const core_form *form;
    size_t r, ld, rows, size, blocks;
    row_block *block;
    map_size *size_of; /* (maps) */
    size_t groups;
    row_group *group;
    core_team *team;
    stop_flag stop;
    double end; /* seconds since the epoch */
    void *arrays;
    double *kept; /* A by blocks, NULL where they are made */
    double *q, *t, *low, *high, *length;
    double *p, *w_scale;               /* (ld) */
    double *h0, *b0;                   /* of the blocks without bounds: ½ wᵀh0 w + b0ᵀw + c0 */
    double c0;
    size_t problem, bounds;
    block_act act; /* what a pass is given, and its data; whether it visits blocks without bounds too */
    void *data;
    bool all;
    const double *w_in; /* what table_forward is given */
    double *z_out;
    double z_scale, u_scale;
    bool two_sided; /* every bounded row has both bounds */
    bool penalized; /* every column has a penalty */
    bool curved;    /* h0 is not 0 */
} table;

int table_open(table *rows, const core_form *form, core_team *team, stop_flag stop, double end);
void table_close(table *rows);
void table_load(table *rows, size_t problem);
bool table_stopped(const table *rows); /* by another thread, or by the clock */
const double *block_matrix(const table *rows, const row_block *block, const row_group *group);

#define EACH_BOUNDED_BLOCK(rows, block) \
    for (row_block *block = (rows)->block; block < (rows)->block + (rows)->blocks; block++) if (block->bounded)
#define EACH_ROW(block, i) for (size_t i = (block)->at; i < (block)->at + (block)->size; i++)
#define EACH_VECTOR(block, i) for (size_t i = (block)->at; i < (block)->at + (block)->size; i += LANES)

static inline bool is_open(const table *rows, size_t i) { return rows->low[i] < rows->high[i]; }
static inline bool has_low(const table *rows, size_t i) { return is_open(rows, i) && rows->low[i] > -INFINITY; }
static inline bool has_high(const table *rows, size_t i) { return is_open(rows, i) && rows->high[i] < INFINITY; }

/* Visit the blocks with bounds, by groups; what they add to h, one and two (NULL: nothing), to `sums` and to `largest`,
   which are cleared before, stands in the first group. */
const row_group *table_pass(table *rows, block_act act, void *data, double *h, double *one, double *two);

/* z = A w over all rows, or those of blocks with bounds. */
void table_forward(table *rows, const double *w, double *z, bool only_bounded);

/* h0 w + b0 + P w into `residual`; gives ½ wᵀ(h0 + P) w. */
double quadratic_pull(const table *rows, const double *w, double *residual);

/* What a gap at (w, z) is relative to. */
double gap_scale(const table *rows, const double *w, const double *z, double gap);

/* Solve (H + P) x = b, H (upper) overwritten by its factor, columns without curvature left out. */
typedef struct {
    double *h, *floor;
    size_t r, ld;
} newton_system;

void factor_system(newton_system *system, const double *penalty, const double *extra);
void solve_system(const newton_system *system, double *x);

#endif
