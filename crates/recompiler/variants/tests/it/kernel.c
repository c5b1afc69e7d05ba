/* Three small functions whose results are checked in every round, until SIGTERM or for SECONDS. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <tidegate.h>
#include <time.h>

#define CELLS 65536
static double a[CELLS], b[CELLS], c[CELLS];
static unsigned odd;
static volatile sig_atomic_t stopped;

TIDEGATE_TUNABLE(block, 65536, TIDEGATE_IN(memory, 4096));

__attribute__((noinline)) void triad(double factor, long count) {
  for (long i = 0; i < count; i++) a[i] = b[i] + factor * c[i];
}

__attribute__((noinline)) double total(const double *cells, long count) {
  double sum = 0;
  for (long i = 0; i < count; i++) sum += cells[i];
  return sum;
}

__attribute__((noinline)) unsigned mix(unsigned seed) {
  for (int i = 0; i < 20; i++) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    if (seed & 1) odd++;
  }
  return seed;
}

static void stop(int signal) { stopped = signal; }

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
  double end = now() + (argc > 1 ? atof(argv[1]) : 1), expect = -1;
  unsigned mixed = mix(12345), per_round = odd, before;
  long bad = 0, rounds = 0;
  signal(SIGTERM, stop);
  for (long i = 0; i < CELLS; i++) {
    b[i] = i % 17;
    c[i] = i % 5;
  }
  do {
    for (long i = 0; i < CELLS; i += block()) triad(3.0, CELLS);
    double sum = total(a, CELLS);
    if (expect < 0) expect = sum;
    before = odd;
    bad += sum != expect;
    bad += mix(12345) != mixed;
    bad += odd - before != per_round;
    rounds++;
    TIDEGATE_WORK(1);
  } while (!stopped && now() < end);
  printf("rounds=%ld bad=%ld\n", rounds, bad);
  return bad != 0;
}
