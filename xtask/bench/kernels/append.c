/* Records go to the end of a file, so many with one write and one flush as a tunable says. */
#include "../harness.h"
#include <fcntl.h>
#include <unistd.h>

enum { RECORDS = 512, BYTES = 100 };
TIDEGATE_TUNABLE(records_at_once, 32, TIDEGATE_IN(disk, 512));
static char records[RECORDS][BYTES];
static int file;

__attribute__((noinline)) long append(int to, const char *from, long count)
{
#ifdef CONTROL
    long batch = 512;
#else
    long batch = records_at_once();
#endif
    long written = 0;
    for (long first = 0; first < count; first += batch) {
        long now = count - first < batch ? count - first : batch;
        written += pwrite(to, from + first * BYTES, (size_t)(now * BYTES), first * BYTES);
        fdatasync(to);
    }
    return written;
}

static void fill(uint64_t seed) { random_bytes(records[0], sizeof records, seed); }

static void prepare(void)
{
    char name[] = "append-XXXXXX";
    file = mkstemp(name);
    if (file < 0)
        wrong("no file can be made here");
    unlink(name);
    fill(1);
}

static void unit(void)
{
    if (append(file, records[0], RECORDS) != RECORDS * BYTES)
        wrong("the file is shorter than what was written");
}

static uint64_t check(uint64_t seed)
{
    static char back[sizeof records];
    uint64_t digest = seed;
    long count = RECORDS - (long)(seed % 100);
    fill(seed);
    long written = append(file, records[0], count);
    if (pread(file, back, (size_t)written, 0) != written)
        wrong("the file cannot be read");
    for (long at = 0; at < written; at++)
        digest = digest_word(digest, (unsigned char)back[at]);
    fill(1);
    return digest;
}
