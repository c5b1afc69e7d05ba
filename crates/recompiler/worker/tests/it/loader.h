/* A loader of images for tests: the steps of the image's page, without any of the runtime's care. The test
 * writes what it parsed from the image into a file of numbers. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FAIL() (fprintf(stderr, "loader.h:%d\n", __LINE__), abort())

extern const char __ehdr_start[] __attribute__((visibility("hidden")));

static uint64_t load_base(uint64_t first) { return (uint64_t)__ehdr_start - first; }

/* File: first_address slot_address anchors_address span_length entry relocations, then per relocation: offset kind
 * target_kind target addend; then the span's bytes as hexadecimal numbers. */
static void load_variant(const char *path) {
    FILE *file = fopen(path, "r");
    uint64_t first, slot, anchors, length, entry, count;
    if (!file || fscanf(file, "%lu %lu %lu %lu %lu %lu", &first, &slot, &anchors, &length, &entry, &count) != 6) FAIL();
    uint64_t base = load_base(first);
    static uint64_t distance_mib = 64;
    uint64_t start = (uint64_t)__ehdr_start & ~0xfffUL;
    uint64_t hint = start > (1UL << 30) ? start - (distance_mib << 20) : start + (distance_mib << 20);
    distance_mib += 64;
    uint8_t *place = mmap((void *)hint, (length + 4095) & ~4095UL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (place == MAP_FAILED) place = mmap(0, (length + 4095) & ~4095UL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long (*relocations)[5] = calloc(count, sizeof *relocations);
    for (uint64_t i = 0; i < count; i++)
        for (int k = 0; k < 5; k++)
            if (fscanf(file, "%ld", &relocations[i][k]) != 1) FAIL();
    for (uint64_t i = 0; i < length; i++) {
        unsigned byte;
        if (fscanf(file, "%x", &byte) != 1) FAIL();
        place[i] = (uint8_t)byte;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *field = place + relocations[i][0];
        uint64_t target = (uint64_t)place + relocations[i][3];
        /* Until something is loaded, the slot leads to the base body. */
        if (relocations[i][2] == 2) memcpy(&target, (void *)(base + slot), 8);
        if (relocations[i][2] == 0) {
            const uint8_t *anchor = (const uint8_t *)(base + anchors + 8 * relocations[i][3]);
            int32_t delta;
            memcpy(&delta, anchor, 4);
            target = (uint64_t)anchor + delta;
            if (anchor[5] & 1) memcpy(&target, (void *)target, 8);
            if (!target || !delta) FAIL();
        }
        target += relocations[i][4];
        int64_t distance = (int64_t)(target - (uint64_t)field);
        if (relocations[i][1] == 1) memcpy(field, &target, 8);
        else if (relocations[i][1] == 2) {
            if (distance != (int32_t)distance) FAIL();
            memcpy(field, &distance, 4);
        } else if (relocations[i][1] == 3) memcpy(field, &distance, 8);
        else if (relocations[i][1] == 4) {
            distance -= 4;
            if (distance == (int32_t)distance) { field[-2] = 0x67; field[-1] = 0xe8; memcpy(field, &distance, 4); }
        } else FAIL();
    }
    mprotect(place, (length + 4095) & ~4095UL, PROT_READ | PROT_EXEC);
    uint64_t address = (uint64_t)place + entry;
    __atomic_store((uint64_t *)(base + slot), &address, __ATOMIC_RELEASE);
    free(relocations);
    fclose(file);
}
