/* Polishing: find the active set of a nearly optimal point and land on it exactly (polish.c). */

#ifndef HW4OPT_POLISH_H
#define HW4OPT_POLISH_H

#include "rows.h"

/* A point and its gap: w (ld), u by padded row. */
typedef struct {
    double *w, *u, gap;
} point;

static inline void copy_point(const table *rows, const point *from, point *to) {
    memcpy(to->w, from->w, rows->ld * sizeof(double)), memcpy(to->u, from->u, rows->size * sizeof(double));
    to->gap = from->gap;
}

/* What polishing needs besides the table: row arrays, column arrays and a system, all of the table's sizes. */
typedef struct {
    table *rows;
    double *z, *ahead, *center, *epsilon, *u; /* by row: z before a step, and z and u after it */
    double *w, *direction, *gradient, *base;  /* by column */
    newton_system system;
    const double *given; /* what passes are given: u, NULL: u⁺; whether the centre moves; the length of a step */
    bool moving;
    double length, reach;
} polish_space;

/* The duality gap of a point as polishing counts it, violated constraints at their price. */
double point_gap(polish_space *space, const point *at);

/* Polish `best`, whose gap is NAN where it is not known, until its gap is well below `aim`, in at most `rounds` steps,
   and no more than `patience` that don't halve it. */
void polish(polish_space *space, point *best, double aim, int rounds, int patience);

#endif
