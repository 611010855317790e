/* Memory floors: kernels that move the bytes of a loss and compute next to nothing.
 *
 * Compiled twice at bench time, with -DREAL=float and -DREAL=double. Every array starts on a 64-byte boundary; the
 * work is cut into one contiguous range a thread, as a loss over the same arrays would be.
 */
#include <stddef.h>
#include <omp.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define WIDTH 64
#define STREAM(address, value) _mm512_stream_si512((void *)(address), (__m512i)(value))
#elif defined(__AVX__)
#include <immintrin.h>
#define WIDTH 32
#define STREAM(address, value) _mm256_stream_si256((__m256i *)(address), (__m256i)(value))
#elif defined(__SSE2__)
#include <immintrin.h>
#define WIDTH 16
#define STREAM(address, value) _mm_stream_si128((__m128i *)(address), (__m128i)(value))
#else
#define WIDTH 16
#endif

typedef REAL vector __attribute__((vector_size(WIDTH), may_alias));
#define LANES (WIDTH / sizeof(REAL))
#define LOAD(array, i) (*(const vector *)((array) + (i)))

/* 1 where non-temporal stores were compiled in; elsewhere the streaming kernels use ordinary stores. */
#ifdef STREAM
int has_streaming_stores(void) { return 1; }
#define FENCE() _mm_sfence()
#else
int has_streaming_stores(void) { return 0; }
#define STREAM(address, value) (*(vector *)(address) = (value))
#define FENCE() ((void)0)
#endif

/* The range [from, to) of this thread, in whole cache lines, and the elements left over at the very end. */
#define MY_RANGE(n)                                                                                     \
    size_t lines = (n) / 64, team = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();   \
    size_t from = lines * me / team * 64, to = lines * (me + 1) / team * 64;                            \
    size_t rest = me + 1 == team ? (n) : to

/* out = x + y, ordinary stores */
void add(size_t n, int threads, const REAL *x, const REAL *y, REAL *out)
{
#pragma omp parallel num_threads(threads)
    {
        MY_RANGE(n);
        for (size_t i = from; i < to; i += LANES) *(vector *)(out + i) = LOAD(x, i) + LOAD(y, i);
        for (size_t i = to; i < rest; i++) out[i] = x[i] + y[i];
    }
}

/* out = x + y, non-temporal stores */
void add_streaming(size_t n, int threads, const REAL *x, const REAL *y, REAL *out)
{
#pragma omp parallel num_threads(threads)
    {
        MY_RANGE(n);
        for (size_t i = from; i < to; i += LANES) STREAM(out + i, LOAD(x, i) + LOAD(y, i));
        for (size_t i = to; i < rest; i++) out[i] = x[i] + y[i];
        FENCE();
    }
}

/* a = x + y and b = x - y, ordinary stores */
void pair(size_t n, int threads, const REAL *x, const REAL *y, REAL *a, REAL *b)
{
#pragma omp parallel num_threads(threads)
    {
        MY_RANGE(n);
        for (size_t i = from; i < to; i += LANES) {
            vector u = LOAD(x, i), v = LOAD(y, i);
            *(vector *)(a + i) = u + v;
            *(vector *)(b + i) = u - v;
        }
        for (size_t i = to; i < rest; i++) { a[i] = x[i] + y[i]; b[i] = x[i] - y[i]; }
    }
}

/* a = x + y and b = x - y, non-temporal stores */
void pair_streaming(size_t n, int threads, const REAL *x, const REAL *y, REAL *a, REAL *b)
{
#pragma omp parallel num_threads(threads)
    {
        MY_RANGE(n);
        for (size_t i = from; i < to; i += LANES) {
            vector u = LOAD(x, i), v = LOAD(y, i);
            STREAM(a + i, u + v);
            STREAM(b + i, u - v);
        }
        for (size_t i = to; i < rest; i++) { a[i] = x[i] + y[i]; b[i] = x[i] - y[i]; }
        FENCE();
    }
}

/* sum of x * y: reads both arrays and writes nothing. Four accumulators, so that latency does not bound it. */
double dot(size_t n, int threads, const REAL *x, const REAL *y)
{
    double total = 0;
#pragma omp parallel num_threads(threads) reduction(+ : total)
    {
        MY_RANGE(n);
        vector s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (size_t i = from; i < to; i += 4 * LANES) {
            s0 += LOAD(x, i) * LOAD(y, i);
            s1 += LOAD(x, i + LANES) * LOAD(y, i + LANES);
            s2 += LOAD(x, i + 2 * LANES) * LOAD(y, i + 2 * LANES);
            s3 += LOAD(x, i + 3 * LANES) * LOAD(y, i + 3 * LANES);
        }
        s0 += s1 + s2 + s3;
        for (size_t lane = 0; lane < LANES; lane++) total += s0[lane];
        for (size_t i = to; i < rest; i++) total += x[i] * y[i];
    }
    return total;
}

/* out = x, non-temporal stores, and the sum of m class indices: what a loss of classes must at least move. */
long long copy_and_read(size_t n, int threads, const REAL *x, REAL *out, size_t m, const long long *indices)
{
    long long total = 0;
#pragma omp parallel num_threads(threads) reduction(+ : total)
    {
        MY_RANGE(n);
        for (size_t i = from; i < to; i += LANES) STREAM(out + i, LOAD(x, i));
        for (size_t i = to; i < rest; i++) out[i] = x[i];
        FENCE();
#pragma omp for
        for (size_t i = 0; i < m; i++) total += indices[i];
    }
    return total;
}

typedef long long integers __attribute__((vector_size(WIDTH), may_alias));

/* The bytes of the piece of an array, in whole cache lines. */
#define PIECE(n) size_t i = (n) / 64 * piece / pieces * 64, to = (n) / 64 * (piece + 1) / pieces * 64

/* Reads x and y and writes out with non-temporal stores, all given in bytes: what a loss must at least move, whatever
 * its dtypes. The arrays are walked side by side, a page of logits at a time. */
long long move(int threads, size_t nx, const char *x, size_t ny, const char *y, size_t nout, char *out)
{
    size_t pieces = nx / 4096 + 1;
    long long total = 0;
#pragma omp parallel num_threads(threads) reduction(+ : total)
    {
        integers seen = {0};
#pragma omp for schedule(static)
        for (size_t piece = 0; piece < pieces; piece++) {
            { PIECE(nx); for (; i < to; i += WIDTH) seen ^= *(const integers *)(x + i); }
            { PIECE(ny); for (; i < to; i += WIDTH) seen ^= *(const integers *)(y + i); }
            { PIECE(nout); for (; i < to; i += WIDTH) STREAM((REAL *)(out + i), (vector)seen); }
        }
        FENCE();
        total += seen[0];
    }
    return total;
}
