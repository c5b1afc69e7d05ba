/*
 * The batch program of the demo: it multiplies small matrices without end.
 *
 * Its hot function, multiply(), is a plain triple loop that a wider instruction set can run faster without changing
 * one bit of the result: every element is its own chain of additions. It is called every few microseconds, so a
 * switch of the function takes effect at once. Every product is compared with the first one.
 *
 * usage: batch OUT THREADS [PERCENT]
 *
 * It appends "unix_ms products wrong" to OUT ten times a second, until it is ended. With PERCENT each thread wants so
 * much of a core, as it was when it began; what it cannot do in time is left undone.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__has_include)
#if __has_include("tidegate.h")
#include "tidegate.h"
#endif
#endif
#ifndef TIDEGATE_WORK
#define TIDEGATE_WORK(amount) ((void)(amount))
#endif

enum { SIZE = 64, THREADS_MAX = 64, TICK_NS = 10000000, TIMED = 200 };

static atomic_ullong products;
static atomic_ullong wrong;

__attribute__((noinline)) void multiply(float *restrict out, const float *restrict left, const float *restrict right)
{
    for (int row = 0; row < SIZE; row++) {
        float *line = out + row * SIZE;
        for (int column = 0; column < SIZE; column++)
            line[column] = 0.0f;
        for (int inner = 0; inner < SIZE; inner++) {
            const float factor = left[row * SIZE + inner];
            const float *other = right + inner * SIZE;
            for (int column = 0; column < SIZE; column++)
                line[column] += factor * other[column];
        }
    }
}

static void fill(float *matrix, unsigned seed)
{
    for (int index = 0; index < SIZE * SIZE; index++) {
        seed = seed * 1664525u + 1013904223u;
        matrix[index] = (float)(seed >> 8) / (float)(1u << 24) - 0.5f;
    }
}

static long long now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Sleeps until the next tick; ticks that have passed are left out. */
static void rest_until(long long *tick_ns)
{
    long long now = now_ns(CLOCK_MONOTONIC);
    *tick_ns += TICK_NS;
    if (*tick_ns < now) {
        *tick_ns = now;
        return;
    }
    struct timespec at = {.tv_sec = *tick_ns / 1000000000, .tv_nsec = *tick_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static int percent;

static void *work(void *unused)
{
    static _Thread_local float left[SIZE * SIZE], right[SIZE * SIZE], out[SIZE * SIZE], first[SIZE * SIZE];
    (void)unused;
    fill(left, 1);
    fill(right, 2);
    multiply(first, left, right);
    long long begin_ns = now_ns(CLOCK_THREAD_CPUTIME_ID), tick_ns = now_ns(CLOCK_MONOTONIC), per_tick = 0;
    for (long long done = 1;; done++) {
        multiply(out, left, right);
        if (memcmp(out, first, sizeof out) != 0)
            atomic_fetch_add(&wrong, 1);
        atomic_fetch_add_explicit(&products, 1, memory_order_relaxed);
        TIDEGATE_WORK(1);
        if (percent == 0)
            continue;
        if (done == TIMED)
            per_tick = 1 + TICK_NS / 100 * percent * TIMED / (now_ns(CLOCK_THREAD_CPUTIME_ID) - begin_ns);
        if (per_tick > 0 && done % per_tick == 0)
            rest_until(&tick_ns);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    if (count != 3 && count != 4) {
        fprintf(stderr, "usage: batch OUT THREADS [PERCENT]\n");
        return 2;
    }
    FILE *out = fopen(arguments[1], "w");
    int threads = atoi(arguments[2]);
    percent = count == 4 ? atoi(arguments[3]) : 0;
    if (out == NULL || threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "batch: cannot write %s, or not 1 to %d threads\n", arguments[1], THREADS_MAX);
        return 2;
    }
    for (int index = 0; index < threads; index++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL) != 0)
            return 3;
    }
    for (;;) {
        struct timespec now, pause = {.tv_sec = 0, .tv_nsec = 100000000};
        clock_gettime(CLOCK_REALTIME, &now);
        fprintf(out, "%lld %llu %llu\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000,
                (unsigned long long)atomic_load(&products), (unsigned long long)atomic_load(&wrong));
        fflush(out);
        nanosleep(&pause, NULL);
    }
}
