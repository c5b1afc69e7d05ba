/*
 * A neighbour that contends, until it is ended: for the core that it runs on (`cpu`), or for the bandwidth of memory
 * (`memory`).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 64 << 20 };

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: %s cpu|memory\n", arguments[0]);
        return 2;
    }
    if (strcmp(arguments[1], "cpu") == 0) {
        unsigned long a = 1, b = 2, c = 3;
        for (;;) {
            for (int turn = 0; turn < 1000000; turn++) {
                a = a * 3 + b;
                b = b * 5 + c;
                c = c * 7 ^ a;
            }
            __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c));
        }
    }
    char *from = malloc(BYTES), *to = malloc(BYTES);
    memset(from, 1, BYTES);
    memset(to, 2, BYTES);
    for (;;) {
        memcpy(to, from, BYTES);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
}
