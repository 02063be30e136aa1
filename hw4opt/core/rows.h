/* The row table: the rows A are shared by a batch of problems, which are loaded one at a time.

   minimise over w in R^r   ½ Σ_j p_j w_j² + Σ_i f_i(a_iᵀw),    f_i(z) = max over low ≤ u ≤ high of (z - t) u - ½ q u²

   A row is closed (low = high: linear, u is constant), free (no bounds: quadratic, u = (z - t)/q) or bounded. */

#ifndef HW4OPT_ROWS_H
#define HW4OPT_ROWS_H

#include "arena.h"
#include "core.h"
#include "gap.h"
#include "team.h"

#include <stdbool.h>
#include <stdint.h>

/* A sparse row map: row j is Σ_c coef[j, c] · base[index[j, c]], with index[j, c] = first + j + c if index is NULL. */
typedef struct {
    int64_t count, first, width;
    const int64_t *index; /* (count, width), or NULL */
    const double *coef;   /* (count, width) with stride coef_stride between rows, or NULL: all 1 */
    int64_t coef_stride;
} row_map;

/* A batch of problems, filled by Python; arrays are C-contiguous, (b, M) unless stated otherwise. */
typedef struct {
    int64_t batch, r, base_rows, maps, rows;
    const double *base; /* (N, r) */
    const row_map *map; /* (maps), whose concatenated rows are the M rows of the table */
    const double *penalty; /* (b, r) */
    const double *q, *t, *low, *high;
    const double *length;    /* (M) typical length of the rows of A */
    const double *w_scale;   /* (b, r) typical |w| of unpenalised columns */
    const double *proximal;  /* (b, r) curvature of the proximal term that Newton steps add to these columns */
    const double *z_scale, *u_scale; /* (b) typical |z| and |u| of the loss */
    const double *given_gap_scale; /* (b) gap_scale, or NULL: computed from the next four (form/gap_scale.py) */
    const double *share, *lost;       /* (b, loss_rows) */
    const double *charged, *least;    /* (b) */
    double loss_length;
    int64_t loss_rows, loss_functions; /* the first loss_rows × loss_functions rows belong to the loss */
    int64_t data_rows;
    take_block give; /* allocates the solver's arrays, or NULL: calloc */
} core_form;

enum { BLOCK_ROWS = 64 };

/* Up to BLOCK_ROWS rows that are processed together; their part of A is stored, or computed in each pass. */
typedef struct {
    size_t rows, size;     /* number of rows, and padded */
    size_t from, at;       /* index of the first row in the table, and in padded arrays */
    size_t map, offset;    /* the row map, and the first row in it */
    const double *kept;
    bool bounded; /* whether some row has a bound in the current problem */
} row_block;

/* Sizes over the rows of a map at the start of polishing. */
typedef struct {
    double largest_dual, largest_z, total_z, total_length;
} map_size;

/* The work space of a group of consecutive blocks: a block's matrix, the weighted columns of its Gram product, and the
   group's contribution to sums over all rows. The first group adds directly to the result. */
typedef struct {
    double *made, *scratch, *h, *one, *two;
    double sums[4], largest;
    double *own_h, *own_one, *own_two;
} row_group;

/* The operation of a pass on a block. */
typedef void (*block_act)(void *data, row_group *group, row_block *block);

/* The work space for problems solved one at a time; row arrays have `size` entries, column arrays `ld`. */
typedef struct {
    const core_form *form;
    size_t r, ld, rows, size, blocks;
    row_block *block;
    map_size *size_of; /* (maps) */
    size_t groups;
    row_group *group;
    core_team *team;
    stop_flag stop;
    double end; /* deadline, seconds since the epoch */
    void *arrays;
    double *kept; /* A by blocks, NULL if it is computed in each pass */
    double *q, *t, *low, *high, *length;
    double *p, *w_scale;               /* (ld) */
    double *h0, *b0;                   /* the sum of the blocks without bounds: ½ wᵀh0 w + b0ᵀw + c0 */
    double c0;
    size_t problem, bounds;
    block_act act; /* arguments of a pass: operation, its data, and whether blocks without bounds are included */
    void *data;
    bool all;
    const double *w_in; /* arguments of table_forward */
    double *z_out;
    double z_scale, u_scale;
    bool two_sided; /* every bounded row has both bounds */
    bool penalized; /* every column has a penalty */
    bool curved;    /* some block has no bounds: h0 may be nonzero */
} table;

int table_open(table *rows, const core_form *form, core_team *team, stop_flag stop, double end);
void table_close(table *rows);
void table_load(table *rows, size_t problem);
bool table_stopped(const table *rows); /* by the stop flag or the deadline */
const double *block_matrix(const table *rows, const row_block *block, const row_group *group);

#define EACH_BOUNDED_BLOCK(rows, block) \
    for (row_block *block = (rows)->block; block < (rows)->block + (rows)->blocks; block++) if (block->bounded)
#define EACH_ROW(block, i) for (size_t i = (block)->at; i < (block)->at + (block)->size; i++)
#define EACH_VECTOR(block, i) for (size_t i = (block)->at; i < (block)->at + (block)->size; i += LANES)

static inline bool is_open(const table *rows, size_t i) { return rows->low[i] < rows->high[i]; }
static inline bool has_low(const table *rows, size_t i) { return is_open(rows, i) && rows->low[i] > -INFINITY; }
static inline bool has_high(const table *rows, size_t i) { return is_open(rows, i) && rows->high[i] < INFINITY; }

/* A pass over the blocks with bounds, in groups. Results are added to h, one and two (may be NULL); `sums` and
   `largest` are reset first and returned in the first group. */
const row_group *table_pass(table *rows, block_act act, void *data, double *h, double *one, double *two);

/* z = A w for all rows, or for those of blocks with bounds. */
void table_forward(table *rows, const double *w, double *z, bool only_bounded);

/* residual = h0 w + b0 + P w; returns ½ wᵀ(h0 + P) w. */
double quadratic_pull(const table *rows, const double *w, double *residual);

/* The gap_scale at (w, z) (form/gap_scale.py). */
double gap_scale(const table *rows, const double *w, const double *z, double gap);

/* Solves (H + P) x = b; H (upper) is overwritten by its factor, columns without curvature are dropped. */
typedef struct {
    double *h, *floor;
    size_t r, ld;
} newton_system;

void factor_system(newton_system *system, const double *penalty, const double *extra);
void solve_system(const newton_system *system, double *x);

#endif
