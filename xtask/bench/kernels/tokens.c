/* Numbers out of text, digit by digit. */
#include "../harness.h"

enum { LENGTH = 1 << 16 };
static char text[LENGTH + 1];

__attribute__((noinline)) uint64_t tokens(const char *at, const char *end)
{
    uint64_t digest = 1;
    while (at < end) {
        int negative = *at == '-';
        long value = 0;
        at += negative;
        for (; at < end && *at >= '0' && *at <= '9'; at++)
            value = value * 10 + (*at - '0');
        digest = digest_word(digest, (uint64_t)(negative ? -value : value));
        at++;
    }
    return digest;
}

static void fill(uint64_t seed)
{
    for (long at = 0; at < LENGTH;) {
        char word[32];
        int length = snprintf(word, sizeof word, "%d,", (int)random_next(&seed) >> random_next(&seed) % 28);
        for (int k = 0; k < length && at < LENGTH; k++)
            text[at++] = word[k];
    }
}

static void prepare(void) { fill(1); }

static volatile uint64_t sink;

static void unit(void) { sink = tokens(text, text + LENGTH); }

static uint64_t check(uint64_t seed)
{
    fill(seed);
    uint64_t digest = tokens(text, text + LENGTH);
    fill(1);
    return digest;
}
