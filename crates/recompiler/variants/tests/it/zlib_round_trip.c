/* Compresses and expands data of many kinds, and compares; for SECONDS. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#define BYTES 100000
static unsigned char plain[BYTES], back[BYTES], packed[BYTES + 2000];
static unsigned long state = 88172645463325252UL;

static unsigned long next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/* Noise, runs, text of few letters, and copies of what came before. */
static void fill(int kind) {
  for (size_t i = 0; i < BYTES;) {
    size_t run = 1 + next() % 200, from = i > 1 ? next() % i : 0;
    unsigned char letter = 'a' + next() % 26;
    for (; run > 0 && i < BYTES; run--, i++) {
      if (kind == 0) plain[i] = next();
      else if (kind == 1) plain[i] = letter;
      else if (kind == 2) plain[i] = 'a' + next() % 4;
      else plain[i] = i > from ? plain[from++] : letter;
    }
  }
}

int main(int argc, char **argv) {
  time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);
  long rounds = 0;
  do {
    int level = next() % 10;
    uLongf packed_bytes = sizeof packed, back_bytes = sizeof back;
    fill(rounds % 4);
    uLong expect = crc32(0, plain, BYTES);
    if (compress2(packed, &packed_bytes, plain, BYTES, level) != Z_OK) return 2;
    memset(back, 0, sizeof back);
    if (uncompress(back, &back_bytes, packed, packed_bytes) != Z_OK) return 3;
    if (back_bytes != BYTES || memcmp(plain, back, BYTES) != 0) return 4;
    if (crc32(0, back, BYTES) != expect) return 5;
    rounds++;
  } while (time(NULL) < end);
  printf("rounds=%ld bad=0\n", rounds);
  return 0;
}
