/*
 * A program around zlib that nobody of this project wrote: it deflates and inflates text-like data and compares.
 *
 * usage: zlib_round_trip ROUNDS      prints the CPU seconds that the rounds took; exit status 1 where data differ
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "zlib.h"

enum { LENGTH = 1 << 20 };

static unsigned char data[LENGTH], packed[LENGTH + LENGTH / 2], unpacked[LENGTH];

/* Words of a small vocabulary, so that matches of many lengths are found. */
static void fill(void)
{
    unsigned state = 20;
    for (size_t at = 0; at < LENGTH;) {
        state = state * 1664525u + 1013904223u;
        unsigned word = (state >> 20) % 700, length = 3 + word % 9;
        for (unsigned index = 0; index < length && at < LENGTH; index++)
            data[at++] = (unsigned char)('a' + (word * 7 + index * index) % 26);
        if (at < LENGTH)
            data[at++] = ' ';
    }
}

int main(int count, char **arguments)
{
    int rounds = count == 2 ? atoi(arguments[1]) : 0;
    if (rounds < 1) {
        fprintf(stderr, "usage: zlib_round_trip ROUNDS\n");
        return 2;
    }
    fill();
    clock_t start = clock();
    for (int round = 0; round < rounds; round++) {
        uLongf packed_length = sizeof packed, unpacked_length = sizeof unpacked;
        if (compress2(packed, &packed_length, data, LENGTH, 6) != Z_OK ||
            uncompress(unpacked, &unpacked_length, packed, packed_length) != Z_OK ||
            unpacked_length != LENGTH || memcmp(data, unpacked, LENGTH) != 0) {
            fprintf(stderr, "zlib_round_trip: the data differ\n");
            return 1;
        }
    }
    printf("%.6f\n", (double)(clock() - start) / CLOCKS_PER_SEC);
    return 0;
}
