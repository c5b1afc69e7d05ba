#include "engine.h"

static long state;

long used(long n) {
  for (long i = 0; i < n; i++)
    state = state * 31 + (i ^ (state >> 5));
  return state;
}
long twin_one(long n) {
  for (long i = 0; i < n; i++)
    state += i & n;
  return state;
}
long twin_two(long n) {
  for (long i = 0; i < n; i++)
    state += i & n;
  return state;
}
long dead(long n) {
  for (long i = 0; i < n; i++)
    state ^= missing(i);
  return state;
}
