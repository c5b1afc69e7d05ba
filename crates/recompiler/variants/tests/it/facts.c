/* What must stay true of a switchable function: static locals, thread-locals, its address, and what it is called by.
   Every fact is checked in every round; until SIGTERM. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tidegate.h>

static volatile sig_atomic_t stopped;
static __thread unsigned long own_calls;
static unsigned long all_calls;
static const char *const words[] = {"ebb", "flow", "spring", "neap"};

/* Thread-locals are not for switchable functions, so this one is called by one. */
__attribute__((noinline)) static void note(void) { own_calls++; }

typedef unsigned long (*step)(unsigned long, const char **);

/* Static local, writable global, a table of strings, a switch, calls into libc. */
__attribute__((noinline)) unsigned long count(unsigned long seed, const char **word) {
  static unsigned long local;
  char text[32];
  local++;
  note();
  __atomic_fetch_add(&all_calls, 1, __ATOMIC_RELAXED);
  for (int i = 0; i < 8; i++) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
  }
  *word = words[seed % 4];
  snprintf(text, sizeof text, "%s-%lu", *word, seed % 1000);
  switch (seed % 5) {
    case 0: seed += strlen(text); break;
    case 1: seed ^= (unsigned long)text[0]; break;
    case 2: seed = seed * 31 + 7; break;
    case 3: seed -= 11; break;
    default: break;
  }
  return seed;
}

/* Floating point in the order that was written. */
__attribute__((noinline)) double mean(const double *values, int length) {
  double sum = 0, weight = 0;
  for (int i = 0; i < length; i++) {
    double share = 1.0 / (1.0 + i);
    sum += values[i] * share;
    weight += share;
    if (values[i] < 0) sum -= 0.5 * values[i];
  }
  return sum / weight;
}

/* Gives its own address: the same one for everybody, whatever runs. */
__attribute__((noinline)) step self(unsigned long seed) {
  unsigned long turns = 0;
  while (seed > 1 && turns < 60) {
    seed = seed & 1 ? 3 * seed + 1 : seed / 2;
    turns++;
    if (turns % 7 == 3) seed ^= 1;
  }
  return turns < 100 ? count : NULL;
}

static step address = count;
static double values[64];

static long check(void) {
  const char *word;
  long bad = 0;
  unsigned long before = own_calls, first = count(42, &word), second = address(42, &word);
  bad += first != second;
  bad += own_calls != before + 2;
  bad += word != words[0] && word != words[1] && word != words[2] && word != words[3];
  bad += self(27) != address;
  bad += self(97) != count;
  return bad;
}

static void *work(void *unused) {
  long bad = 0;
  double expect = mean(values, 64);
  (void)unused;
  while (!stopped) {
    for (int i = 0; i < 100; i++) {
      bad += check();
      double found = mean(values, 64);
      bad += memcmp(&found, &expect, sizeof found) != 0;
    }
    TIDEGATE_WORK(100);
  }
  return (void *)bad;
}

static void stop(int signal) { stopped = signal; }

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 2;
  pthread_t handles[32];
  long bad = 0;
  signal(SIGTERM, stop);
  for (int i = 0; i < 64; i++) values[i] = (i * 37 % 11) - 4.25;
  for (int i = 0; i < threads; i++) pthread_create(&handles[i], NULL, work, NULL);
  for (int i = 0; i < threads; i++) {
    void *result;
    pthread_join(handles[i], &result);
    bad += (long)result;
  }
  printf("bad=%ld calls=%lu\n", bad, all_calls);
  return bad != 0;
}
