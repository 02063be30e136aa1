/* Polishing: identify the active set of a nearly optimal point and solve for it exactly (polish.c). */

#ifndef HW4OPT_POLISH_H
#define HW4OPT_POLISH_H

#include "rows.h"

/* A point w (ld), u (padded rows), and its duality gap. */
typedef struct {
    double *w, *u, gap;
} point;

static inline void copy_point(const table *rows, const point *from, point *to) {
    memcpy(to->w, from->w, rows->ld * sizeof(double)), memcpy(to->u, from->u, rows->size * sizeof(double));
    to->gap = from->gap;
}

/* Work space of polishing, with the sizes of the table. */
typedef struct {
    table *rows;
    double *z, *ahead, *center, *epsilon, *u; /* rows: z before a step, z after it, c, ε, and u after it */
    double *w, *direction, *gradient, *base;  /* columns */
    newton_system system;
    const double *given; /* arguments of passes: u (NULL: u⁺), whether c is updated, and the step length */
    bool moving;
    double length, norm; /* of the last step, and of w at the start */
} polish_space;

/* The duality gap of a point, with a price for violated constraints. */
double point_gap(polish_space *space, const point *at);

/* Polish `best` (gap NAN if unknown) until its gap is well below `aim`, with at most `rounds` steps, of which at most
   `patience` in sequence do not halve the gap. */
void polish(polish_space *space, point *best, double aim, int rounds, int patience);

#endif
