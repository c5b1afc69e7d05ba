/*
 * Copies memory without end, and rests in its loop so that it works DUTY percent of the time (by the environment; all of
 * it where none is named): what napping in a variant would do.
 */
#include "harness.h"

enum { BYTES = 64 << 20, CHUNK = 64 << 10, TURN_NS = 1000000 };
static char *from, *to;
static long work_ns = TURN_NS;

static long long clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void prepare(void)
{
    const char *duty = getenv("DUTY");
    if (duty)
        work_ns = TURN_NS / 100 * atol(duty);
    from = malloc(BYTES);
    to = malloc(BYTES);
    memset(from, 1, BYTES);
    memset(to, 2, BYTES);
}

static void nap(void)
{
    static long long begin_ns;
    long long used_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin_ns;
    if (used_ns < work_ns)
        return;
    long long rest_ns = used_ns * (TURN_NS - work_ns) / work_ns;
    struct timespec rest = {.tv_sec = 0, .tv_nsec = rest_ns > 500000000 ? 0 : rest_ns};
    nanosleep(&rest, NULL);
    begin_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static void unit(void)
{
    static size_t at;
    memcpy(to + at, from + at, CHUNK);
    at = (at + CHUNK) % BYTES;
    if (work_ns < TURN_NS)
        nap();
}

static uint64_t check(uint64_t seed) { return digest_word(seed, (uint64_t)to[seed % BYTES]); }
