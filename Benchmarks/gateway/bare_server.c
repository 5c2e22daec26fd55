/* Answers every line with the same SMTP reply and knows nothing: what a round trip costs on this machine before anybody has done
 * anything for it. Prints its port, and ends with its standard input. Benchmarks/gateway/run is its only caller. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_EVENTS = 64, MAX_LINE = 4096 };

static void fail(const char *what)
{
    fprintf(stderr, "bare_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int set, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void serve(int fd)
{
    char line[MAX_LINE];
    ssize_t got = read(fd, line, sizeof line);
    if (got <= 0)
        close(fd);
    else
        say(fd, got >= 4 && memcmp(line, "ETRN", 4) == 0 ? "251 OK, no messages waiting for node customer.bench.test\r\n" : "250 OK\r\n");
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int on = 1, set = epoll_create1(EPOLL_CLOEXEC), listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (set < 0 || listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, MAX_EVENTS) < 0
        || getsockname(listener, (struct sockaddr *)&address, &length) < 0)
        fail("listen");
    watch(set, listener);
    watch(set, STDIN_FILENO);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[MAX_EVENTS];
        int count = epoll_wait(set, events, MAX_EVENTS, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == STDIN_FILENO)
                return 0;
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd);
                continue;
            }
            int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (client < 0)
                continue;
            setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            watch(set, client);
            say(client, "220 bare.bench.test ESMTP\r\n");
        }
    }
}
