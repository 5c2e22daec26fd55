/* Sends ETRN over SMTP, one command at a time in each of several sessions, and times every round trip from the command to the end of
 * its reply. Prints one JSON object. Benchmarks/gateway/run is its only caller. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SESSIONS = 64, MAX_SAMPLES = 4 * 1000 * 1000, MAX_CODES = 1000 };

static const char usage[] = "usage: etrn_client PORT SESSIONS COUNT DOMAIN   COUNT commands in each of SESSIONS sessions with 127.0.0.1\n";

struct results {
    long count, codes[MAX_CODES];
    float latency[]; /* seconds */
};

static void fail(const char *what)
{
    fprintf(stderr, "etrn_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Reads one reply, which may have several lines; its code. */
static int read_reply(int fd)
{
    char text[4096];
    size_t length = 0, line = 0;
    for (;;) {
        ssize_t got = read(fd, text + length, sizeof text - length);
        if (got <= 0) {
            errno = got < 0 ? errno : ECONNRESET;
            fail("a reply did not come");
        }
        length += (size_t)got;
        for (char *end; (end = memchr(text + line, '\n', length - line)); line = (size_t)(end - text) + 1)
            if (end - (text + line) >= 4 && text[line + 3] != '-')
                return atoi(text + line);
        if (length == sizeof text) {
            errno = EMSGSIZE;
            fail("a reply");
        }
    }
}

static int command(int fd, const char *text)
{
    size_t length = strlen(text);
    if (write(fd, text, length) != (ssize_t)length)
        fail("write");
    return read_reply(fd);
}

static void session(int port, long count, const char *domain, float *latency, long *codes)
{
    char line[300];
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (read_reply(fd) != 220 || command(fd, "EHLO client.bench.test\r\n") != 250) {
        errno = EPROTO;
        fail("no greeting");
    }
    snprintf(line, sizeof line, "ETRN %s\r\n", domain);
    for (long i = 0; i < count; i++) {
        double start = now();
        int code = command(fd, line);
        latency[i] = (float)(now() - start);
        __sync_fetch_and_add(&codes[code > 0 && code < MAX_CODES ? code : 0], 1);
    }
    command(fd, "QUIT\r\n");
    close(fd);
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int main(int count, char **arguments)
{
    long sessions = count == 5 ? atol(arguments[2]) : 0, each = count == 5 ? atol(arguments[3]) : 0;
    if (sessions < 1 || sessions > MAX_SESSIONS || each < 1 || each > MAX_SAMPLES / sessions || strlen(arguments[4]) > 255)
        return fputs(usage, stderr), 64;
    long total = sessions * each;
    struct results *results = mmap(NULL, sizeof *results + (size_t)total * sizeof(float), PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED)
        fail("mmap");
    double start = now();
    for (long i = 0; i < sessions; i++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid == 0) {
            session(atoi(arguments[1]), each, arguments[4], results->latency + i * each, results->codes);
            _exit(0);
        }
    }
    int status, failed = 0;
    while (wait(&status) > 0)
        failed |= status;
    if (failed)
        return 1;
    double seconds = now() - start;
    qsort(results->latency, (size_t)total, sizeof results->latency[0], compare);
    printf("{\"a_second\": %.1f, \"median_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"codes\": {", (double)total / seconds,
        results->latency[total / 2] * 1e3, results->latency[total * 99 / 100] * 1e3, results->latency[total - 1] * 1e3);
    const char *comma = "";
    for (int code = 0; code < MAX_CODES; code++)
        if (results->codes[code]) {
            printf("%s\"%d\": %ld", comma, code, results->codes[code]);
            comma = ", ";
        }
    printf("}}\n");
    return 0;
}
