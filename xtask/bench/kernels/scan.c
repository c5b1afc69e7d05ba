/* The sum of one column where another is below a bound. */
#include "../harness.h"

enum { ROWS = 1 << 18, PARTS = 16 };
static int *keys, *prices;

__attribute__((noinline)) int64_t scan(const int *key, const int *price, int bound, long rows)
{
    int64_t sum = 0;
    for (long row = 0; row < rows; row++)
        if (key[row] < bound)
            sum += price[row];
    return sum;
}

static void prepare(void)
{
    uint64_t state = 3;
    keys = malloc(sizeof(int) * ROWS * PARTS);
    prices = malloc(sizeof(int) * ROWS * PARTS);
    for (long row = 0; row < ROWS * PARTS; row++) {
        keys[row] = (int)(random_next(&state) % 1000);
        prices[row] = (int)random_next(&state);
    }
}

static volatile int64_t sink;

static void unit(void)
{
    static long part;
    part = (part + 1) % PARTS;
    sink = scan(keys + part * ROWS, prices + part * ROWS, 500, ROWS);
}

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    for (long rows = 0; rows < 100; rows++)
        digest = digest_word(digest, (uint64_t)scan(keys + random_next(&seed) % 9999, prices + random_next(&seed) % 9999,
                                                    (int)(random_next(&seed) % 1000), rows * 2617));
    return digest;
}
