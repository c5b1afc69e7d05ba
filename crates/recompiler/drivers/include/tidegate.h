/* tidegate.h: what a program may tell tidegate about itself. Needs no library: with any other compiler, and
 * without a daemon, a program that uses it behaves as if it did not.
 *
 * TIDEGATE_WORK(n)
 *     n units of work are done (rows, requests, frames: what the program is for). Trials compare versions of the
 *     code by CPU time per unit. Costs one relaxed atomic addition.
 *
 * TIDEGATE_TUNABLE(name, default, ...)
 *     At file scope: a value that may differ by scenario, as a function `long name(void)`:
 *         TIDEGATE_TUNABLE(batch_rows, 65536, TIDEGATE_IN(memory, 4096), TIDEGATE_IN(cpu, 16384));
 *         for (long row = 0; row < rows; row += batch_rows()) ...
 *     Declares that results may differ in what the tunable means to the program, and in nothing else. It is a
 *     constant: the default in the program as built, the scenario's value in code that is compiled for it.
 *     Scenarios, in this order: cpu, memory, disk, network, neighbour.
 */
#ifndef TIDEGATE_H
#define TIDEGATE_H

#ifdef __cplusplus
extern "C" {
#endif

/* One counter per program; every object that includes this header defines it, and the linker keeps one. */
__attribute__((weak, visibility("hidden"), aligned(8))) unsigned long long tidegate_work_total = 0;

#define TIDEGATE_WORK(n) ((void)__atomic_fetch_add(&tidegate_work_total, (unsigned long long)(n), __ATOMIC_RELAXED))

struct tidegate_tunable_value {
    unsigned long long set;
    long long value;
};

/* Layout version 1, 168 bytes. */
struct tidegate_tunable {
    unsigned int version;
    unsigned int reserved;
    long long default_value;
    struct {
        struct tidegate_tunable_value cpu, memory, disk, network, neighbour;
    } values;
    unsigned long long reserved_too;
    char name[64];
};

#define TIDEGATE_IN(scenario, number) .scenario = {1, (number)}

#if defined(__TIDEGATE__)
/* Stands for the tunable's value; the compiler replaces it, no such function is ever called. */
long __tidegate_tunable_value(const struct tidegate_tunable *) __attribute__((const, nothrow));
#define TIDEGATE_TUNABLE(name_, default_, ...)                                                                         \
    static const struct tidegate_tunable tidegate_tunable_##name_                                                      \
        __attribute__((section(".tidegate.tunables"), used, aligned(8))) = {                                           \
            1, 0, (default_), {__VA_ARGS__}, 0, #name_};                                                               \
    static inline __attribute__((unused, always_inline)) long name_(void) {                                            \
        return __tidegate_tunable_value(&tidegate_tunable_##name_);                                                    \
    }                                                                                                                  \
    struct tidegate_tunable
#else
#define TIDEGATE_TUNABLE(name_, default_, ...)                                                                         \
    static inline __attribute__((unused)) long name_(void) { return (default_); }                                      \
    struct tidegate_tunable
#endif

#ifdef __cplusplus
}
#endif

#endif
