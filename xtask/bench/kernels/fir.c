/* A filter whose number of taps is known at run time only, and is always the same. */
#include "../harness.h"

enum { CELLS = 1 << 15, TAPS_MOST = 64 };
static float in[CELLS + TAPS_MOST], out[CELLS], weights[TAPS_MOST];
static volatile long taps = 5;

static inline void filter(float *restrict to, const float *restrict from, const float *restrict weight, long count,
                          long length)
{
    for (long i = 0; i < length; i++) {
        float sum = 0;
        for (long k = 0; k < count; k++)
            sum += from[i + k] * weight[k];
        to[i] = sum;
    }
}

__attribute__((noinline)) void fir(float *restrict to, const float *restrict from, const float *restrict weight,
                                   long count, long length)
{
#ifdef CONTROL
    if (count == 5) {
        filter(to, from, weight, 5, length);
        return;
    }
#endif
    filter(to, from, weight, count, length);
}

static void fill(uint64_t seed, int special)
{
    for (long i = 0; i < CELLS + TAPS_MOST; i++)
        in[i] = special ? (float)random_double(&seed) : (float)(i % 23);
    for (long k = 0; k < TAPS_MOST; k++)
        weights[k] = special ? (float)random_double(&seed) : 1.0f / (float)(k + 1);
}

static void prepare(void) { fill(1, 0); }

static void unit(void) { fir(out, in, weights, taps, CELLS); }

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    fill(seed, 1);
    /* The usual number, and every other. */
    for (long count = 0; count < 12; count++) {
        fir(out, in, weights, count < 6 ? 5 : (long)(seed + (uint64_t)count) % TAPS_MOST, CELLS - count);
        for (long i = 0; i < CELLS - count; i++)
            digest = digest_double(digest, out[i]);
    }
    fill(1, 0);
    return digest;
}
