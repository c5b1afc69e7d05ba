/* Short messages go through a TCP connection to a thread that reads them, so many at once as a tunable says. */
#include "../harness.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGES = 1024, BYTES = 64 };
TIDEGATE_TUNABLE(messages_at_once, 4, TIDEGATE_IN(network, 256));
static char messages[MESSAGES][BYTES];
static int near_end, far_end;

__attribute__((noinline)) long deliver(int to, const char *from, long count)
{
#ifdef CONTROL
    long batch = 256;
#else
    long batch = messages_at_once();
#endif
    long sent = 0;
    for (long first = 0; first < count; first += batch) {
        long now = count - first < batch ? count - first : batch;
        for (long left = now * BYTES; left > 0;) {
            long part = send(to, from + first * BYTES + now * BYTES - left, (size_t)left, MSG_NOSIGNAL);
            if (part <= 0)
                return -1;
            left -= part;
            sent += part;
        }
    }
    return sent;
}

/* Reads for ever; after each `want` bytes it answers with their digest. */
static void *receive(void *unused)
{
    static unsigned char data[1 << 16];
    uint64_t digest = 0;
    uint32_t want = 0;
    (void)unused;
    for (long left = 0;;) {
        if (left == 0) {
            if (recv(far_end, &want, sizeof want, MSG_WAITALL) != sizeof want)
                return NULL;
            left = want;
            digest = 1;
        }
        long part = recv(far_end, data, left < (long)sizeof data ? (size_t)left : sizeof data, 0);
        if (part <= 0)
            return NULL;
        for (long at = 0; at < part; at += 16)
            digest = digest_word(digest, data[at]);
        left -= part;
        if (left == 0 && send(far_end, &digest, sizeof digest, MSG_NOSIGNAL) != sizeof digest)
            return NULL;
    }
}

static uint64_t through(long count)
{
    uint32_t want = (uint32_t)(count * BYTES);
    uint64_t digest = 0;
    if (send(near_end, &want, sizeof want, MSG_NOSIGNAL) != sizeof want ||
        deliver(near_end, messages[0], count) != (long)want ||
        recv(near_end, &digest, sizeof digest, MSG_WAITALL) != sizeof digest)
        wrong("the connection broke");
    return digest;
}

static void fill(uint64_t seed) { random_bytes(messages[0], sizeof messages, seed); }

static void prepare(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof here;
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    near_end = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&here, length) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&here, &length) != 0 ||
        connect(near_end, (struct sockaddr *)&here, length) != 0 || (far_end = accept(listener, NULL, NULL)) < 0)
        wrong("no connection over loopback");
    close(listener);
    fill(1);
    if (pthread_create(&thread, NULL, receive, NULL) != 0)
        wrong("no thread");
}

static volatile uint64_t sink;

static void unit(void) { sink = through(MESSAGES); }

static uint64_t check(uint64_t seed)
{
    fill(seed);
    uint64_t digest = through(MESSAGES - (long)(seed % 100));
    fill(1);
    return digest;
}
