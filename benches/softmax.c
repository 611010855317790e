/* Softmax focal loss with gamma 2 as careful C programmers would write it, in two ways: row by row, and blocks of rows
 * with lanes across rows. The compiler vectorises the loops.
 *
 * Compiled at bench time with -DREAL=float and -DREAL=double and -Ofast -march=native -fopenmp.
 *
 * With p = softmax(x), q = 1 - p, L = -log p and F' = q^2 + 2 q p L of a class, y its target (1 for the class index):
 *     loss = sum_c y_c q_c^2 L_c,   gradient_j = p_j sum_c y_c F'_c - y_j F'_j
 *
 * Logits lie at x[row * row_stride + class * class_stride], dense targets and the gradient alike.
 */
#include <stddef.h>
#include <stdint.h>
#include <tgmath.h>

#define INLINE static inline __attribute__((always_inline))
#define ROWS _Pragma("omp parallel for num_threads(threads) schedule(static) reduction(+ : total)")

/* A row whose classes are next to each other; y is null for class indices, grad for the mean alone. */
INLINE REAL one_row(size_t classes, const REAL *x, int64_t target, const REAL *y, REAL *grad, REAL *e, REAL scale)
{
    REAL max = x[0], sum = 0;
    for (size_t k = 1; k < classes; k++)
        max = x[k] > max ? x[k] : max;
    for (size_t k = 0; k < classes; k++)
        sum += e[k] = exp(x[k] - max);
    REAL log_sum = log(sum), inverse = 1 / sum;
    if (!y) {
        REAL p = e[target] * inverse, q = 1 - p, nll = log_sum - (x[target] - max);
        if (grad) {
            REAL slope = scale * q * (q + 2 * p * nll), factor = slope * inverse;
            for (size_t k = 0; k < classes; k++)
                grad[k] = e[k] * factor;
            grad[target] -= slope;
        }
        return q * q * nll;
    }
    REAL loss = 0, slopes = 0;
    for (size_t k = 0; k < classes; k++) {
        REAL p = e[k] * inverse, q = 1 - p, nll = log_sum - (x[k] - max);
        loss += y[k] * q * q * nll;
        slopes += y[k] * q * (q + 2 * p * nll);
    }
    if (grad)
        for (size_t k = 0; k < classes; k++) {
            REAL p = e[k] * inverse, q = 1 - p, nll = log_sum - (x[k] - max);
            grad[k] = scale * (p * slopes - y[k] * q * (q + 2 * p * nll));
        }
    return loss;
}

INLINE double by_row(size_t rows, size_t classes, int threads, const REAL *x, const int64_t *t, const REAL *y, REAL *grad)
{
    double total = 0;
    REAL scale = (REAL)1 / rows;
    ROWS for (size_t i = 0; i < rows; i++)
    {
        REAL room[grad && !y ? 1 : classes];
        REAL *own = grad ? grad + i * classes : NULL;
        REAL *e = grad && !y ? own : room;
        total += one_row(classes, x + i * classes, y ? 0 : t[i], y ? y + i * classes : NULL, own, e, scale);
    }
    return total / rows;
}

#define BLOCK 64
#define LANES _Pragma("omp simd") for (size_t r = 0; r < BLOCK; r++)

/* BLOCK rows whose classes are columns of BLOCK: x and y, replaced by what is computed. */
INLINE double one_block(size_t classes, size_t rows, REAL (*x)[BLOCK], REAL (*y)[BLOCK], const int64_t *t,
                        REAL (*grad)[BLOCK], REAL scale)
{
    REAL max[BLOCK], sum[BLOCK], log_sum[BLOCK], slopes[BLOCK], loss[BLOCK], own[BLOCK];
    LANES max[r] = x[0][r], sum[r] = 0, slopes[r] = 0, loss[r] = 0;
    for (size_t k = 1; k < classes; k++)
        LANES max[r] = x[k][r] > max[r] ? x[k][r] : max[r];
    for (size_t k = 0; k < classes; k++)
        LANES sum[r] += grad[k][r] = exp(x[k][r] - max[r]);
    LANES log_sum[r] = log(sum[r]);
    if (!y) {
        for (size_t r = 0; r < BLOCK; r++)
            own[r] = r < rows ? x[t[r]][r] : max[r];
        LANES
        {
            REAL nll = log_sum[r] - (own[r] - max[r]), p = exp(-nll), q = 1 - p;
            loss[r] = q * q * nll;
            slopes[r] = scale * q * (q + 2 * p * nll);
        }
        for (size_t k = 0; k < classes; k++)
            LANES grad[k][r] *= slopes[r] / sum[r];
        for (size_t r = 0; r < rows; r++)
            grad[t[r]][r] -= slopes[r];
    } else {
        for (size_t k = 0; k < classes; k++)
            LANES
            {
                REAL p = grad[k][r] / sum[r], q = 1 - p, nll = log_sum[r] - (x[k][r] - max[r]);
                loss[r] += y[k][r] * q * q * nll;
                slopes[r] += y[k][r] * q * (q + 2 * p * nll);
            }
        for (size_t k = 0; k < classes; k++)
            LANES
            {
                REAL p = grad[k][r] / sum[r], q = 1 - p, nll = log_sum[r] - (x[k][r] - max[r]);
                grad[k][r] = scale * (p * slopes[r] - y[k][r] * q * (q + 2 * p * nll));
            }
    }
    double total = 0;
    for (size_t r = 0; r < rows; r++)
        total += loss[r];
    return total;
}

INLINE void bring(size_t classes, size_t rows, const REAL *x, size_t row_stride, size_t class_stride, REAL (*tile)[BLOCK])
{
    if (row_stride == 1)
        for (size_t k = 0; k < classes; k++)
            for (size_t r = 0; r < BLOCK; r++)
                tile[k][r] = x[(r < rows ? r : 0) + k * class_stride];
    else
        for (size_t r = 0; r < BLOCK; r++)
            for (size_t k = 0; k < classes; k++)
                tile[k][r] = x[(r < rows ? r : 0) * row_stride + k];
}

INLINE double by_block(size_t rows, size_t classes, int threads, size_t row_stride, size_t class_stride, const REAL *x,
                       const int64_t *t, const REAL *y, REAL *grad)
{
    double total = 0;
    REAL scale = (REAL)1 / rows;
    ROWS for (size_t i = 0; i < rows; i += BLOCK)
    {
        REAL tile[classes][BLOCK], results[classes][BLOCK], targets[y ? classes : 1][BLOCK];
        size_t here = rows - i < BLOCK ? rows - i : BLOCK, at = i * row_stride;
        bring(classes, here, x + at, row_stride, class_stride, tile);
        if (y)
            bring(classes, here, y + at, row_stride, class_stride, targets);
        total += one_block(classes, here, tile, y ? targets : NULL, y ? NULL : t + i, results, scale);
        if (!grad)
            continue;
        if (row_stride == 1)
            for (size_t k = 0; k < classes; k++)
                for (size_t r = 0; r < here; r++)
                    grad[at + r + k * class_stride] = results[k][r];
        else
            for (size_t r = 0; r < here; r++)
                for (size_t k = 0; k < classes; k++)
                    grad[at + r * row_stride + k] = results[k][r];
    }
    return total / rows;
}

/* The class axis is the last one. */
double rows_of(size_t rows, size_t classes, int threads, const REAL *x, const int64_t *t, const REAL *y, REAL *grad)
{
    if (y)
        return grad ? by_row(rows, classes, threads, x, NULL, y, grad) : by_row(rows, classes, threads, x, NULL, y, NULL);
    return grad ? by_row(rows, classes, threads, x, t, NULL, grad) : by_row(rows, classes, threads, x, t, NULL, NULL);
}

double blocks_of(size_t rows, size_t classes, int threads, const REAL *x, const int64_t *t, const REAL *y, REAL *grad)
{
    if (y)
        return by_block(rows, classes, threads, classes, 1, x, NULL, y, grad);
    return by_block(rows, classes, threads, classes, 1, x, t, NULL, grad);
}

/* The class axis comes first. */
double columns_of(size_t rows, size_t classes, int threads, const REAL *x, const int64_t *t, const REAL *y, REAL *grad)
{
    if (y)
        return by_block(rows, classes, threads, 1, rows, x, NULL, y, grad);
    return by_block(rows, classes, threads, 1, rows, x, t, NULL, grad);
}
