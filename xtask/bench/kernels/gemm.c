/* The product of two matrices. */
#include "../harness.h"

enum { SIDE = 96 };
static double a[SIDE * SIDE], b[SIDE * SIDE], c[SIDE * SIDE];

__attribute__((noinline)) void gemm(double *restrict to, const double *restrict left, const double *restrict right,
                                    long side)
{
    for (long y = 0; y < side; y++)
        for (long k = 0; k < side; k++) {
            double factor = left[y * side + k];
            for (long x = 0; x < side; x++)
                to[y * side + x] += factor * right[k * side + x];
        }
}

static void fill(uint64_t seed, int special)
{
    for (long i = 0; i < SIDE * SIDE; i++) {
        a[i] = special ? random_double(&seed) : (double)(i % 13);
        b[i] = special ? random_double(&seed) : (double)(i % 7);
        c[i] = 0;
    }
}

static void prepare(void) { fill(1, 0); }

static void unit(void) { gemm(c, a, b, SIDE); }

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    fill(seed, 1);
    gemm(c, a, b, SIDE);
    for (long i = 0; i < SIDE * SIDE; i++)
        digest = digest_double(digest, c[i]);
    fill(1, 0);
    return digest;
}
