/*
 * A neighbour that contends, until it is ended: for the core that it runs on (`cpu`), for the bandwidth of memory
 * (`memory`), for the disk under the present folder (`disk`), or for loopback (`network`).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BYTES = 64 << 20, BLOCK = 1 << 20, BLOCKS = 256 };

static int compute(void)
{
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

static int copy(void)
{
    char *from = malloc(BYTES), *to = malloc(BYTES);
    memset(from, 1, BYTES);
    memset(to, 2, BYTES);
    for (;;) {
        memcpy(to, from, BYTES);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
}

/* Writes past the page cache where the file system lets it. */
static int write_blocks(void)
{
    char name[] = "neighbour-XXXXXX";
    void *block;
    int file = mkostemp(name, O_DIRECT);
    if (file < 0)
        file = mkstemp(name);
    if (file < 0 || posix_memalign(&block, 4096, BLOCK) != 0)
        return 3;
    unlink(name);
    memset(block, 1, BLOCK);
    for (long turn = 0;; turn = (turn + 1) % BLOCKS)
        if (pwrite(file, block, BLOCK, turn * BLOCK) != BLOCK || (turn % 16 == 0 && fdatasync(file) != 0))
            return 3;
}

static void *swallow(void *end)
{
    static char data[BLOCK];
    while (recv(*(int *)end, data, sizeof data, 0) > 0) {}
    return NULL;
}

static int flood(void)
{
    static char data[BLOCK];
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM, 0), from = socket(AF_INET, SOCK_STREAM, 0), to;
    if (bind(listener, (struct sockaddr *)&here, length) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&here, &length) != 0 ||
        connect(from, (struct sockaddr *)&here, length) != 0 || (to = accept(listener, NULL, NULL)) < 0 ||
        pthread_create(&thread, NULL, swallow, &to) != 0)
        return 3;
    while (send(from, data, sizeof data, MSG_NOSIGNAL) > 0) {}
    return 3;
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        int (*contend)(void);
    } kinds[] = {{"cpu", compute}, {"memory", copy}, {"disk", write_blocks}, {"network", flood}};
    for (int kind = 0; count == 2 && kind < 4; kind++)
        if (strcmp(arguments[1], kinds[kind].name) == 0)
            return kinds[kind].contend();
    fprintf(stderr, "usage: %s cpu|memory|disk|network\n", arguments[0]);
    return 2;
}
