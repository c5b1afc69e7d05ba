/* Two threads, each pinned to a core, each with a function of its own. Usage: cores CORE-OF-LEFT CORE-OF-RIGHT */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t stopped;

static void stop(int signal) { stopped = signal; }

__attribute__((noinline)) long left(long x, long turns) {
  for (long i = 0; i < turns; i++) x = x * 31 + (x >> 7 ^ i);
  return x;
}

__attribute__((noinline)) long right(long x, long turns) {
  for (long i = 0; i < turns; i++) x = x * 37 - (x >> 5 ^ i);
  return x;
}

struct part {
  long (*work)(long, long);
  int core;
  long bad;
};

static long call(const struct part *part, long x) { return part->work == left ? left(x, 5000) : right(x, 5000); }

static void *run(void *own) {
  struct part *part = own;
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(part->core, &cores);
  part->bad += pthread_setaffinity_np(pthread_self(), sizeof cores, &cores) != 0;
  long expect = call(part, 3);
  while (!stopped) part->bad += call(part, 3) != expect;
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  struct part parts[2] = {{left, atoi(arguments[1]), 0}, {right, atoi(arguments[2]), 0}};
  pthread_t threads[2];
  signal(SIGTERM, stop);
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, run, &parts[i]);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  printf("bad=%ld\n", parts[0].bad + parts[1].bad);
  return parts[0].bad + parts[1].bad != 0;
}
