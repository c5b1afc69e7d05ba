// Heap blocks that do not outlive the call that makes them. The turns come on the standard input, so that variants are
// there before the first of them.
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

extern "C" __attribute__((noinline)) long listed(long x) {
  std::vector<long> values(24);
  for (long i = 0; i < 24; i++) values[i] = x ^ i * 7;
  return values[x % 24] + values[x * 7 % 24];
}

extern "C" __attribute__((noinline)) long solved(long x) {
  auto matrix = std::make_unique<std::array<double, 36>>();
  for (int row = 0; row < 6; row++)
    for (int column = 0; column < 6; column++) (*matrix)[row * 6 + column] = row == column ? 7 : (x + row) % 3;
  for (int pivot = 0; pivot < 6; pivot++)
    for (int row = pivot + 1; row < 6; row++) {
      double share = (*matrix)[row * 6 + pivot] / (*matrix)[pivot * 7];
      for (int column = pivot; column < 6; column++) (*matrix)[row * 6 + column] -= share * (*matrix)[pivot * 6 + column];
    }
  double determinant = 1;
  for (int pivot = 0; pivot < 6; pivot++) determinant *= (*matrix)[pivot * 7];
  return static_cast<long>(determinant);
}

int main(int, char **arguments) {
  auto *function = std::strcmp(arguments[1], "listed") == 0 ? listed : solved;
  long turns = 0;
  if (std::scanf("%ld", &turns) != 1) return 1;
  unsigned long hash = 0;
  for (long i = 0; i < turns; i++) hash = hash * 31 + function(i);
  std::printf("%lx\n", hash);
}
