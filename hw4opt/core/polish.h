/* Polishing: find the active set of a nearly optimal point and land on it exactly (polish.c). */

#ifndef HW4OPT_POLISH_H
#define HW4OPT_POLISH_H

#include "rows.h"

/* A point and its gap: w (ld), u by padded row. */
typedef struct {
    double *w, *u, gap;
} point;

/* What polishing needs besides the table: row arrays, column arrays and a system, all of the table's sizes. */
typedef struct {
    double *z, *dz, *center, *epsilon, *fresh, *weight; /* by row */
    double *w, *direction, *gradient, *base;            /* by column */
    newton_system system;
} polish_space;

/* The duality gap of a point as polishing counts it, violated constraints at their price. */
double point_gap(table *rows, polish_space *space, const point *at);

/* Polish `best`, whose gap is NAN where it is not known, until its gap is well below `aim`, in at most `rounds` steps. */
void polish(table *rows, polish_space *space, point *best, double aim, int rounds);

#endif
