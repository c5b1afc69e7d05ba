/* Lines become records in blocks of the heap that do not outlive their line. */
#include "../harness.h"

enum { LENGTH = 1 << 16 };
static unsigned char text[LENGTH + 1];
struct record {
    long letters, sum;
    unsigned char first, last;
};

__attribute__((noinline)) uint64_t record(const unsigned char *at, const unsigned char *end)
{
#ifdef CONTROL
    struct record one, two, *word = &one, *total = &two;
#else
    struct record *word = malloc(sizeof *word);
    struct record *total = malloc(sizeof *total);
    if (!word || !total) {
        free(word);
        free(total);
        return 0;
    }
#endif
    memset(word, 0, sizeof *word);
    memset(total, 0, sizeof *total);
    word->first = *at;
    for (; at < end && *at != ' '; at++) {
        word->letters++;
        word->sum += *at;
        word->last = *at;
    }
    total->letters += word->letters;
    total->sum += word->sum * 31 + word->first + word->last;
    uint64_t result = (uint64_t)(total->sum * 64 + total->letters);
#ifndef CONTROL
    free(total);
    free(word);
#endif
    return result;
}

static uint64_t all(void)
{
    uint64_t digest = 1;
    for (const unsigned char *at = text, *end = text + LENGTH; at < end;) {
        uint64_t found = record(at, end);
        digest = digest_word(digest, found);
        at += found % 64 + 1;
    }
    return digest;
}

static void prepare(void) { fill_text(text, LENGTH); }

static volatile uint64_t sink;

static void unit(void) { sink = all(); }

static uint64_t check(uint64_t seed)
{
    for (int change = 0; change < 500; change++)
        text[random_next(&seed) % LENGTH] = (unsigned char)('a' + random_next(&seed) % 26);
    uint64_t digest = all();
    fill_text(text, LENGTH);
    return digest;
}
