/* Fits without the rows of a fold: the task that Python fills, and declarations shared by the files of this engine.

   minimise over w   ½ Σ p_j w_j² + Σ f_i(a_iᵀw),   f_i*(u) = ½ q u² + t u on low ≤ u ≤ high

   The state of a row is LOW or HIGH (u at that bound), CURVED (q > 0, u = (z - t)/q) or EQUAL (q = 0, z = t, u a
   multiplier). For given states w solves a linear KKT system. The base (fold_base.c) is the fit of all rows: H = P + Σ
   aaᵀ/q over CURVED rows, H⁻¹ = VVᵀ, and QR = VᵀA_Eᵀ for the set E of EQUAL rows. Its response to a force y_j on row j
   (u_j is reduced by y_j from the value of its state), or to a displacement y_j of t_j for a row of E, is w and the
   positions x of all rows (z, or u for rows of E): x = x₀ + yT, T symmetric.

   The homotopy path (fold_path.c) leads from the base at σ = 1 to a fold at σ = 0: a row that leaves keeps σ times its
   dual, a row that enters has σ times its own dual subtracted, and for a row that violates its state the bound or
   breakpoint is shifted by σ times the violation. Between changes of state the solution is linear in σ; the rows that
   differ from the base form a small system (a Schur complement), which is solved again after each change. The duality
   gap of a fold is summed over its own rows (folds.c).

   If rows are quadratics that touch smooth losses, which Python evaluates, all folds of a setting are solved in rounds:
   between rounds Python gives each fold its linear correction, the last row. The states of the previous round are tried
   first; if they are no longer correct, the path is followed again. */

#ifndef HW4OPT_FOLDS_H
#define HW4OPT_FOLDS_H

#include "core.h"
#include "gap.h"

#include <stdbool.h>
#include <stdint.h>

/* Settings over one basis and their folds. The rows of all data come first, then those that only folds have, such as
   differences across a point that leaves. Arrays are in C order. */
typedef struct {
    int64_t settings, folds, rank, rows, extra;
    int64_t values;                    /* number of first rows that are fitted values */
    const double *a;                   /* (rows + extra, rank) */
    const double *unit;                /* (rows + extra) unit of each row's z; 1 for fitted values */
    const double *q, *t, *low, *high;  /* (settings, rows + extra) */
    const double *penalty, *w_scale;   /* (settings, rank) */
    const double *z_scale, *u_scale;   /* (settings) typical |z| and |u| of the loss */
    const double *gap_scale;           /* (settings) gap_scale */
    const double *w, *u;               /* nearly optimal full fits: (settings, rank), (settings, rows) */
    const int64_t *leave_from, *leave; /* the rows that leave in fold k: leave[leave_from[k]] … */
    const int64_t *enter_from, *enter; /* … and that enter */
    int64_t (*correct)(int64_t setting); /* after a round: sets force and again; < 0: stop, 0: finished; or NULL */
    double *force;                     /* (settings, folds, rank): a of the last row in each fold */
    unsigned char *again;              /* (settings, folds): 1 if the fold is solved again in the next round */
    double *fold_w;                    /* (settings, folds, rank) */
    double *fold_u;                    /* (settings, folds, rows + extra), or NULL */
    double *gap;                       /* (settings, folds), relative to gap_scale; infinite without a solution */
    int64_t *events;                   /* (settings, folds) changes of state along the path */
    int64_t *wrong; /* (settings) rows of the full fit that violate their states; -1 without a base */
    const double *limit; /* (settings): a setting is abandoned once its held-out losses exceed it; or NULL */
    const int64_t *scored; /* (rows): 1 if f ≥ 0 of a row that leaves is a held-out loss */
    double *bound;         /* (settings): lower bound of the sum of the held-out losses */
} core_fold_task;

enum { ABSENT, LOW, HIGH, CURVED, EQUAL, IMPLIED }; /* IMPLIED: u = 0, and z = t follows from other rows */
enum {
    MOST_CHANGED = 512, /* rows of one path that differ from the base */
    MOST_UNKNOWN = 96,  /* … whose force is unknown: the size of the small system */
    GATHERED_ROWS = 64, /* rows of one Gram product */
};

/* A row that differs from the base along a path, with t + σ t_shift, low + σ low_shift, high + σ high_shift; σ · pull
   is added to its dual. */
typedef struct {
    size_t row;
    unsigned char base, now;
    bool own;   /* has shifts, leaves or enters: stays in the list in any state */
    bool stuck; /* linearly dependent on E: it moves only by rounding */
    int unknown;
    double z0, u0; /* at the base */
    double t_shift, low_shift, high_shift, pull;
    double y[2];           /* y[0] + σ y[1] */
    const double *x, *w;   /* its response, NULL if not computed */
} change;

/* A row that may leave its state: margin[0] + σ margin[1] reaches 0. */
typedef struct {
    size_t row;
    unsigned char to;
    double margin[2], slack;
} candidate;

/* The contribution of a fold to the held-out losses of its setting: an estimate and a lower bound. */
typedef struct {
    size_t fold;
    double likely, least;
} share;

typedef struct {
    const core_fold_task *task;
    stop_flag stop;
    size_t r, ld, rows, m, all, capacity;
    size_t fixed; /* number of first rows, a multiple of PAD, whose states cannot change: folds only need their sum */
    double *columns, *by_row; /* A of all data by columns, fixed rows first; A of all rows, by rows (all × ld) */
    /* the setting */
    const double *q, *t, *low, *high;
    double *penalty, *w_scale;
    double z_scale, u_scale, gap_scale;
    double *z_slack, *u_slack; /* (all) */
    double reach, largest_z, largest_u; /* at the base: scale of z, largest |fitted value|, largest |u| of fixed rows */
    double *gram, *pull;                /* (r × ld), (ld): Aᵀu of the fixed rows = gram · w + pull */
    /* the base */
    unsigned char *state;
    double *w, *x, *x_low, *x_high; /* x_low, x_high: limits of x with slack */
    double *multiplier, *floor, *v, *qt, *tri; /* v: V; qt: Q by its columns; tri: R */
    size_t held_count;
    size_t *held;
    int *place;
    double stiff;
    change *wrong;
    size_t wrong_count;
    /* cached responses of rows */
    int *slot;
    size_t *owner;
    size_t slots;
    double *response_x, *response_w;
    /* the path */
    change *changed;
    size_t changed_count, unknown_count;
    int *index;
    double sigma;
    double *xa, *matrix, *right, *scale;
    size_t *pivot, *unknowns;
    candidate *candidates;
    /* the fold: rows that leave and enter; z and u of its rows (place_of); mask of absent rows */
    const int64_t *leave, *leave_end, *enter, *enter_end;
    double *fold_w, *z, *u, *residual;
    unsigned char *absent;
    share *shares; /* (folds), in the order in which they are solved */
    unsigned char *known; /* (folds × all) states of the previous round */
    /* scratch */
    double *b, *c, *d, *f, *shift, *wide, *vectors, *gathered, *tile;
} engine;

static inline double largest(const double *x, size_t size) {
    double found = 0.0;
    for (size_t i = 0; i < size; i++) found = larger(found, fabs(x[i]));
    return found;
}

static inline const double *row_of(const engine *e, size_t row) { return e->by_row + row * e->ld; }

/* The index of a row in z and u: rows that only folds have come after all data's padded rows. */
static inline size_t place_of(const engine *e, size_t row) { return row < e->rows ? row : row - e->rows + e->m; }

/* The padded number of all data's rows that are not fixed, and z = A w for them. */
static inline size_t moving(const engine *e) { return e->m - e->fixed; }

static inline void forward_moving(const engine *e, const double *w, double *z) {
    forward(e->columns + e->fixed * e->r, moving(e), e->r, w, z + e->fixed);
}

static inline bool is_open(const engine *e, size_t row) { return e->low[row] < e->high[row]; }

/* The state of a row with low = high. */
static inline unsigned char closed_state(const engine *e, size_t row) { return e->low[row] == 0.0 ? ABSENT : LOW; }

static inline double end_of(const engine *e, size_t row, unsigned char state) {
    return state == LOW ? e->low[row] : state == HIGH ? e->high[row] : 0.0;
}

static inline double clipped(const engine *e, size_t row, double u) {
    return smaller(larger(u, e->low[row]), e->high[row]);
}

/* The limits of the position x of a row in this state. */
void limits_of(const engine *e, size_t row, unsigned char state, double *low, double *high);

/* u of a row of all data at z, by its state in the base. */
double dual_of(const engine *e, size_t row, double z);

/* Compute the base of a setting; returns the number of rows that violate their states, -1 without a base. */
int64_t make_base(engine *e, size_t setting);

/* The response of w and of the multipliers of E to a force (r) and to displacements shift[k] of the rows of E; shift is
   overwritten. */
void solve_base(const engine *e, const double *force, double *shift, double *w, double *multiplier);

/* g += Aᵀu for the rows of all data that are not fixed. */
void adjoint_moving(const engine *e, const double *u, double *g);

void clear_responses(engine *e);
void clear_path(engine *e);

/* The entry of a row in the list of changed rows, added if necessary; NULL if the list is full. */
change *changed_row(engine *e, size_t row);

/* The position of a changed row (z, or u in E) as x[0] + σ x[1]. */
void position_of(const engine *e, const change *one, double x[2]);

/* Follow the path from σ = 1 to 0; *events: changes of state. False if the path ends earlier. */
bool follow(engine *e, int64_t *events);

/* Whether the present states are optimal at σ = 0. */
bool settled(engine *e);

/* Solve the factored system of the path's last segment for another right-hand side. */
void solve_forces(const engine *e, double *y);

CORE_API int core_folds(const core_fold_task *task, int64_t first, int64_t last, stop_flag stop);
CORE_API int core_fold_gaps(const core_fold_task *task, int64_t first, int64_t last, stop_flag stop);

#endif
