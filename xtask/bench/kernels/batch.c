/* Three steps over columns, by batches whose size is a tunable: what fits the nearest caches is not fetched thrice. */
#include "../harness.h"

enum { ROWS = 1 << 18, PARTS = 8 };
TIDEGATE_TUNABLE(batch_rows, 262144, TIDEGATE_IN(cpu, 4096), TIDEGATE_IN(memory, 2048));
static float *values, *scaled, *results;

__attribute__((noinline)) void steps(float *restrict result, float *restrict middle, const float *restrict value,
                                     long rows)
{
#ifdef CONTROL
    long batch = 2048;
#else
    long batch = batch_rows();
#endif
    for (long first = 0; first < rows; first += batch) {
        long count = rows - first < batch ? rows - first : batch;
        for (long i = 0; i < count; i++)
            middle[i] = value[first + i] * 1.5f;
        for (long i = 0; i < count; i++)
            middle[i] = middle[i] > 10.0f ? middle[i] - 10.0f : middle[i];
        for (long i = 0; i < count; i++)
            result[first + i] = middle[i] * middle[i] + value[first + i];
    }
}

static void fill(uint64_t seed, int special)
{
    for (long i = 0; i < ROWS * PARTS; i++)
        values[i] = special ? (float)random_double(&seed) : (float)(i % 19);
}

static void prepare(void)
{
    values = malloc(sizeof(float) * ROWS * PARTS);
    results = malloc(sizeof(float) * ROWS * PARTS);
    scaled = malloc(sizeof(float) * ROWS);
    memset(results, 0, sizeof(float) * ROWS * PARTS);
    fill(1, 0);
}

static void unit(void)
{
    static long part;
    part = (part + 1) % PARTS;
    steps(results + part * ROWS, scaled, values + part * ROWS, ROWS);
}

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    long rows = ROWS - (long)(seed % 5000);
    fill(seed, 1);
    steps(results, scaled, values, rows);
    for (long i = 0; i < rows; i++)
        digest = digest_double(digest, results[i]);
    fill(1, 0);
    return digest;
}
