/* Sums by key in a table larger than the caches. */
#include "../harness.h"

enum { ROWS = 1 << 14, PARTS = 64, SLOTS = 1 << 22 };
struct group {
    int64_t sum, count;
};
static uint64_t *keys;
static struct group *table;

__attribute__((noinline)) void group(struct group *groups, uint64_t mask, const uint64_t *key, long rows)
{
    for (long row = 0; row < rows; row++) {
#ifdef CONTROL
        long later = row + 16 < rows ? row + 16 : rows - 1;
        __builtin_prefetch(&groups[key[later] * 0x9e3779b97f4a7c15u >> 20 & mask]);
#endif
        struct group *own = &groups[key[row] * 0x9e3779b97f4a7c15u >> 20 & mask];
        own->sum += (int64_t)key[row];
        own->count++;
    }
}

static void prepare(void)
{
    uint64_t state = 5;
    keys = malloc(sizeof *keys * ROWS * PARTS);
    table = malloc(sizeof *table * SLOTS);
    memset(table, 0, sizeof *table * SLOTS);
    for (long row = 0; row < ROWS * PARTS; row++)
        keys[row] = random_next(&state);
}

static void unit(void)
{
    static long part;
    part = (part + 1) % PARTS;
    group(table, SLOTS - 1, keys + part * ROWS, ROWS);
}

static uint64_t check(uint64_t seed)
{
    static struct group small[1 << 10];
    uint64_t digest = seed;
    memset(small, 0, sizeof small);
    for (long rows = 0; rows < 200; rows++)
        group(small, (1 << 10) - 1, keys + random_next(&seed) % 10000, rows * 7);
    for (long slot = 0; slot < 1 << 10; slot++)
        digest = digest_word(digest_word(digest, (uint64_t)small[slot].sum), (uint64_t)small[slot].count);
    return digest;
}
