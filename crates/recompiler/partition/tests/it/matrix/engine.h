#define APART __attribute__((noinline))
APART long used(long n);
APART long twin_one(long n);
APART long twin_two(long n);
APART long dead(long n);
APART long plain(long n);
APART long shared(long n);
#ifdef DEAD_NEEDS_MORE
long missing(long n);
#else
#define missing(n) (n)
#endif
