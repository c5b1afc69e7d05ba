/* LZ4: a block is compressed, unpacked and compared. */
#include "harness.h"
#include "lz4.h"

enum { LENGTH = 1 << 20 };

static unsigned char data[LENGTH], packed[LENGTH + LENGTH / 64 + 64], unpacked[LENGTH];

static void prepare(void) { fill_text(data, LENGTH); }

static int round_trip(void)
{
    int length = LZ4_compress_default((char *)data, (char *)packed, LENGTH, sizeof packed);
    if (length <= 0 || LZ4_decompress_safe((char *)packed, (char *)unpacked, length, LENGTH) != LENGTH)
        wrong("the block does not unpack");
    return length;
}

static void unit(void) { round_trip(); }

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    for (int change = 0; change < 1000; change++)
        data[random_next(&seed) % LENGTH] = (unsigned char)random_next(&seed);
    int length = round_trip();
    if (memcmp(data, unpacked, LENGTH) != 0)
        wrong("the data differ");
    for (int at = 0; at < length; at++)
        digest = digest_word(digest, packed[at]);
    fill_text(data, LENGTH);
    return digest;
}
