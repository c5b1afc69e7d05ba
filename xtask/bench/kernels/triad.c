/* a = b + factor * c, out of memory. */
#include "../harness.h"
#ifdef CONTROL
#include <emmintrin.h>
#endif

enum { CELLS = 1 << 19, PARTS = 4 };
static double *a, *b, *c;

__attribute__((noinline)) void triad(double *restrict to, const double *restrict left, const double *restrict right,
                                     double factor, long count)
{
#ifdef CONTROL
    for (long i = 0; i < count; i += 8) {
        _mm_prefetch((const char *)(left + i + 128), _MM_HINT_NTA);
        _mm_prefetch((const char *)(right + i + 128), _MM_HINT_NTA);
        for (long k = i; k < i + 8; k += 2)
            _mm_stream_pd(to + k, _mm_add_pd(_mm_load_pd(left + k),
                                             _mm_mul_pd(_mm_set1_pd(factor), _mm_load_pd(right + k))));
    }
    _mm_sfence();
#else
    for (long i = 0; i < count; i++)
        to[i] = left[i] + factor * right[i];
#endif
}

static void fill(uint64_t seed, int special)
{
    for (long i = 0; i < CELLS * PARTS; i++) {
        b[i] = special ? random_double(&seed) : (double)(i % 17);
        c[i] = special ? random_double(&seed) : (double)(i % 5);
    }
}

static void prepare(void)
{
    size_t bytes = sizeof(double) * CELLS * PARTS;
    a = aligned_alloc(64, bytes);
    b = aligned_alloc(64, bytes);
    c = aligned_alloc(64, bytes);
    memset(a, 0, bytes);
    fill(1, 0);
}

static void unit(void)
{
    static long part;
    part = (part + 1) % PARTS;
    triad(a + part * CELLS, b + part * CELLS, c + part * CELLS, 3.0, CELLS);
}

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    long shift = (long)(seed % 8), count = CELLS * 2 - (long)(seed % 31);
    fill(seed, 1);
    triad(a + shift, b + shift, c + shift, random_double(&seed), count);
    for (long i = 0; i < count; i++)
        digest = digest_double(digest, a[shift + i]);
    fill(1, 0);
    return digest;
}
