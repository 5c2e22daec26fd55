/* Fills the embedded engine's spool with messages that it could have put there itself: `fill_spool DIRECTORY` makes a queue file for
 * each domain that it reads from standard input, a line each. synthetic_spool.py is its only caller. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { DOMAIN_LENGTH = 255, STATUS_LINE = 53, BASE = 62, TIME_DIGITS = 9, RANDOM_DIGITS = 2 };

/* Until the next attempt: nobody waits longer (maximal_backoff_time). */
static const time_t ahead = 4000;
static const char content[] = "From: sender@bench.test\r\nSubject: one of many\r\n\r\nhello\r\n";

static void fail(const char *what)
{
    fprintf(stderr, "fill_spool: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void put_base62(char *text, uint64_t number, int digits)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int place = digits - 1; place >= 0; place--, number /= BASE)
        text[place] = alphabet[number % BASE];
}

static uint64_t checksum(const char *bytes, size_t count)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3;
    return hash;
}

static void make(int directory, uint64_t arrival, unsigned long number, const char *domain, const struct timespec times[2])
{
    char id[TIME_DIGITS + RANDOM_DIGITS + 1] = {0}, body[1024], file[2048];
    put_base62(id, arrival, TIME_DIGITS);
    put_base62(id + TIME_DIGITS, number % (BASE * BASE), RANDOM_DIGITS);
    int length = snprintf(body, sizeof body,
        "id %s\narrival %llu\nsize %013zu\nbody 7bit\nsender sender@bench.test\nclient 127.0.0.1\nhelo bench.test\n"
        "rcpt user%lu@%s\nstatus ", id, (unsigned long long)arrival, sizeof content - 1, number, domain);
    int status = STATUS_LINE + length;
    int count = snprintf(file, sizeof file, "etrnd-spool 1 %010d %010d %016llx\n%sp\n\n%s", status, status + 3,
        (unsigned long long)checksum(body, (size_t)length), body, content);
    int fd = openat(directory, id, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, file, (size_t)count) != count || futimens(fd, times) != 0)
        fail(id);
    close(fd);
}

int main(int count, char **arguments)
{
    char domain[DOMAIN_LENGTH + 2];
    struct timespec now;
    if (count != 2) {
        fputs("usage: fill_spool DIRECTORY < DOMAINS\n", stderr);
        return 64;
    }
    int directory = open(arguments[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        fail(arguments[1]);
    clock_gettime(CLOCK_REALTIME, &now);
    struct timespec times[2] = {{now.tv_sec + ahead, 0}, {now.tv_sec + ahead, 0}};
    /* One a microsecond, ended half a minute ago. */
    uint64_t arrival = ((uint64_t)now.tv_sec - 30) * 1000000;
    for (unsigned long number = 1; fgets(domain, sizeof domain, stdin); number++) {
        domain[strcspn(domain, "\n")] = 0;
        make(directory, arrival + number, number, domain, times);
    }
    return 0;
}
