/* Focal loss as a careful C programmer would write it: plain loops, vectorised by the compiler.
 *
 * Compiled twice at bench time, with -DREAL=float and -DREAL=double and -Ofast -march=native -fopenmp, so that exp,
 * log1p and pow become calls of the vector maths library where the C library has one.
 *
 * With z the logit signed by the target, p = sigmoid(z), q = 1 - p, L = -log p:
 *     loss = q^g L,  gradient = -q^g (q + g p L),  Hessian = q^g ((1 + 2g) p q + g (g p - q) p L)
 */
#include <stddef.h>
#include <tgmath.h>

enum power { NONE, SQUARE, GENERAL };

struct terms {
    REAL weight, sign, p, q, factor, nll;
};

static inline __attribute__((always_inline)) struct terms terms_of(REAL x, REAL y, REAL alpha, REAL gamma, enum power power)
{
    struct terms t;
    t.sign = 2 * y - 1;
    t.weight = (1 - alpha) + y * (2 * alpha - 1);
    REAL z = t.sign * x, e = exp(-fabs(z)), d = 1 / (1 + e);
    t.p = z >= 0 ? d : e * d;
    t.q = z >= 0 ? e * d : d;
    t.nll = (z < 0 ? -z : 0) + log1p(e);
    t.factor = power == NONE ? 1 : power == SQUARE ? t.q * t.q : pow(t.q, gamma);
    return t;
}

#define FIRST(t, g) (-(t).factor * ((t).q + (g) * (t).p * (t).nll))
#define SECOND(t, g) ((t).factor * (t).p * ((1 + 2 * (g)) * (t).q + (g) * ((g) * (t).p - (t).q) * (t).nll))

#define LOOP _Pragma("omp parallel for simd num_threads(threads) schedule(static)")
#define SUMMING_LOOP _Pragma("omp parallel for simd num_threads(threads) schedule(static) reduction(+ : total)")

/* One loop a kind of power, so that each has its own vectorised body without a branch in it. */
#define KERNELS(suffix, power)                                                                                     \
    static void value_##suffix(size_t n, int threads, REAL alpha, REAL gamma, const REAL *x, const REAL *y,        \
                               REAL *restrict out)                                                                 \
    {                                                                                                              \
        LOOP for (size_t i = 0; i < n; i++)                                                                        \
        {                                                                                                          \
            struct terms t = terms_of(x[i], y[i], alpha, gamma, power);                                            \
            out[i] = t.weight * t.factor * t.nll;                                                                  \
        }                                                                                                          \
    }                                                                                                              \
    static double mean_##suffix(size_t n, int threads, REAL alpha, REAL gamma, const REAL *x, const REAL *y)       \
    {                                                                                                              \
        double total = 0;                                                                                          \
        SUMMING_LOOP for (size_t i = 0; i < n; i++)                                                                \
        {                                                                                                          \
            struct terms t = terms_of(x[i], y[i], alpha, gamma, power);                                            \
            total += t.weight * t.factor * t.nll;                                                                  \
        }                                                                                                          \
        return total / n;                                                                                          \
    }                                                                                                              \
    static double mean_and_grad_##suffix(size_t n, int threads, REAL alpha, REAL gamma, const REAL *x,             \
                                         const REAL *y, REAL *restrict grad)                                       \
    {                                                                                                              \
        double total = 0;                                                                                          \
        REAL scale = (REAL)1 / n;                                                                                  \
        SUMMING_LOOP for (size_t i = 0; i < n; i++)                                                                \
        {                                                                                                          \
            struct terms t = terms_of(x[i], y[i], alpha, gamma, power);                                            \
            total += t.weight * t.factor * t.nll;                                                                  \
            grad[i] = scale * t.weight * t.sign * FIRST(t, gamma);                                                 \
        }                                                                                                          \
        return total / n;                                                                                          \
    }                                                                                                              \
    static void grad_and_hess_##suffix(size_t n, int threads, REAL alpha, REAL gamma, const REAL *x,               \
                                       const REAL *y, REAL *restrict grad, REAL *restrict hess)                    \
    {                                                                                                              \
        LOOP for (size_t i = 0; i < n; i++)                                                                        \
        {                                                                                                          \
            struct terms t = terms_of(x[i], y[i], alpha, gamma, power);                                            \
            grad[i] = t.weight * t.sign * FIRST(t, gamma);                                                         \
            hess[i] = t.weight * SECOND(t, gamma);                                                                 \
        }                                                                                                          \
    }

KERNELS(none, NONE)
KERNELS(square, SQUARE)
KERNELS(general, GENERAL)

#define BY_POWER(call, ...)                                                                                        \
    gamma == 0   ? call##_none(n, threads, alpha, gamma, __VA_ARGS__)                                              \
    : gamma == 2 ? call##_square(n, threads, alpha, gamma, __VA_ARGS__)                                            \
                 : call##_general(n, threads, alpha, gamma, __VA_ARGS__)

void value(size_t n, int threads, double alpha, double gamma, const REAL *x, const REAL *y, REAL *out)
{
    BY_POWER(value, x, y, out);
}

double mean(size_t n, int threads, double alpha, double gamma, const REAL *x, const REAL *y)
{
    return BY_POWER(mean, x, y);
}

double mean_and_grad(size_t n, int threads, double alpha, double gamma, const REAL *x, const REAL *y, REAL *grad)
{
    return BY_POWER(mean_and_grad, x, y, grad);
}

void grad_and_hess(size_t n, int threads, double alpha, double gamma, const REAL *x, const REAL *y, REAL *grad, REAL *hess)
{
    BY_POWER(grad_and_hess, x, y, grad, hess);
}
