/*
 * What a call costs: one function in a loop, and thousands of functions in random order.
 *
 * A line on standard input is a measurement: `one` or `many`; the answer is nanoseconds of CPU time per call. The bench
 * writes functions.inc, which declares FUNCTIONS functions, and parts.inc, which calls each of them once, in an order of
 * its own.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#define F(number)                                                                                                      \
    __attribute__((noinline)) long f##number(long x)                                                                   \
    {                                                                                                                  \
        __asm__ volatile("" : "+r"(x));                                                                                \
        return x + number;                                                                                             \
    }
#include "functions.inc"
#undef F

#define C(number) x = f##number(x);
#include "parts.inc"
#undef C

enum { PARTS = sizeof parts / sizeof *parts };

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double one(void)
{
    enum { TURNS = 20000000 };
    long x = 0;
    double start = now_ns();
    for (long turn = 0; turn < TURNS; turn++)
        x = f1(x);
    double took = now_ns() - start;
    return x == TURNS ? took / TURNS : -1;
}

static double many(void)
{
    enum { TURNS = 400 };
    long x = 0, expected = 0;
    double start = now_ns();
    for (long turn = 0; turn < TURNS; turn++)
        for (int part = 0; part < PARTS; part++)
            x = parts[part](x);
    double took = now_ns() - start;
    for (long number = 0; number < FUNCTIONS; number++)
        expected += number;
    return x == expected * TURNS ? took / TURNS / FUNCTIONS : -1;
}

int main(void)
{
    char line[32];
    while (fgets(line, sizeof line, stdin)) {
        printf("%.6f\n", strcmp(line, "one\n") == 0 ? one() : many());
        fflush(stdout);
    }
    return 0;
}
