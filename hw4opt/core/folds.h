/* Fits without the rows of a fold; see folds.c. */

#ifndef HW4OPT_FOLDS_H
#define HW4OPT_FOLDS_H

#include <stdint.h>

#include "core.h"

/* Settings over one basis and their folds. The rows of all data come first, then those that only folds have, merged
   over points that leave. Arrays are in C order. */
typedef struct {
    int64_t settings, folds, rank, rows, extra;
    int64_t values;          /* the first rows, that are fitted values */
    const double *a;         /* (rows + extra, rank) */
    const double *unit;      /* (rows + extra) of each row's z, where fitted values have 1 */
    const double *q, *t, *low, *high; /* (settings, rows + extra) */
    const double *penalty, *w_scale;  /* (settings, rank) */
    const double *u_scale, *gap_scale; /* (settings) */
    const double *w, *u;     /* the full fits, nearly: (settings, rank), (settings, rows); NULL: not known */
    const int64_t *leave_from, *leave, *enter_from, *enter; /* rows that leave (and appear) in fold k: k … k + 1 */
    double *fold_w;          /* out: (settings, folds, rank) */
    double *gap;             /* out: (settings, folds), relative to gap_scale; infinite: no answer */
    int64_t *events;         /* out: (settings, folds), changes of state along the path */
    int64_t *wrong;          /* out: (settings), rows of the base on the wrong side of their state; -1: no base */
} FoldTask;

/* The folds of the settings first ≤ s < last. */
CORE_API int folds_solve(const FoldTask *task, int64_t first, int64_t last, stop_flag stop);

#endif
