/* Two functions that hardly run: one touches fresh memory, one waits. Until SIGTERM. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

static volatile sig_atomic_t stopped;

static void stop(int signal) { stopped = signal; }

__attribute__((noinline)) long touch(long pages) {
  char *memory = mmap(NULL, (size_t)pages << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return -1;
  madvise(memory, (size_t)pages << 12, MADV_NOHUGEPAGE);
  long touched = 0;
  for (long page = 0; page < pages; page++) {
    memory[page << 12] = 1;
    touched += memory[page << 12];
  }
  munmap(memory, (size_t)pages << 12);
  return touched;
}

__attribute__((noinline)) long rest(long turns) {
  struct timespec pause = {0, 300000};
  long done = 0;
  for (long turn = 0; turn < turns; turn++) done += nanosleep(&pause, NULL) == 0;
  return done;
}

int main(void) {
  long bad = 0;
  signal(SIGTERM, stop);
  while (!stopped) {
    bad += touch(64) != 64;
    bad += rest(4) != 4 && !stopped;
  }
  printf("bad=%ld\n", bad);
  return bad != 0;
}
