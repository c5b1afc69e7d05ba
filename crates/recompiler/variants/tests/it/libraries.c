/* Calls a library that it is linked with all the time, and one that it opens, calls from two threads and closes, again
   and again; checks every result. Says at SIGTERM what it did. Usage: libraries LIBRARY */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

enum { COUNT = 40 };
static long values[COUNT];
static volatile sig_atomic_t stopped;
static long (*opened)(const long *, long);
static long (*calls_here)(void);
static long expected_one, expected_two;
long one(const long *, long);

static void stop(int signal) { stopped = signal; }

__attribute__((noinline)) long own(const long *numbers, long count) {
  long sum = 0;
  for (long i = 0; i < count; i++)
    sum = sum * 17 + (numbers[i] & i) + one(numbers, i);
  return sum;
}

__attribute__((optnone, noinline)) static long reference(long seed) {
  long all = 0;
  for (long last = 1; last <= COUNT; last += 3) {
    long sum = seed;
    for (long i = 0; i < last; i++) sum = sum * 31 + (values[i] ^ (sum >> 7));
    all ^= sum;
  }
  return all;
}

static void *call_opened(void *unused) {
  long bad = 0;
  (void)unused;
  for (int i = 0; i < 10; i++) bad += opened(values, COUNT) != expected_two || calls_here() != i + 1;
  return (void *)bad;
}

int main(int argc, char **argv) {
  long bad = 0, rounds = 0, times = 0;
  signal(SIGTERM, stop);
  puts("ready"), fflush(stdout);
  for (long i = 0; i < COUNT; i++) values[i] = i * i * 77 - 1000;
  expected_one = reference(1), expected_two = reference(2);
  long expected_own = own(values, COUNT);
  while (!stopped) {
    void *library = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
    opened = library ? (long (*)(const long *, long))dlsym(library, "two") : 0;
    calls_here = library ? (long (*)(void))dlsym(library, "calls_here") : 0;
    if (!opened || !calls_here) return 2;
    pthread_t other;
    void *others = 0;
    pthread_create(&other, 0, call_opened, 0);
    for (int i = 0; i < 4; i++) {
      bad += one(values, COUNT) != expected_one;
      bad += own(values, COUNT) != expected_own;
    }
    bad += (long)call_opened(0);
    pthread_join(other, &others);
    bad += (long)others;
    dlclose(library);
    times++, rounds++;
  }
  printf("bad=%ld rounds=%ld closed=%ld\n", bad, rounds, times);
  return bad != 0;
}
