"""Rude peers in numbers: connections reset as soon as they are open, heads without an end, answers that nobody reads."""
import contextlib

import socket
import struct

from peers import HOST, connect, resident_kib

from .stage import Asker, Daemon, Stage, descriptors_for, open_descriptors, quiet

DOMAIN = "customer.example"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends a reset
SETTLED = 5  # descriptors more than before that are no leak
RESETS_AT_ONCE = 1_000
HEAD_MIB = 64
GROWTH_MIB = 96  # of resident memory, whatever the peers send or do not read


def _well(daemon: Daemon) -> None:
    with Asker(daemon.http) as asker:
        assert asker.ask("GET", "/readyz")[0] == 200
    with connect(daemon.smtp) as connection:
        assert connection.recv(4096).startswith(b"220 ")


def connections_are_reset(stage: Stage, count: int) -> str:
    """So many connections, a thousand at once, each reset before, during or after what it says."""
    daemon = stage.daemon(smtp_connection_limit=2 * RESETS_AT_ONCE, smtpd_client_connection_count_limit=2 * RESETS_AT_ONCE)
    _well(daemon)
    before = open_descriptors(daemon)
    says = [b"", b"GET /status HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /st", b"POST /etrn/a.example HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n"]
    mails = [b"", b"EHLO c.example\r\n", b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<"]
    done = 0
    with descriptors_for(RESETS_AT_ONCE + 300):
        while done < count:
            for address, texts in ((daemon.http, says), (daemon.smtp, mails)):
                batch = [connect(address) for _ in range(min(RESETS_AT_ONCE, count - done))]
                for number, connection in enumerate(batch):
                    text = texts[number % len(texts)]
                    with contextlib.suppress(ConnectionError):
                        if text:
                            connection.sendall(text)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                for connection in batch:
                    connection.close()
                _well(daemon)
            done += RESETS_AT_ONCE
    quiet(daemon, before + SETTLED, "reset connections")
    return f"{count} HTTP and {count} SMTP connections opened and reset"


def heads_have_no_end(stage: Stage, count: int) -> str:
    """So many peers at once, each sending a head of 64 MiB or a line of SMTP as long: refused early, and memory does not follow."""
    daemon = stage.daemon(smtpd_client_connection_count_limit=count)
    _well(daemon)
    before, memory = open_descriptors(daemon), resident_kib(daemon)
    piece = b"X-A: " + b"a" * 65_000 + b"\r\n"
    beginnings = [b"GET /livez HTTP/1.1\r\n", b"GET /", b"GET /livez HTTP/1.1\r\n" + HOST + b"X-B: "]
    taken = highest = 0
    with contextlib.ExitStack() as stack:
        peers = []
        for number in range(count):
            connection = stack.enter_context(connect(daemon.http))
            connection.sendall(beginnings[number % len(beginnings)])
            peers.append((connection, b"a" * 65_000 if number % len(beginnings) else piece))
        for _ in range(count // 4 + 1):
            connection = stack.enter_context(connect(daemon.smtp))
            peers.append((connection, b"NOOP " + b"a" * 65_000))
        left = dict(enumerate(peers))
        for _ in range(HEAD_MIB * 16):
            for number, (connection, data) in list(left.items()):
                try:
                    connection.sendall(data)
                    taken += len(data)
                except (ConnectionError, TimeoutError):
                    del left[number]
            highest = max(highest, resident_kib(daemon) - memory)
            if not left:
                break
        _well(daemon)
    assert highest < GROWTH_MIB * 1024, f"it grew by {highest // 1024} MiB"
    quiet(daemon, before + SETTLED, "giant heads")
    lines = count // 4 + 1
    return (
        f"{count} giant heads and {lines} lines, {taken / 1024 / (count + lines):.0f} KiB of each read and dropped, "
        f"{highest / 1024:.1f} MiB more memory"
    )


def nobody_reads(stage: Stage, count: int) -> str:
    """So many peers at once that ask for much and read nothing; the daemon stops asking itself to answer."""
    daemon = stage.daemon()
    rows = [{"domain": f"d{number:04}.example", "next_hop": "[192.0.2.1]:25", "comment": "c" * 500} for number in range(500)]
    assert daemon.put("/relay-domains", {"relay_domains": rows}, owner="faults").status == 200
    _well(daemon)
    before, memory = open_descriptors(daemon), resident_kib(daemon)
    request = (b"GET /relay-domains?limit=500 HTTP/1.1\r\n" + HOST + b"\r\n") * 50
    command = b"EHLO c.example\r\n" + b"HELP\r\n" * 50
    highest = 0
    with descriptors_for(2 * count + 300), contextlib.ExitStack() as stack:
        for address, text, number in ((daemon.http, request, count), (daemon.smtp, command, min(count, 40))):
            for _ in range(number):
                connection = stack.enter_context(socket.socket())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect(address)
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    for _ in range(100):
                        connection.send(text)
                highest = max(highest, resident_kib(daemon) - memory)
        _well(daemon)
        # Whoever does not read is answered until the kernel's buffers are full, and no further.
        quiet(daemon, open_descriptors(daemon), "peers that do not read", seconds=30 + count)
        highest = max(highest, resident_kib(daemon) - memory)
    # Each may hold one answer (275 KB here) and the limit of what waits.
    allowed = count * 1.0 + 32
    assert highest / 1024 < allowed, f"{count} peers that do not read made it grow by {highest // 1024} MiB"
    quiet(daemon, before + SETTLED, "peers that did not read")
    return f"{count} peers that never read, {highest / count:.0f} KiB each"
