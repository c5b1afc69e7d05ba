/* Rows look for their partners in a table with open addressing, larger than the caches. */
#include "../harness.h"

enum { ROWS = 1 << 14, PARTS = 64, SLOTS = 1 << 22 };
struct partner {
    uint64_t key, value;
};
static uint64_t *keys;
static struct partner *table;

static inline uint64_t place_of(uint64_t key) { return key * 0x9e3779b97f4a7c15u >> 20 & (SLOTS - 1); }

__attribute__((noinline)) uint64_t join(const struct partner *partners, const uint64_t *key, long rows)
{
    uint64_t sum = 0;
    for (long row = 0; row < rows; row++) {
#ifdef CONTROL
        long later = row + 16 < rows ? row + 16 : rows - 1;
        __builtin_prefetch(&partners[place_of(key[later])]);
#endif
        uint64_t place = place_of(key[row]);
        while (partners[place].key != 0 && partners[place].key != key[row])
            place = (place + 1) & (SLOTS - 1);
        if (partners[place].key != 0)
            sum += partners[place].value;
    }
    return sum;
}

static void prepare(void)
{
    uint64_t state = 7;
    keys = malloc(sizeof *keys * ROWS * PARTS);
    table = malloc(sizeof *table * SLOTS);
    memset(table, 0, sizeof *table * SLOTS);
    for (long row = 0; row < ROWS * PARTS; row++) {
        keys[row] = random_next(&state) | 1;
        if (row % 3 == 0)
            continue;
        uint64_t place = place_of(keys[row]);
        while (table[place].key != 0)
            place = (place + 1) & (SLOTS - 1);
        table[place] = (struct partner){keys[row], (uint64_t)row};
    }
}

static volatile uint64_t sink;

static void unit(void)
{
    static long part;
    part = (part + 1) % PARTS;
    sink = join(table, keys + part * ROWS, ROWS);
}

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    for (long rows = 0; rows < 200; rows++)
        digest = digest_word(digest, join(table, keys + random_next(&seed) % (ROWS * (PARTS - 2)), rows * 11));
    return digest;
}
