/* Pivoted Cholesky factorisation of a Gram matrix K, and the inverse of the factor at the pivots. (Harbrecht, Peters
   and Schneider 2012.) */

#include "core.h"
#include "linalg.h"

#include <stdint.h>

typedef struct {
    int64_t size, room, done; /* functionals; capacity and number of pivots */
    int64_t next;             /* the functional of largest residual, -1 if none is above the floor */
    double floor;
    const double *weight; /* (size) factors of the residuals in the choice of pivots */
    double *left;         /* (size) weighted residuals of k(x, x) of each functional */
    double *rows;         /* (room, size padded): K ≈ rowsᵀ rows */
    int64_t *pivots;      /* (room) */
} pivoting;

/* Add at most `most` pivots; column j of K (size) starts at columns + j * stride. */
CORE_API int core_pivot(pivoting *own, const double *columns, int64_t stride, int64_t most, stop_flag stop) {
    const size_t size = (size_t)own->size, ld = padded(size);
    for (; own->next >= 0 && own->done < own->room && most > 0; most--) {
        if (*stop) return CORE_STOPPED;
        const size_t best = (size_t)own->next, done = (size_t)own->done;
        const double *column = columns + own->next * stride, root = sqrt(own->left[best] / own->weight[best]);
        double *fresh = own->rows + done * ld, largest = own->floor;
        memcpy(fresh, column, size * sizeof *fresh);
        memset(fresh + size, 0, (ld - size) * sizeof *fresh);
        /* subtracted one at a time from the residual, which becomes small; their sum would have more rounding */
        for (size_t k = 0; k < done; k++) axpy(-own->rows[k * ld + best], own->rows + k * ld, fresh, ld);
        for (size_t i = 0; i < size; i++) {
            fresh[i] /= root;
            own->left[i] -= own->weight[i] * (fresh[i] * fresh[i]);
        }
        own->left[best] = 0.0;
        own->pivots[own->done++] = own->next, own->next = -1;
        for (size_t i = 0; i < size; i++)
            if (own->left[i] > largest) largest = own->left[i], own->next = (int64_t)i;
    }
    return CORE_DONE;
}

/* The inverse (done, done) of the upper triangular factor at the pivots. */
CORE_API int core_inverse_at_pivots(const pivoting *own, double *inverse, stop_flag stop) {
    const size_t r = (size_t)own->done, ld = padded((size_t)own->size);
    for (size_t i = r; i-- > 0;) {
        if (*stop) return CORE_STOPPED;
        const double *factor = own->rows + i * ld, pivot = factor[own->pivots[i]];
        double *row = inverse + i * r;
        memset(row, 0, r * sizeof *row);
        row[i] = 1.0;
        for (size_t k = i + 1; k < r; k++) {
            const double share = factor[own->pivots[k]], *below = inverse + k * r;
            for (size_t j = k; j < r; j++) row[j] -= share * below[j];
        }
        for (size_t j = i; j < r; j++) row[j] /= pivot;
    }
    return CORE_DONE;
}
