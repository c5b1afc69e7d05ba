/* A checksum by table, byte by byte. */
#include "../harness.h"

enum { LENGTH = 1 << 17 };
static unsigned char text[LENGTH];
static uint32_t table[256];

__attribute__((noinline)) uint32_t crc(const unsigned char *data, long length, uint32_t sum)
{
    for (long i = 0; i < length; i++)
        sum = table[(sum ^ data[i]) & 255] ^ sum >> 8;
    return sum;
}

static void prepare(void)
{
    fill_text(text, LENGTH);
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t sum = byte;
        for (int bit = 0; bit < 8; bit++)
            sum = sum & 1 ? 0xedb88320u ^ sum >> 1 : sum >> 1;
        table[byte] = sum;
    }
}

static volatile uint32_t sink;

static void unit(void) { sink = crc(text, LENGTH, ~0u); }

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    for (long length = 0; length < 300; length++)
        digest = digest_word(digest, crc(text + random_next(&seed) % 1000, length * 17, (uint32_t)random_next(&seed)));
    return digest;
}
