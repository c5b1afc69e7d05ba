// What a program pays that has nothing to do with tidegate but its presence: characters to a stream and shared
// pointers of a single-threaded program, exceptions of a program with two threads.
//
// usage: beside putc | copy | throw
// A line on standard input is a measurement; the answer is nanoseconds of CPU time per turn, of the busiest thread.
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <pthread.h>

static double thread_ns()
{
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

static double put()
{
    constexpr int turns = 4000000;
    static FILE *sink = std::fopen("/dev/null", "w");
    double start = thread_ns();
    for (int turn = 0; turn < turns; turn++)
        std::putc('a' + turn % 26, sink);
    return (thread_ns() - start) / turns;
}

static std::shared_ptr<int> shared, copied;

static double copy()
{
    constexpr int turns = 4000000;
    shared = std::make_shared<int>(1);
    double start = thread_ns();
    for (int turn = 0; turn < turns; turn++) {
        copied = shared;
        __asm__ volatile("" ::: "memory");
    }
    return (thread_ns() - start) / turns;
}

// Functions that the bench selects and loads; exceptions pass through each of them in turn.
using Function = void (*)(int);
#define P(number)                                                                                                      \
    extern "C" __attribute__((noinline)) void pass##number(int depth);
#define EACH(with)                                                                                                     \
    with(0) with(1) with(2) with(3) with(4) with(5) with(6) with(7) with(8) with(9) with(10) with(11) with(12)         \
    with(13) with(14) with(15) with(16) with(17) with(18) with(19) with(20) with(21) with(22) with(23) with(24)        \
    with(25) with(26) with(27) with(28) with(29) with(30) with(31) with(32) with(33)
EACH(P)
#undef P
static volatile int sink;
#define P(number)                                                                                                      \
    extern "C" void pass##number(int depth)                                                                            \
    {                                                                                                                  \
        std::unique_ptr<int> held(new int(depth + number));                                                            \
        if (*held == depth + number)                                                                                   \
            throw *held;                                                                                               \
        sink = *held;                                                                                                  \
    }
EACH(P)
#undef P
#define P(number) pass##number,
static const Function functions[] = {EACH(P)};

static int caught(int turn)
{
    try {
        functions[turn % 34](turn);
    } catch (int value) {
        return value - turn == turn % 34;
    }
    return 0;
}

static pthread_barrier_t begin, end;
static double took[2];

static void *thrower(void *own)
{
    constexpr int turns = 34 * 2000;
    auto *place = static_cast<double *>(own);
    for (;;) {
        pthread_barrier_wait(&begin);
        double start = thread_ns();
        int right = 0;
        for (int turn = 0; turn < turns; turn++)
            right += caught(turn);
        *place = right == turns ? (thread_ns() - start) / turns : -1;
        pthread_barrier_wait(&end);
    }
}

static double throw_on_two()
{
    pthread_barrier_wait(&begin);
    pthread_barrier_wait(&end);
    return took[0] < 0 || took[1] < 0 ? -1 : took[0] > took[1] ? took[0] : took[1];
}

int main(int count, char **arguments)
{
    const char *what = count == 2 ? arguments[1] : "";
    double (*measure)() = std::strcmp(what, "putc") == 0 ? put : std::strcmp(what, "copy") == 0 ? copy : throw_on_two;
    if (measure == throw_on_two) {
        pthread_barrier_init(&begin, nullptr, 3);
        pthread_barrier_init(&end, nullptr, 3);
        pthread_t thread;
        pthread_create(&thread, nullptr, thrower, &took[0]);
        pthread_create(&thread, nullptr, thrower, &took[1]);
    }
    char line[32];
    while (std::fgets(line, sizeof line, stdin)) {
        std::printf("%.6f\n", measure());
        std::fflush(stdout);
    }
    return 0;
}
