"""Many peers that send a byte now and then and never come to an end; a program of its own, so that who measures is not disturbed.

Who is sent away or cut off comes again. Runs until its standard input ends, and then prints what it did as JSON.
"""
import argparse
import errno
import json
import resource
import select
import socket
import sys
import time

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"s" * 4096
BODY = b"PUT /relay-domains/slow.example HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n" + b" " * 4096
COMMAND = b"NOOP " + b"s" * 400
# What a peer sends at once when it has come, and then byte by byte.
KINDS = {"head": (10, HEAD), "body": (BODY.index(b"\r\n\r\n") + 4, BODY), "idle": (0, b""), "smtp": (0, COMMAND)}
TICK = 0.05  # seconds
CONNECTS_PER_TICK = 500
# Peers of one source address: all from one would run out of ports, as each that was sent away keeps its own for a minute.
PEERS_PER_SOURCE = 2_000


class Peer:
    __slots__ = ("kind", "socket", "sent")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.socket: socket.socket | None = None
        self.sent = 0


class Drip:
    def __init__(self, address: tuple[str, int], kinds: list[str], count: int, period: float) -> None:
        self.address = address
        self.period = period
        self.peers = [Peer(kinds[n % len(kinds)]) for n in range(count)]
        self.absent = list(range(count))
        self.by_descriptor: dict[int, int] = {}
        self.poll = select.epoll()
        self.counts = {"connected": 0, "sent_away": 0, "bytes": 0, "refused": 0}
        self.told = False

    def run(self) -> None:
        self.poll.register(sys.stdin.fileno(), select.EPOLLIN)
        turn = 0
        while True:
            began = time.monotonic()
            self.connect_some()
            # Everybody's turn comes once in a period.
            for _ in range(int(len(self.peers) * TICK / self.period) + 1):
                turn = (turn + 1) % len(self.peers)
                self.send(turn)
            if not self.told and not self.absent:
                self.told = True
                print("up", flush=True)
            while (left := began + TICK - time.monotonic()) > 0:
                for descriptor, _ in self.poll.poll(left):
                    if descriptor == sys.stdin.fileno():
                        if not sys.stdin.buffer.read1(1):
                            return
                    else:
                        self.answered(self.by_descriptor[descriptor])

    def connect_some(self) -> None:
        batch, self.absent = self.absent[:CONNECTS_PER_TICK], self.absent[CONNECTS_PER_TICK:]
        for place, number in enumerate(batch):
            peer = self.peers[number]
            connection = socket.socket()
            try:
                source = number // PEERS_PER_SOURCE
                connection.bind((f"127.0.{1 + source // 250}.{1 + source % 250}", 0))
                connection.connect(self.address)
                connection.setblocking(False)
            except OSError as error:
                connection.close()
                self.counts["refused"] += 1
                self.absent += batch[place:]
                if error.errno not in (errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.ECONNRESET, errno.ETIMEDOUT):
                    raise
                return
            peer.socket, peer.sent = connection, 0
            self.by_descriptor[connection.fileno()] = number
            self.poll.register(connection, select.EPOLLIN | select.EPOLLRDHUP)
            self.counts["connected"] += 1
            first, _ = KINDS[peer.kind]
            if first:
                self.send(number, first)

    def send(self, number: int, count: int = 1) -> None:
        peer = self.peers[number]
        if peer.socket is None:
            return
        piece = KINDS[peer.kind][1][peer.sent : peer.sent + count]
        if not piece:
            return
        try:
            peer.sent += peer.socket.send(piece)
            self.counts["bytes"] += len(piece)
        except BlockingIOError:
            pass
        except OSError:
            self.leave(number)

    def answered(self, number: int) -> None:
        try:
            if self.peers[number].socket.recv(4096):
                return  # a greeting, or what is said before it sends us away
        except BlockingIOError:
            return
        except OSError:
            pass
        self.leave(number)

    def leave(self, number: int) -> None:
        peer = self.peers[number]
        self.counts["sent_away"] += 1
        del self.by_descriptor[peer.socket.fileno()]
        peer.socket.close()
        peer.socket = None
        self.absent.append(number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int, help="where to go on 127.0.0.1")
    parser.add_argument("count", type=int, help="how many peers")
    parser.add_argument("--kinds", default="head", help=f"what they do, separated by commas: {', '.join(KINDS)}")
    parser.add_argument("--period", type=float, default=4.0, help="seconds between two bytes of a peer (default 4)")
    arguments = parser.parse_args()
    kinds = arguments.kinds.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    drip = Drip(("127.0.0.1", arguments.port), kinds, arguments.count, arguments.period)
    drip.run()
    print(json.dumps(drip.counts), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
