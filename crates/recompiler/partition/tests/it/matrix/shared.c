#include "engine.h"
static _Thread_local long turns = 3;
long shared(long n) {
  for (long i = 0; i < n; i++)
    turns += turns * i ^ n;
  return turns;
}
