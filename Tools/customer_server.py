#!/usr/bin/env python3
"""A customer's SMTP server to try etrnd with: takes mail, shows it, and misbehaves on request.

The end-to-end tests and the demo use the class; as a program it prints every message it gets.
"""
import argparse
import random
import signal
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass, field

# Below the range that the kernel gives to outgoing connections, so that a server that went down gets its port back.
PORTS = range(20000, 30000)
MAXIMUM_LINE = 64 * 1024


@dataclass
class Message:
    """A message whose final dot was answered with 250, or that was taken whole before the connection was dropped."""

    sender: str
    recipients: list[str]
    content: bytes
    tls: bool
    acknowledged: bool
    at: float = field(default_factory=time.monotonic)

    def header(self, name: str) -> str | None:
        for line in self.content.split(b"\r\n\r\n", 1)[0].split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.lower() == name.lower().encode():
                return value.strip().decode("utf-8", "replace")
        return None


class Behaviour:
    """What the server answers. Change it at any time; the next command sees it."""

    def __init__(self) -> None:
        self.greeting = "220 customer ESMTP"
        self.ehlo = "250 OK"  # a 5xx here makes the client fall back to HELO
        self.mail = "250 2.1.0 OK"
        self.recipients: dict[str, str] = {}  # address -> reply; others get 250
        self.data = "354 go on"
        self.end_of_data = "250 2.0.0 OK taken"
        self.size = True  # whether SIZE is offered
        # "connect", "mail", "rcpt", "data", "content" (in its middle), "end" (content taken, no reply) or None
        self.drop_at: str | None = None
        self.drops = -1  # how many connections are dropped that way; negative: all
        self.hold_greeting: threading.Event | None = None  # waited for before the greeting
        self.hold_end: threading.Event | None = None  # waited for before the reply to the final dot


class CustomerServer:
    """One SMTP server on one port that can go down and come up again on the same port."""

    HOLD_LIMIT = 60.0  # seconds; a test that forgets to set an event does not hang for ever

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.behaviour = Behaviour()
        self.messages: list[Message] = []
        self.attempts: list[tuple[str, str]] = []  # every RCPT with its reply
        self.connections = 0  # how many were accepted in all
        self._condition = threading.Condition()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._reserved: socket.socket | None = None
        self.port = port or self._reserve()

    # The site's link.

    def _reserve(self) -> int:
        """Finds a free port and keeps it bound, but without a listener: connecting to it is refused."""
        for port in random.sample(PORTS, 200):
            reserved = socket.socket()
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                reserved.bind(("127.0.0.1", port))
            except OSError:
                reserved.close()
                continue
            self._reserved = reserved
            return port
        raise OSError("no free port between 20000 and 29999")

    def start(self) -> "CustomerServer":
        """The site comes up."""
        if self._listener:
            return self
        if self._reserved:
            self._reserved.close()
            self._reserved = None
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def stop(self) -> None:
        """The site goes down: connecting is refused, open connections break."""
        listener, self._listener = self._listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            except OSError:
                pass
            listener.close()
        with self._condition:
            sockets = list(self._open)
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self) -> "CustomerServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._reserved:
            self._reserved.close()

    @property
    def next_hop(self) -> str:
        return f"[127.0.0.1]:{self.port}"

    # What was seen.

    def wait_for(self, predicate, seconds: float = 30.0, what: str = "the expected mail"):
        """Waits until `predicate(self)` is true; fails loudly when the time is up."""
        with self._condition:
            if not self._condition.wait_for(lambda: predicate(self), seconds):
                raise AssertionError(
                    f"waited {seconds} s for {what}; {len(self.messages)} messages, {self.connections} connections, "
                    f"last attempts {self.attempts[-5:]}"
                )

    def snapshot(self) -> list[Message]:
        with self._condition:
            return list(self.messages)

    @property
    def open_connections(self) -> int:
        with self._condition:
            return len(self._open)

    # One connection.

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._condition:
                self.connections += 1
                self._open.add(connection)
                self._condition.notify_all()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        session = _Session(self, connection)
        try:
            session.run()
        except (OSError, ValueError):
            pass  # the peer left, or said what no client says
        finally:
            with self._condition:
                self._open.discard(session.socket)
                self._condition.notify_all()
            session.close()

    def _secured(self, connection: socket.socket) -> socket.socket:
        secure = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._condition:
            self._open.discard(connection)
            self._open.add(secure)
        secure.do_handshake()
        return secure

    def _record(self, message: Message) -> None:
        with self._condition:
            self.messages.append(message)
            self._condition.notify_all()

    def _attempted(self, address: str, reply: str) -> None:
        with self._condition:
            self.attempts.append((address, reply))
            self._condition.notify_all()

    def _drops(self, stage: str) -> bool:
        with self._condition:
            behaviour = self.behaviour
            if behaviour.drop_at != stage or behaviour.drops == 0:
                return False
            behaviour.drops -= 1
            return True


class _Session:
    """The SMTP dialogue on one connection."""

    def __init__(self, server: CustomerServer, connection: socket.socket) -> None:
        self.server = server
        self.socket = connection
        self.buffer = b""
        self.secure = False
        self.sender: str | None = None
        self.recipients: list[str] = []

    def close(self) -> None:
        self.socket.close()

    def run(self) -> None:
        behaviour = self.server.behaviour
        if self.server._drops("connect"):
            return
        if behaviour.hold_greeting:
            behaviour.hold_greeting.wait(CustomerServer.HOLD_LIMIT)
        self.reply(behaviour.greeting)
        if not behaviour.greeting.startswith("2"):
            return
        while True:
            line = self.line().decode("latin-1")
            verb, _, rest = line.partition(" ")
            handler = getattr(self, "on_" + verb.lower(), None)
            if not handler:
                self.reply("500 5.5.2 what?")
            elif handler(rest) is False:
                return

    def on_ehlo(self, _: str):
        behaviour = self.server.behaviour
        if not behaviour.ehlo.startswith("2"):
            return self.reply(behaviour.ehlo)
        self.reset()
        offers = ["customer", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]
        if behaviour.size:
            offers.append("SIZE 100000000")
        if self.server.tls and not self.secure:
            offers.append("STARTTLS")
        self.reply("\r\n".join(f"250{' ' if i == len(offers) - 1 else '-'}{offer}" for i, offer in enumerate(offers)))

    def on_helo(self, _: str):
        self.reset()
        self.reply("250 customer")

    def on_starttls(self, _: str):
        if not self.server.tls or self.secure:
            return self.reply("503 5.5.1 not now")
        self.reply("220 2.0.0 go on")
        self.socket = self.server._secured(self.socket)
        self.buffer = b""  # RFC 3207, section 6: what came in the clear is forgotten
        self.secure = True
        self.reset()

    def on_mail(self, rest: str):
        if self.server._drops("mail"):
            return False
        behaviour = self.server.behaviour
        if behaviour.mail.startswith("2"):
            self.sender = _address(rest)
        self.reply(behaviour.mail)

    def on_rcpt(self, rest: str):
        if self.server._drops("rcpt"):
            return False
        address = _address(rest)
        if self.sender is None:
            return self.reply("503 5.5.1 MAIL first")
        reply = self.server.behaviour.recipients.get(address, "250 2.1.5 OK")
        self.server._attempted(address, reply)
        if reply.startswith("2"):
            self.recipients.append(address)
        self.reply(reply)

    def on_data(self, _: str):
        behaviour = self.server.behaviour
        if self.server._drops("data"):
            return False
        if not self.recipients:
            return self.reply("554 5.5.1 no valid recipients")
        self.reply(behaviour.data)
        if not behaviour.data.startswith("3"):
            return self.reset()
        if self.server._drops("content"):
            self.line()
            return False
        lines = []
        while (line := self.line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        lost = self.server._drops("end")
        if not lost and behaviour.hold_end:
            behaviour.hold_end.wait(CustomerServer.HOLD_LIMIT)
        taken = behaviour.end_of_data.startswith("2") and not lost
        if taken or lost:
            content = b"".join(line + b"\r\n" for line in lines)
            self.server._record(Message(self.sender or "", self.recipients, content, self.secure, taken))
        if lost:
            return False
        self.reply(behaviour.end_of_data)
        self.reset()

    def on_rset(self, _: str):
        self.reset()
        self.reply("250 2.0.0 OK")

    def on_noop(self, _: str):
        self.reply("250 2.0.0 OK")

    def on_quit(self, _: str):
        self.reply("221 2.0.0 bye")
        return False

    def reset(self) -> None:
        self.sender = None
        self.recipients = []

    def reply(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\r\n")

    def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            if len(self.buffer) > MAXIMUM_LINE:
                raise ValueError("line too long")
            received = self.socket.recv(65536)
            if not received:
                raise OSError("the client left")
            self.buffer += received
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line


def _address(rest: str) -> str:
    """The address between the angle brackets of MAIL or RCPT."""
    start, end = rest.find("<"), rest.rfind(">")
    if start < 0 or end < start:
        raise ValueError("no path")
    return rest[start + 1 : end]


def main() -> int:
    parser = argparse.ArgumentParser(description="A customer's SMTP server: prints every message that it gets, until interrupted.")
    parser.add_argument("port", type=int, nargs="?", default=2626, help="where to listen on 127.0.0.1 (default 2626)")
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())

    with CustomerServer(arguments.port) as server:
        try:
            server.start()
        except OSError as error:
            print(f"customer_server: port {arguments.port}: {error.strerror}", file=sys.stderr)
            return 1
        print(f"the customer's mail server is up on 127.0.0.1:{server.port}", flush=True)
        shown = 0
        is_last = False
        while not is_last:
            # Once more after the signal: what was taken just before it is shown too.
            is_last = stopped.wait(0.1)
            messages = server.snapshot()
            for message in messages[shown:]:
                print(f"\n--- mail from <{message.sender}> for {', '.join(message.recipients)}", flush=True)
                sys.stdout.write(message.content.decode("utf-8", "replace").replace("\r\n", "\n"))
                sys.stdout.flush()
            shown = len(messages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
