/*
 * What the programs of the benches share: each defines `prepare`, `unit` (a unit of its work) and `check` (the digest of
 * its results on inputs from a seed), and ends with status 1 where a result is wrong.
 *
 * PROGRAM UNITS   does so many units and prints the CPU seconds that they took
 * PROGRAM         takes orders, a line each:
 *     run UNITS   answers with the CPU nanoseconds per unit; with ELAPSED defined, those of the clock on the wall
 *     check SEED  answers with the digest
 *     go          works until the next order, which may be anything; `halt` is answered with `halted`
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if __has_include(<tidegate.h>)
#include <tidegate.h>
#else
#define TIDEGATE_WORK(units) ((void)0)
#define TIDEGATE_TUNABLE(name, default_, ...)                                                                          \
    static inline __attribute__((unused)) long name(void) { return (default_); }                                       \
    struct no_tunable
#endif

static void prepare(void);
static void unit(void);
static uint64_t check(uint64_t seed);

static inline void wrong(const char *what)
{
    fprintf(stderr, "wrong result: %s\n", what);
    exit(1);
}

/* Steele, Lea and Flood's SplitMix64. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

static inline __attribute__((unused)) void random_bytes(char *to, size_t length, uint64_t seed)
{
    for (size_t at = 0; at < length; at++)
        to[at] = (char)random_next(&seed);
}

/* Numbers of a wide range, zeros of both signs, denormals and infinities among them. */
static inline double random_double(uint64_t *state)
{
    static const double special[] = {0.0, -0.0, 5e-324, -1e-310, 1e308, -1e308, __builtin_inf(), -__builtin_inf()};
    uint64_t bits = random_next(state);
    if (bits % 61 == 0)
        return special[bits / 61 % 8];
    return ((double)(int64_t)bits / 9e18) * (bits % 7 ? 1.0 : 1e-20);
}

/* Adds bytes to a digest (Fowler, Noll and Vo, by words). */
static inline uint64_t digest_word(uint64_t digest, uint64_t word) { return (digest ^ word) * 0x100000001b3u; }

/* Every not-a-number counts as the same: sign and payload depend on the order of operands. */
static inline uint64_t digest_double(uint64_t digest, double value)
{
    uint64_t bits = 1;
    if (value == value)
        memcpy(&bits, &value, sizeof bits);
    return digest_word(digest, bits);
}

/* Words of a small vocabulary, so that matches of many lengths are found. */
static inline void fill_text(unsigned char *data, size_t length)
{
    unsigned state = 20;
    for (size_t at = 0; at < length;) {
        state = state * 1664525u + 1013904223u;
        unsigned word = (state >> 20) % 700, letters = 3 + word % 9;
        for (unsigned index = 0; index < letters && at < length; index++)
            data[at++] = (unsigned char)('a' + (word * 7 + index * index) % 26);
        if (at < length)
            data[at++] = ' ';
    }
}

#ifdef ELAPSED
#define COST_CLOCK CLOCK_MONOTONIC
#else
#define COST_CLOCK CLOCK_PROCESS_CPUTIME_ID
#endif

static double cost_ns(void)
{
    struct timespec time;
    clock_gettime(COST_CLOCK, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double run(long units)
{
    double start = cost_ns();
    for (long done = 0; done < units; done++) {
        unit();
        TIDEGATE_WORK(1);
    }
    return cost_ns() - start;
}

static void go(void)
{
    struct pollfd orders = {0, POLLIN, 0};
    while (poll(&orders, 1, 0) == 0)
        run(1);
}

int main(int count, char **arguments)
{
    char line[64];
    prepare();
    if (count == 2) {
        printf("%.9f\n", run(atol(arguments[1])) * 1e-9);
        return 0;
    }
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, "run ", 4) == 0) {
            long units = atol(line + 4);
            printf("%.1f\n", run(units) / (double)units);
        } else if (strncmp(line, "check ", 6) == 0) {
            printf("%016llx\n", (unsigned long long)check(strtoull(line + 6, NULL, 10)));
        } else if (strcmp(line, "go\n") == 0) {
            go();
            continue;
        } else {
            printf("halted\n");
        }
        fflush(stdout);
    }
    return 0;
}

#endif
