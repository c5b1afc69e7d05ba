/* A library with two switchable functions, its own state, and its own count per thread.
   SEED makes two libraries of one source; their `mixed` must not be taken for each other. */
#include "tidegate.h"

static long state;
static _Thread_local long calls;

long calls_here(void) { return calls; }

__attribute__((noinline, visibility("hidden"))) long mixed(const long *values, long count) {
  long sum = SEED;
  for (long i = 0; i < count; i++)
    sum = sum * 31 + (values[i] ^ (sum >> 7));
  state += count;
  return sum;
}

long NAME(const long *values, long count) {
  TIDEGATE_WORK(SEED - 1);
  calls++;
  long sum = 0;
  for (long i = 1; i <= count; i += 3)
    sum ^= mixed(values, i);
  return sum + (state < 0);
}
