/* A chain through memory: every address is known only when the one before has come. */
#include "../harness.h"

enum { LINKS = 1 << 21, STEPS = 1 << 12 };
static uint32_t *next;

__attribute__((noinline)) uint32_t chase(const uint32_t *links, uint32_t at, long steps)
{
    for (long step = 0; step < steps; step++)
        at = links[at];
    return at;
}

static void prepare(void)
{
    uint64_t state = 9;
    next = malloc(sizeof *next * LINKS);
    for (uint32_t link = 0; link < LINKS; link++)
        next[link] = link;
    /* One cycle through all (Sattolo). */
    for (uint32_t link = LINKS - 1; link > 0; link--) {
        uint32_t other = (uint32_t)(random_next(&state) % link), held = next[link];
        next[link] = next[other];
        next[other] = held;
    }
}

static void unit(void)
{
    static uint32_t at;
    at = chase(next, at, STEPS);
}

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    for (long steps = 0; steps < 200; steps++)
        digest = digest_word(digest, chase(next, (uint32_t)(random_next(&seed) % LINKS), steps * 13));
    return digest;
}
