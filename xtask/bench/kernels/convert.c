/* Bytes become scaled floats, out of memory. */
#include "../harness.h"
#ifdef CONTROL
#include <emmintrin.h>
#endif

enum { CELLS = 1 << 20, PARTS = 4 };
static float *to;
static unsigned char *from;

__attribute__((noinline)) void convert(float *restrict out, const unsigned char *restrict in, float scale, long count)
{
#ifdef CONTROL
    const __m128i zero = _mm_setzero_si128();
    for (long i = 0; i < count; i += 16) {
        __m128i bytes = _mm_load_si128((const __m128i *)(in + i));
        __m128i low = _mm_unpacklo_epi8(bytes, zero), high = _mm_unpackhi_epi8(bytes, zero);
        __m128 factor = _mm_set1_ps(scale);
        _mm_stream_ps(out + i, _mm_mul_ps(_mm_cvtepi32_ps(_mm_unpacklo_epi16(low, zero)), factor));
        _mm_stream_ps(out + i + 4, _mm_mul_ps(_mm_cvtepi32_ps(_mm_unpackhi_epi16(low, zero)), factor));
        _mm_stream_ps(out + i + 8, _mm_mul_ps(_mm_cvtepi32_ps(_mm_unpacklo_epi16(high, zero)), factor));
        _mm_stream_ps(out + i + 12, _mm_mul_ps(_mm_cvtepi32_ps(_mm_unpackhi_epi16(high, zero)), factor));
    }
    _mm_sfence();
#else
    for (long i = 0; i < count; i++)
        out[i] = (float)in[i] * scale;
#endif
}

static void prepare(void)
{
    to = aligned_alloc(64, sizeof(float) * CELLS * PARTS);
    from = aligned_alloc(64, CELLS * PARTS);
    memset(to, 0, sizeof(float) * CELLS * PARTS);
    fill_text(from, CELLS * PARTS);
}

static void unit(void)
{
    static long part;
    part = (part + 1) % PARTS;
    convert(to + part * CELLS, from + part * CELLS, 0.1f, CELLS);
}

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    long shift = (long)(seed % 4), count = CELLS - (long)(seed % 64) * 16;
    for (int change = 0; change < 1000; change++)
        from[random_next(&seed) % CELLS] = (unsigned char)random_next(&seed);
    float scale = (float)random_double(&seed);
    convert(to + shift * 16, from + shift * 16, scale, count);
    for (long i = 0; i < count; i++)
        digest = digest_double(digest, to[shift * 16 + i]);
    fill_text(from, CELLS * PARTS);
    return digest;
}
