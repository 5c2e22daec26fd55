/* Speaks the flush protocol as Postfix's own clients do (one connection a request, all calls blocking), and times it. It prints
 * one JSON object. See `usage` below; Benchmarks/postfix/run is its only caller. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 64, MAX_SAMPLES = 4 * 1000 * 1000, BACKLOG = 1024, WATCH_IDS = 1000 };

static const char usage[] =
    "usage: flush_client add SOCKET CLIENTS COUNT SITES   COUNT adds by each of CLIENTS processes, to SITES domains\n"
    "       flush_client watch SOCKET SITE PAUSE_US       one client that adds until it gets SIGTERM\n"
    "       flush_client send SOCKET SITE                 one flush, and its status\n"
    "       flush_client release SOCKET SITE DIR COUNT    one flush, until COUNT files have been moved into DIR\n"
    "       flush_client answer SOCKET                    a server that says yes to everything: the machine's own noise\n"
    "       flush_client manager SOCKET                   a queue manager that takes every trigger and does nothing\n";

static volatile sig_atomic_t is_ended;

static void end(int signal)
{
    (void)signal;
    is_ended = 1;
}

static void fail(const char *what)
{
    fprintf(stderr, "flush_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void nap(long microseconds)
{
    struct timespec t = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&t, NULL);
}

/* ---- The protocol: names and values end with NUL, a list with one more. */

static size_t put(char *list, const char *text)
{
    size_t length = strlen(text) + 1;
    memcpy(list, text, length);
    return length;
}

static size_t make_request(char *list, const char *request, const char *site, const char *queue_id)
{
    size_t length = put(list, "request");
    length += put(list + length, request);
    length += put(list + length, "site");
    length += put(list + length, site);
    if (queue_id) {
        length += put(list + length, "queue_id");
        length += put(list + length, queue_id);
    }
    list[length++] = 0;
    return length;
}

/* Reads up to the end of a list; its length, or 0 when there is none. */
static size_t read_list(int fd, char *list, size_t room)
{
    size_t length = 0;
    while (length < room) {
        ssize_t got = read(fd, list + length, room - length);
        if (got < 0 && errno == EINTR && !is_ended)
            continue;
        if (got <= 0)
            return 0;
        length += (size_t)got;
        if (length >= 2 && !list[length - 1] && !list[length - 2])
            return length;
    }
    return 0;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        fail(path);
    }
    strcpy(address.sun_path, path);
    return address;
}

/* One request; true when the answer is status 0. */
static int ask(const struct sockaddr_un *address, const char *request, size_t length)
{
    static const char yes[] = "status\0" "0";
    char list[512];
    size_t got;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int is_good = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0
        && read_list(fd, list, sizeof list) > 0 && write(fd, request, length) == (ssize_t)length
        && (got = read_list(fd, list, sizeof list)) == sizeof yes + 1 && memcmp(list, yes, sizeof yes) == 0;
    if (fd >= 0)
        close(fd);
    return is_good;
}

/* ---- What came of it. */

struct samples {
    long count, failed;
    float latency[]; /* seconds */
};

static struct samples *make_samples(long count)
{
    struct samples *samples = mmap(NULL, sizeof *samples + (size_t)count * sizeof(float), PROT_READ | PROT_WRITE,
        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (samples == MAP_FAILED)
        fail("mmap");
    return samples;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(const struct samples *samples, double part)
{
    return samples->latency[(long)((double)(samples->count - 1) * part)] * 1e3;
}

static void print(struct samples *samples, double seconds)
{
    if (samples->count == 0) {
        printf("{\"count\": 0, \"failed\": %ld}\n", samples->failed);
        return;
    }
    qsort(samples->latency, (size_t)samples->count, sizeof samples->latency[0], compare);
    printf("{\"count\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"a_second\": %.1f, \"median_ms\": %.4f, \"p99_ms\": %.4f, "
           "\"p999_ms\": %.4f, \"max_ms\": %.4f}\n",
        samples->count, samples->failed, seconds, (double)samples->count / seconds, quantile(samples, 0.5), quantile(samples, 0.99),
        quantile(samples, 0.999), quantile(samples, 1));
}

/* ---- Commands. */

static void add_some(const struct sockaddr_un *address, struct samples *samples, long client, long count, long sites)
{
    for (long i = 0; i < count; i++) {
        char request[512], site[64], queue_id[64];
        snprintf(site, sizeof site, "site%ld.bench.test", i % sites);
        snprintf(queue_id, sizeof queue_id, "%05lX%lX", (i * 7919 + client) & 0xfffff, 0x200000 + client * count + i);
        size_t length = make_request(request, "add", site, queue_id);
        double start = now();
        if (!ask(address, request, length))
            __sync_fetch_and_add(&samples->failed, 1);
        samples->latency[client * count + i] = (float)(now() - start);
    }
}

static int add(const char *socket, long clients, long count, long sites)
{
    if (clients < 1 || clients > MAX_CLIENTS || count < 1 || count > MAX_SAMPLES / clients || sites < 1)
        return fputs(usage, stderr), 64;
    struct sockaddr_un address = address_of(socket);
    struct samples *samples = make_samples(clients * count);
    double start = now();
    for (long client = 0; client < clients; client++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid == 0) {
            add_some(&address, samples, client, count, sites);
            _exit(0);
        }
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    samples->count = clients * count;
    print(samples, now() - start);
    return 0;
}

static int watch(const char *socket, const char *site, long pause)
{
    struct sockaddr_un address = address_of(socket);
    struct samples *samples = make_samples(MAX_SAMPLES);
    double start = now();
    while (!is_ended && samples->count < MAX_SAMPLES) {
        char request[512], queue_id[64];
        snprintf(queue_id, sizeof queue_id, "%05lX%lX", samples->count % WATCH_IDS, 0xF00000 + samples->count % WATCH_IDS);
        size_t length = make_request(request, "add", site, queue_id);
        double begun = now();
        if (ask(&address, request, length))
            samples->latency[samples->count++] = (float)(now() - begun);
        else if (!is_ended)
            samples->failed++;
        if (pause > 0)
            nap(pause);
    }
    print(samples, now() - start);
    return 0;
}

static int send_site(const char *socket, const char *site)
{
    char request[512];
    size_t length = make_request(request, "send_site", site, NULL);
    struct sockaddr_un address = address_of(socket);
    double start = now();
    int is_good = ask(&address, request, length);
    printf("{\"reply_ms\": %.4f, \"good\": %s}\n", (now() - start) * 1e3, is_good ? "true" : "false");
    return 0;
}

/* The files that have come since the last call. */
static long arrivals(int watch)
{
    static char events[64 * 1024] __attribute__((aligned(8)));
    long count = 0;
    ssize_t got;
    while ((got = read(watch, events, sizeof events)) > 0)
        for (char *at = events; at < events + got;) {
            struct inotify_event *event = (struct inotify_event *)at;
            if (event->mask & IN_Q_OVERFLOW) {
                errno = EOVERFLOW;
                fail("inotify");
            }
            if (event->mask & IN_MOVED_TO)
                count++;
            at += sizeof *event + event->len;
        }
    return count;
}

static int release(const char *socket_path, const char *site, const char *directory, long wanted)
{
    char request[512], list[512];
    size_t length = make_request(request, "send_site", site, NULL);
    struct sockaddr_un address = address_of(socket_path);
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch < 0 || inotify_add_watch(watch, directory, IN_MOVED_TO) < 0)
        fail(directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 || !read_list(fd, list, sizeof list))
        fail(socket_path);
    double start = now(), reply = -1, moved = -1;
    if (write(fd, request, length) != (ssize_t)length)
        fail("write");
    long count = 0;
    int is_good = 0;
    while (!is_ended && (reply < 0 || count < wanted) && now() - start < 60) {
        struct pollfd wait[2] = {{.fd = watch, .events = POLLIN}, {.fd = reply < 0 ? fd : -1, .events = POLLIN}};
        /* Being woken for each of thousands of files would take time from the one who moves them. */
        if (wanted > 100 && reply >= 0)
            nap(200);
        if (poll(wait, 2, 1000) < 0)
            continue;
        if (wait[1].revents) {
            is_good = read_list(fd, list, sizeof list) == 10 && list[7] == '0';
            reply = now() - start;
        }
        if (wait[0].revents) {
            count += arrivals(watch);
            moved = now() - start;
            if (wanted > 100 && reply < 0)
                nap(200);
        }
    }
    printf("{\"reply_ms\": %.4f, \"moved_ms\": %.4f, \"moved\": %ld, \"good\": %s}\n", reply * 1e3, moved * 1e3, count,
        is_good ? "true" : "false");
    return 0;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(path);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0666) < 0
        || listen(listener, BACKLOG) < 0)
        fail(path);
    return listener;
}

/* Serves one client at a time. The control of what the flush service does, and of what its work does to the queue manager. */
static int serve(const char *path, int is_manager)
{
    static const char greeting[] = "protocol\0queue_flush_protocol\0", yes[] = "status\0" "0\0";
    int listener = listen_at(path);
    while (!is_ended) {
        char list[2048];
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        /* Whether the client is still there is its affair. */
        if (is_manager)
            (void)!read(fd, list, sizeof list);
        else if (write(fd, greeting, sizeof greeting) > 0 && read_list(fd, list, sizeof list))
            (void)!write(fd, yes, sizeof yes);
        close(fd);
    }
    unlink(path);
    return 0;
}

int main(int count, char **arguments)
{
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    const char *command = count > 2 ? arguments[1] : "";
    if (count == 6 && !strcmp(command, "add"))
        return add(arguments[2], atol(arguments[3]), atol(arguments[4]), atol(arguments[5]));
    if (count == 5 && !strcmp(command, "watch"))
        return watch(arguments[2], arguments[3], atol(arguments[4]));
    if (count == 4 && !strcmp(command, "send"))
        return send_site(arguments[2], arguments[3]);
    if (count == 6 && !strcmp(command, "release"))
        return release(arguments[2], arguments[3], arguments[4], atol(arguments[5]));
    if (count == 3 && (!strcmp(command, "answer") || !strcmp(command, "manager")))
        return serve(arguments[2], !strcmp(command, "manager"));
    fputs(usage, stderr);
    return 64;
}
