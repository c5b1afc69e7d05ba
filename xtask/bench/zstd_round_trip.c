/* zstd: a frame of level 3 is compressed, unpacked and compared. */
#include "harness.h"
#include "zstd.h"

enum { LENGTH = 1 << 20 };

static unsigned char data[LENGTH], packed[LENGTH + LENGTH / 64 + 512], unpacked[LENGTH];
static ZSTD_CCtx *compressor;
static ZSTD_DCtx *unpacker;

static void prepare(void)
{
    fill_text(data, LENGTH);
    compressor = ZSTD_createCCtx();
    unpacker = ZSTD_createDCtx();
}

static size_t round_trip(void)
{
    size_t length = ZSTD_compressCCtx(compressor, packed, sizeof packed, data, LENGTH, 3);
    if (ZSTD_isError(length) || ZSTD_decompressDCtx(unpacker, unpacked, LENGTH, packed, length) != LENGTH)
        wrong("the frame does not unpack");
    return length;
}

static void unit(void) { round_trip(); }

static uint64_t check(uint64_t seed)
{
    uint64_t digest = seed;
    for (int change = 0; change < 1000; change++)
        data[random_next(&seed) % LENGTH] = (unsigned char)random_next(&seed);
    size_t length = round_trip();
    if (memcmp(data, unpacked, LENGTH) != 0)
        wrong("the data differ");
    for (size_t at = 0; at < length; at++)
        digest = digest_word(digest, packed[at]);
    fill_text(data, LENGTH);
    return digest;
}
