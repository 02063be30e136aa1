/* Fits without the rows of a fold: what Python hands over, and what the files of this engine share.

   minimise over w   ½ Σ p_j w_j² + Σ f_i(a_iᵀw),   f_i*(u) = ½ q u² + t u on low ≤ u ≤ high

   A row is LOW or HIGH (u at an end), CURVED (q > 0, u = (z - t)/q) or EQUAL (q = 0, z = t, u a multiplier). At given
   states w solves a linear system. The base (fold_base.c) is the fit of all rows: H = P + Σ aaᵀ/q over CURVED rows,
   H⁻¹ = VVᵀ, and QR = VᵀA_Eᵀ over the EQUAL ones. It answers a force y_j on row j (u_j is y_j smaller than its state
   says), or a row of E moved by y_j, with w and the positions x of all rows (z, of E u): x = x₀ + yT, T symmetric.

   A path (fold_path.c) leads from the base, σ = 1, to a fold, σ = 0: what leaves goes on pulling with σ of its dual,
   what appears is held back by σ of its own, and a row on the wrong side of its state has its end or breakpoint moved
   there by σ of the distance. Between changes of state everything is linear in σ; the rows that differ from the base
   are a small system, solved anew after every change. The gap of every fold is summed from its own rows (folds.c).

   Where rows are quadratics that touch others, which Python knows, all folds of a setting are solved round by round:
   between rounds Python says what linear function, the last row, each fold lacks. A fold's states of the round before
   mostly still are right; where not, it takes the path anew. */

#ifndef HW4OPT_FOLDS_H
#define HW4OPT_FOLDS_H

#include "core.h"
#include "gap.h"

#include <stdbool.h>
#include <stdint.h>

/* Settings over one basis and their folds. The rows of all data come first, then those that only folds have, merged
   over points that leave. Arrays are in C order. */
typedef struct {
    int64_t settings, folds, rank, rows, extra;
    int64_t values;                    /* the first rows, that are fitted values */
    const double *a;                   /* (rows + extra, rank) */
    const double *unit;                /* (rows + extra) of each row's z, where fitted values have 1 */
    const double *q, *t, *low, *high;  /* (settings, rows + extra) */
    const double *penalty, *w_scale;   /* (settings, rank) */
    const double *z_scale, *u_scale;   /* (settings) typical |z| and |u| of the loss, */
    const double *gap_scale;           /* … and what gaps are relative to */
    const double *w, *u;               /* the full fits, nearly: (settings, rank), (settings, rows) */
    const int64_t *leave_from, *leave; /* the rows that leave in fold k: leave[leave_from[k]] … */
    const int64_t *enter_from, *enter; /* … and that appear */
    int64_t (*correct)(int64_t setting); /* after a round: sets force and again; < 0: stop, 0: there is no more; or NULL */
    double *force;                     /* (settings, folds, rank): a of the last row, z, in each fold */
    unsigned char *again;              /* (settings, folds): 1 where the fold is solved in the next round */
    double *fold_w;                    /* (settings, folds, rank) */
    double *fold_u;                    /* (settings, folds, rows + extra), or NULL */
    double *gap;                       /* (settings, folds), relative to gap_scale; infinite: no answer */
    int64_t *events;                   /* (settings, folds), changes of state along the path */
    int64_t *wrong; /* (settings), rows of the full fit that are not where their states ask; -1: there is no base */
    const double *limit; /* (settings): a setting whose held-out losses add up to more is given up; or NULL */
    const int64_t *scored; /* (rows): 1 where f, at least 0, of a row that leaves is a held-out loss */
    double *bound;         /* (settings): what they add up to at least */
} core_fold_task;

enum { ABSENT, LOW, HIGH, CURVED, EQUAL, IMPLIED }; /* IMPLIED: u = 0, z = t whatever u is, as others have it so */
enum {
    MOST_CHANGED = 512, /* rows of one path that differ from the base, */
    MOST_UNKNOWN = 96,  /* … and those among them whose force is not known beforehand */
    GATHERED_ROWS = 64, /* rows whose Gram product is formed at once */
};

/* A row that differs from the base along a path: t + σ t_shift and so on; pull: σ · pull is added to its dual. */
typedef struct {
    size_t row;
    unsigned char base, now;
    bool own;   /* it has shifts of its own, or leaves or appears: it stays in the list whatever its state */
    bool stuck; /* it depends on E: what moves it is rounding */
    int unknown;
    double z0, u0; /* at the base */
    double t_shift, low_shift, high_shift, pull;
    double y[2];           /* y[0] + σ y[1] */
    const double *x, *w;   /* its response, NULL: not needed so far */
} change;

/* A row on its way out of its state: margin[0] + σ margin[1] reaches 0. */
typedef struct {
    size_t row;
    unsigned char to;
    double margin[2], slack;
} candidate;

/* What a fold adds to the held-out losses of its setting, by guess and at least. */
typedef struct {
    size_t fold;
    double likely, least;
} share;

typedef struct {
    const core_fold_task *task;
    stop_flag stop;
    size_t r, ld, rows, m, all, capacity;
    size_t fixed; /* the first rows, a multiple of PAD: their states cannot change, so that folds need their sum only */
    double *columns, *by_row; /* A of all data by columns: the fixed rows, the others; all rows, by rows (all × ld) */
    /* the setting */
    const double *q, *t, *low, *high;
    double *penalty, *w_scale;
    double z_scale, u_scale, gap_scale;
    double *z_slack, *u_slack; /* (all) */
    double reach, largest_z, largest_u; /* at the base; of fitted values, of fixed rows */
    double *gram, *pull;                /* (r × ld), (ld): Aᵀu of the fixed rows is gram · w + pull */
    /* the base */
    unsigned char *state;
    double *w, *x, *x_low, *x_high; /* limits with slack */
    double *multiplier, *floor, *v, *qt, *tri; /* v: V; qt: Q by its columns; tri: R */
    size_t held_count;
    size_t *held;
    int *place;
    double stiff;
    change *wrong;
    size_t wrong_count;
    /* responses of rows, as far as they are known */
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
    /* the fold: the rows that leave and appear; z and u of its rows (place_of); rows that are not there */
    const int64_t *leave, *leave_end, *enter, *enter_end;
    double *fold_w, *z, *u, *residual;
    unsigned char *absent;
    share *shares; /* (folds), in the order in which they are solved */
    unsigned char *known; /* (folds × all) states of the round before */
    /* scratch */
    double *b, *c, *d, *f, *shift, *wide, *vectors, *gathered, *tile;
} engine;

static inline double largest(const double *x, size_t size) {
    double found = 0.0;
    for (size_t i = 0; i < size; i++) found = larger(found, fabs(x[i]));
    return found;
}

static inline const double *row_of(const engine *e, size_t row) { return e->by_row + row * e->ld; }

/* Where z and u of a row stand: those that only folds have come behind all data's, padded. */
static inline size_t place_of(const engine *e, size_t row) { return row < e->rows ? row : row - e->rows + e->m; }

/* Of all data's rows that are not fixed: how many, padded, and z = A w into their places. */
static inline size_t moving(const engine *e) { return e->m - e->fixed; }

static inline void forward_moving(const engine *e, const double *w, double *z) {
    forward(e->columns + e->fixed * e->r, moving(e), e->r, w, z + e->fixed);
}

static inline bool is_open(const engine *e, size_t row) { return e->low[row] < e->high[row]; }

/* The state of a row whose u cannot move. */
static inline unsigned char closed_state(const engine *e, size_t row) { return e->low[row] == 0.0 ? ABSENT : LOW; }

static inline double end_of(const engine *e, size_t row, unsigned char state) {
    return state == LOW ? e->low[row] : state == HIGH ? e->high[row] : 0.0;
}

static inline double clipped(const engine *e, size_t row, double u) {
    return smaller(larger(u, e->low[row]), e->high[row]);
}

/* Between what the position of a row in this state has to lie. */
void limits_of(const engine *e, size_t row, unsigned char state, double *low, double *high);

/* u of a row of all data by its state in the base. */
double dual_of(const engine *e, size_t row, double z);

/* The base of a setting: how many of its rows are still wrong, -1: there is none. */
int64_t make_base(engine *e, size_t setting);

/* The answer of w and of the multipliers of E to a force (r), with row k of E moved by shift[k]; shift is used up. */
void solve_base(const engine *e, const double *force, double *shift, double *w, double *multiplier);

/* g += Aᵀu over the rows of all data that are not fixed. */
void adjoint_moving(const engine *e, const double *u, double *g);

void clear_responses(engine *e);
void clear_path(engine *e);

/* A row's place among those that differ; NULL: there is no room. */
change *changed_row(engine *e, size_t row);

/* z of a row that differs, or its own u in E: constant and times σ. */
void position_of(const engine *e, const change *one, double x[2]);

/* From σ = 1 to 0, `events` changes of state on the way; false where the path ends before. */
bool follow(engine *e, int64_t *events);

/* Whether no row would have to change its state. */
bool settled(engine *e);

/* The system of the path's last piece, factored, for another right side. */
void solve_forces(const engine *e, double *y);

CORE_API int core_folds(const core_fold_task *task, int64_t first, int64_t last, stop_flag stop);
CORE_API int core_fold_gaps(const core_fold_task *task, int64_t first, int64_t last, stop_flag stop);

#endif
