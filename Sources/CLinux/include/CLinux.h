// What Swift's Glibc module lacks: epoll, eventfd, accept4 and a UNIX peer's credentials.
#ifndef CLINUX_H
#define CLINUX_H

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/types.h>

/// accept4(2), non-blocking and close-on-exec. The descriptor, or -1 with errno set.
int clinux_accept(int listener, struct sockaddr *address, socklen_t *length);

/// SO_PEERCRED of a connected UNIX socket: who called connect(2). 0, or -1 with errno set.
int clinux_peer_credentials(int descriptor, uid_t *uid, gid_t *gid, pid_t *pid);

/// epoll_wait(2). How many events, or -1 with errno set.
static inline int clinux_epoll_poll(int epoll, struct epoll_event *events, int capacity, int milliseconds) {
    return epoll_wait(epoll, events, capacity, milliseconds);
}

/// epoll_ctl(2) with the event's parts spelled out; `events` 0 still reports errors and hang-ups. 0 or the errno.
int clinux_epoll_set(int epoll, int operation, int descriptor, uint32_t events, uint64_t token);

/// eventfd(2), non-blocking and close-on-exec. The descriptor, or -1 with errno set.
static inline int clinux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

/// Makes an eventfd readable; one that is stays so.
static inline void clinux_eventfd_raise(int descriptor) { (void)eventfd_write(descriptor, 1); }

/// Makes it unreadable again.
static inline void clinux_eventfd_clear(int descriptor) {
    eventfd_t count;
    (void)eventfd_read(descriptor, &count);
}

/// An event's token, out of the packed struct.
static inline uint64_t clinux_event_token(const struct epoll_event *event) { return event->data.u64; }

#endif
