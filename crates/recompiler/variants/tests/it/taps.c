/* A filter that is called with the same number of taps nearly always, and checks every result. Usage: app SECONDS
   THREADS OTHER: every OTHERth call has another number of taps; 0 = never. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <tidegate.h>
#include <time.h>

#define CELLS 256
static long in[CELLS], out[CELLS];
static volatile sig_atomic_t stopped;

__attribute__((noinline)) long filter(const long *from, long *to, long count, int taps, double gain) {
  long sum = 0;
  for (long i = 0; i + taps <= count; i++) {
    long total = 0;
    for (int k = 0; k < taps; k++) total += from[i + k] * (k + 1);
    to[i] = (long)(total * gain);
    sum += to[i];
  }
  return sum;
}

static void stop(int signal) { stopped = signal; }

int main(int argc, char **argv) {
  long other = argc > 3 ? atol(argv[3]) : 0, calls = 0, bad = 0, expect[9] = {0};
  time_t end = time(NULL) + (argc > 1 ? atol(argv[1]) : 1);
  signal(SIGTERM, stop);
  for (long i = 0; i < CELLS; i++) in[i] = i * 37 % 101 - 50;
  for (int taps = 0; taps < 9; taps++) expect[taps] = filter(in, out, CELLS, taps, 0.5);
  while (!stopped && time(NULL) < end) {
    for (int i = 0; i < 100; i++) {
      int taps = other && ++calls % other == 0 ? (int)(calls / other % 9) : 5;
      bad += filter(in, out, CELLS, taps, 0.5) != expect[taps];
    }
    TIDEGATE_WORK(100);
  }
  printf("bad=%ld\n", bad);
  return bad != 0;
}
