// All the work is one loop in main. Ends at SIGTERM.
#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t ends;
static void end(int signal) { (void)signal, ends = 1; }
static unsigned data[4096];

int main(void) {
  long n = 4096, bad = 0, rounds = 0;
  unsigned expect = 0;
  signal(SIGTERM, end);
  for (long i = 0; i < n; i++)
    data[i] = (unsigned)i * 2654435761u;
  while (!ends) {
    unsigned sum = 0;
    for (long i = 0; i < n; i++)
      sum = (sum ^ data[i]) * 31 + (sum >> 7);
    if (rounds++ == 0)
      expect = sum;
    bad += sum != expect;
  }
  printf("rounds=%ld bad=%ld\n", rounds, bad);
}
