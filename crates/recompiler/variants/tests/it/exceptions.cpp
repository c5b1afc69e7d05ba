// Two threads (with an argument: one) whose functions throw through each other, and check what arrives. Ends at
// SIGTERM.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static std::atomic<bool> ends{false};

template <class T> __attribute__((noinline)) T folded(const std::vector<T> &values, T limit) {
  T sum = 0;
  for (auto value : values) {
    sum = sum * 3 + value;
    if (sum > limit)
      throw std::runtime_error("limit " + std::to_string(sum));
  }
  return sum;
}

struct Guard {
  long &open;
  explicit Guard(long &open) : open(open) { ++open; }
  ~Guard() { --open; }
};

// Throws pass through it, and it has something to clean up.
extern "C" __attribute__((noinline)) long through(const std::vector<long> &values, long limit, long &open) {
  Guard guard(open);
  return folded(values, limit);
}

// Catches, and throws on what it does not know.
extern "C" __attribute__((noinline)) long caught(const std::vector<long> &values, long limit, long &open) {
  Guard guard(open);
  try {
    if (limit % 7 == 3)
      throw limit;
    return through(values, limit, open);
  } catch (const std::runtime_error &error) {
    return std::stol(error.what() + 6);
  }
}

static void work(long &rounds, long &bad) {
  long open = 0;
  std::vector<long> values;
  for (long limit = 0; !ends; limit = (limit + 1) % 1000) {
    values.assign(limit % 17, limit);
    long expect = 0, result;
    if (limit % 7 == 3)
      expect = -limit;
    else
      for (auto value : values)
        if ((expect = expect * 3 + value) > limit)
          break;
    try {
      result = caught(values, limit, open);
    } catch (long thrown) {
      result = -thrown;
    }
    bad += result != expect || open != 0;
    ++rounds;
  }
}

extern "C" char __libc_single_threaded;

int main(int count, char **) {
  std::signal(SIGTERM, [](int) { ends = true; });
  long rounds[2] = {}, bad[2] = {};
  if (count > 1) {
    work(rounds[0], bad[0]);
  } else {
    std::thread other(work, std::ref(rounds[1]), std::ref(bad[1]));
    work(rounds[0], bad[0]);
    other.join();
  }
  std::printf("rounds=%ld bad=%ld single=%d\n", rounds[0] + rounds[1], bad[0] + bad[1], __libc_single_threaded);
}
