#include "engine.h"
#include <stdio.h>
int main(void) {
  long first = plain(50), second = twin_one(9) * 3 + twin_two(8);
  printf("%ld %ld %ld\n", first, second, shared(20));
  return 0;
}
