"""`etrnctl gateway` in front of a daemon: byte for byte the replies of the ETRN in the daemon, and what becomes of it without one.

test_etrn.py has what each reply must be, for both; here the two byte streams are compared with each other.
"""
import contextlib
import os
import signal
import socket
import threading

import pytest

from daemon_process import wait_until
from etrn_provider import CUSTOMER, EMPTY, GATEWAY, IN_PROCESS, NAME, OTHER, STRANGER
from peers import connect, etrn, index_is_complete, read_all, read_until
from postfix_story import with_mail

HELLO = "EHLO client.example"
# What only a server that takes mail offers: the one difference there may be, once for each EHLO.
TAKES_MAIL = b"250-SIZE 10240000\r\n250-8BITMIME\r\n"


def replies(address, *lines: str | bytes) -> list[bytes]:
    """A dialogue, a command sent after each reply: the greeting and the replies whole, and what comes until the server closes."""
    with connect(address) as connection, connection.makefile("rb") as file:

        def reply() -> bytes:
            whole = b""
            while line := file.readline():
                whole += line
                if line[3:4] != b"-":
                    break
            return whole

        told = [reply()]
        for line in lines:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall((line.encode() if isinstance(line, str) else line) + b"\r\n")
            told.append(reply())
        connection.shutdown(socket.SHUT_WR)
        return [*told, read_all(connection)]


def stream(address, data: bytes, piece: int | None = None) -> bytes:
    """Everything that is answered to bytes sent without waiting for any reply, in pieces of so many."""
    with connect(address) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), piece or len(data)):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data[start : start + (piece or len(data))])
        return read_all(connection)


def flushes(daemon) -> list[tuple]:
    """What has been asked for, oldest first; who asked and by which way is what the daemon saw."""
    return [
        (flush["domain"], flush["subdomains"], flush["mode"], flush["matched"])
        for flush in reversed(daemon.get("/flushes", limit=1000).json()["flushes"])
    ]


class Pair:
    """Two daemons in the same state, the one asked by its own ETRN and the other through a gateway."""

    def __init__(self, direct, through) -> None:
        self.direct, self.through = direct, through

    def __iter__(self):
        return iter((self.direct, self.through))

    def say_the_same(self, *lines: str | bytes, codes: str) -> list[bytes]:
        """Both must answer these codes, in these bytes, and have started the same; returns the replies."""
        direct, through = (replies(daemon.etrn_port, *lines) for daemon in self)
        for number, line in enumerate(lines, 1):
            if line == HELLO:
                assert TAKES_MAIL in direct[number] and TAKES_MAIL not in through[number]
                direct[number] = direct[number].replace(TAKES_MAIL, b"")
        assert through == direct
        assert " ".join(reply[:3].decode() for reply in through if reply) == codes, through
        self.have_started_the_same()
        return through

    def have_started_the_same(self) -> None:
        direct, through = (flushes(daemon) for daemon in self)
        assert through == direct


@pytest.fixture
def make_pair(make_stocked_daemon):
    def make(**parameters) -> Pair:
        return Pair(make_stocked_daemon(IN_PROCESS, **parameters), make_stocked_daemon(GATEWAY, **parameters))

    return make


@pytest.fixture
def pair(make_pair) -> Pair:
    return make_pair()


# The same.


def test_a_whole_session_is_the_same(make_pair):
    pair = make_pair(etrn_queues=f"{{ships = {CUSTOMER}, {OTHER}}} {{north = {EMPTY}}}", slow_flush="reject")
    hold = threading.Event()
    for daemon in pair:
        daemon.send(f"user@ship.{CUSTOMER}", test_id="ship")
        wait_until(lambda: daemon.waiting(f"ship.{CUSTOMER}") == 1, 10, "the message's record")
        for site in daemon.sites.values():
            site.behaviour.hold_greeting = hold
            site.start()

    pair.say_the_same(
        f"ETRN {EMPTY}", "HELO client.example", HELLO, f"ETRN {CUSTOMER}", f"ETRN {CUSTOMER}", f"etrn @{CUSTOMER.upper()}", f"Etrn {EMPTY}",
        f"ETRN {STRANGER}", "ETRN #ships", "ETRN #North", "ETRN #south", "ETRN", "ETRN a b", "ETRN [192.0.2.1]", "ETRN @", "ETRN #", "NOOP",
        "RSET", "STARTTLS", "AUTH PLAIN AAAA", "TURN", "HULLO", f"ETRN {OTHER}\t", f"ETRN {OTHER}", "QUIT now", "QUIT",
        codes="220 503 250 250 253 252 253 251 459 252 251 459 500 500 501 501 501 250 250 502 502 502 500 500 252 501 221",
    )

    hold.set()
    for daemon in pair:
        wait_until(lambda: not daemon.get("/flushes", state="running").json()["flushes"], 20, "the end of all flushes")
        assert not any(daemon.waiting(domain) for domain in (*daemon.sites, f"ship.{CUSTOMER}"))
    pair.say_the_same(HELLO, f"ETRN {CUSTOMER}", "ETRN #ships", "QUIT", codes="220 250 251 251 221")


NUMBERS = {
    "as usual": ({}, "251"),
    "etrn_empty_reply": ({"etrn_empty_reply": 253}, "253"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_counts_are_the_same(make_pair, name):
    parameters, nothing = NUMBERS[name]
    pair = make_pair(**parameters)

    told = pair.say_the_same(
        HELLO, f"ETRN {OTHER}", f"ETRN {EMPTY}", f"ETRN @{EMPTY}", f"ETRN {CUSTOMER}", "QUIT",
        codes=f"220 250 253 {nothing} {nothing} 253 221",
    )
    assert told[2] == f"253 OK, 1 pending messages for node {OTHER} started\r\n".encode()
    assert told[5] == f"253 OK, 2 pending messages for node {CUSTOMER} started\r\n".encode()
    if nothing == "253":
        assert told[3] == f"253 OK, 0 pending messages for node {EMPTY} started\r\n".encode()


def test_a_slow_flush_is_the_same(pair):
    told = pair.say_the_same(HELLO, f"ETRN {STRANGER}", "QUIT", codes="220 250 250 221")
    assert told[2] == f"250 OK, queuing for node {STRANGER} started\r\n".encode()


REFUSALS = {
    "not eligible": ({"slow_flush": "reject"}, [f"ETRN {STRANGER}", f"ETRN @{STRANGER}", f"ETRN {EMPTY}"], "459 459 251"),
    "lists that cannot be read": (
        {"fast_flush_domains": "/no/such/file"}, [f"ETRN {CUSTOMER}", f"ETRN {STRANGER}", "ETRN -x"], "458 458 501",
    ),
    "some of a queue": (
        {"slow_flush": "reject", "etrn_queues": f"{{mixed = {STRANGER}, {EMPTY}}}"}, ["ETRN #mixed", "ETRN #Other"], "459 459",
    ),
    "not in the networks": ({"etrn_networks": "192.0.2.0/24 [2001:db8::]/32"}, [f"ETRN {CUSTOMER}", "ETRN #x", "ETRN -x"], "459 459 501"),
    "in the networks but for one": ({"etrn_networks": "!127.0.0.1 127.0.0.0/8"}, [f"ETRN {CUSTOMER}"], "459"),
    "too often": ({"smtpd_client_etrn_rate_limit": 2}, [f"ETRN {EMPTY}"] * 4 + ["ETRN -x"], "251 251 459 459 501"),
    "often enough": ({"smtpd_client_etrn_rate_limit": 0}, [f"ETRN {EMPTY}"] * 90, " ".join(["251"] * 90)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_the_same(make_pair, name):
    parameters, lines, codes = REFUSALS[name]

    make_pair(**parameters).say_the_same(HELLO, *lines, "QUIT", codes=f"220 250 {codes} 221")


def test_a_client_may_ask_again_after_the_time_unit_of_both(make_pair):
    pair = make_pair(smtpd_client_etrn_rate_limit=1, anvil_rate_time_unit="2s")

    for daemon in pair:
        assert etrn(daemon.etrn_port, EMPTY).startswith("251 ")
        wait_until(lambda: etrn(daemon.etrn_port, EMPTY).startswith("459 "), 20, "a refusal")
        wait_until(lambda: etrn(daemon.etrn_port, EMPTY).startswith("251 "), 20, "the next time unit", step=0.2)


ENDS = {
    "errors": ({"smtpd_hard_error_limit": 3}, ["ETRN", "ETRN -x", "HULLO", f"ETRN {CUSTOMER}"], "500 501 500 421"),
    "commands": ({"smtpd_junk_command_limit": 3}, [f"ETRN {EMPTY}", "NOOP", "NOOP", f"ETRN {CUSTOMER}"], "251 250 421"),
    "idle": ({"smtpd_timeout": "2s"}, [], "421"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_session_is_ended_by_both(make_pair, name):
    parameters, lines, codes = ENDS[name]
    pair = make_pair(**parameters)

    sessions = []
    for daemon in pair:
        with connect(daemon.etrn_port) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall("".join(f"{line}\r\n" for line in [HELLO, *lines]).encode())
            sessions.append(read_all(connection).replace(TAKES_MAIL, b""))

    assert sessions[1] == sessions[0]
    ends = [line[:3].decode() for line in sessions[1].splitlines() if line[3:4] == b" "]
    assert " ".join(ends) == f"220 250 {codes}", sessions
    pair.have_started_the_same()


@pytest.mark.parametrize("limit", ["smtp_connection_limit", "smtpd_client_connection_count_limit"])
def test_one_connection_too_many_is_told_the_same(make_pair, limit):
    pair = make_pair(**{limit: 4})

    told = []
    for daemon in pair:
        # Those that brought the mail are being closed.
        wait_until(lambda: replies(daemon.etrn_port, "QUIT")[0].startswith(b"220 "), 20, "a free place")
        with contextlib.ExitStack() as stack:
            greeted = 0

            def greets() -> bool:
                connection = stack.enter_context(connect(daemon.etrn_port))
                return read_until(connection, b"\r\n").startswith(b"220 ")

            while greeted < 4:
                wait_until(greets, 20, "a free place")
                greeted += 1
            told.append(read_all(stack.enter_context(connect(daemon.etrn_port))))

    assert told[1] == told[0] == f"421 4.7.0 {NAME} Too many connections, try again later\r\n".encode()


PIECES = {"at once": None, "byte by byte": 1, "in sevens": 7}


@pytest.mark.parametrize("name", PIECES)
def test_pipelined_commands_are_answered_the_same(pair, name):
    nodes = [EMPTY, f"n1.{EMPTY}", "-x", f"@{EMPTY}", CUSTOMER, "a b", "#none", OTHER]
    data = "".join(f"{line}\r\n" for line in [HELLO, *(f"ETRN {node}" for node in nodes), "NOOP", "QUIT"]).encode()

    direct, through = (stream(daemon.etrn_port, data, PIECES[name]) for daemon in pair)

    assert through == direct.replace(TAKES_MAIL, b"") != direct
    assert [line[:3] for line in through.splitlines() if line[3:4] == b" "] == b"220 250 251 251 501 251 253 500 459 253 250 221".split()
    pair.have_started_the_same()


HOSTILE = {
    "another line end": f"{HELLO}\r\nETRN {CUSTOMER}\nETRN {CUSTOMER}\r\n".encode(),
    "no end": f"{HELLO}\r\nETRN {EMPTY}\r\nETRN {CUSTOMER}".encode(),
    "a line that never ends": f"{HELLO}\r\nETRN ".encode() + b"x" * 100_000,
    "NUL": f"{HELLO}\r\n".encode() + b"ETRN a\0b\r\nQUIT\r\n",
    "8-bit": f"{HELLO}\r\n".encode() + b"ETRN \xff.example\r\nQUIT\r\n",
    "CR inside": f"{HELLO}\r\nETRN {EMPTY}\rx\r\n".encode(),
    "HTTP": b"POST /etrn/customer.example HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a thousand": f"{HELLO}\r\n".encode() + f"ETRN {EMPTY}\r\n".encode() * 1000,
    "BDAT": f"{HELLO}\r\nBDAT 20 LAST\r\nETRN {CUSTOMER}\r\n".encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_harm_meets_the_same_answer(pair, name):
    answers = []
    for daemon in pair:
        with connect(daemon.etrn_port) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(HOSTILE[name])
                connection.shutdown(socket.SHUT_WR)
            answers.append(read_all(connection).replace(TAKES_MAIL, b""))

    assert answers[1] == answers[0]
    assert answers[1].startswith(f"220 {NAME} ESMTP\r\n".encode()) and answers[1].count(b"\r\n") > 1
    pair.have_started_the_same()
    pair.say_the_same(HELLO, f"ETRN {EMPTY}", "QUIT", codes="220 250 251 221")


def test_a_session_that_is_open_at_the_stop_is_told_the_same(make_daemon, make_gateway):
    daemon = make_daemon()
    gateway = make_gateway(f"unix:{daemon.socket_path}")
    told = []
    for address, server in ((gateway.address, gateway), (daemon.smtp, daemon)):
        with connect(address) as connection:
            greeting = read_until(connection, b"\r\n")
            server.process.terminate()
            told.append(greeting + read_all(connection))
        assert server.ended() == 0
    assert told[0] == told[1]
    assert told[0].splitlines()[-1].startswith(b"421 "), told


# A daemon that takes no mail: there is no difference at all.


def test_in_front_of_a_postfix_service_every_byte_is_the_same(postfix, make_etrnd, make_gateway):
    """Both are asked about one queue, its sites down: after each flush it is as before."""
    daemon = make_etrnd(etrn_empty_reply=253, slow_flush="reject")
    gateway = make_gateway(f"http://127.0.0.1:{daemon.http[1]}", etrn_empty_reply=253)
    with_mail(postfix, daemon, customer=3, other=2)
    wait_until(lambda: index_is_complete(daemon), 60, "the first scan")
    lines = [
        "HELP", HELLO, "HELP", f"ETRN {EMPTY}", f"ETRN {CUSTOMER}", f"ETRN {OTHER}", f"ETRN {STRANGER}", "ETRN -x", "ETRN",
        "MAIL FROM:<a@b.example>", "RCPT TO:<c@customer.example>", "DATA", "VRFY a", "EXPN a", "STARTTLS", "AUTH PLAIN AAAA",
        "NOOP", "RSET", "HULLO", "QUIT",
    ]

    told = []
    for address in (daemon.smtp, gateway.address):
        told.append(replies(address, *lines))
        for flush in daemon.get("/flushes", limit=10).json()["flushes"]:
            daemon.followed(flush)

    assert told[1] == told[0]
    codes = " ".join(reply[:3].decode() for reply in told[1] if reply)
    assert codes == "220 214 250 214 459 253 253 459 501 500 502 503 503 502 502 502 502 250 250 500 221", told
    assert told[1][5] == b"253 OK, 3 pending messages for node customer.example started\r\n"


# A daemon that is away, and back.


def answer(connection: socket.socket, line: str) -> str:
    connection.sendall(f"{line}\r\n".encode())
    return read_until(connection, b"\r\n").decode().rstrip("\r\n")


def hello(connection: socket.socket) -> None:
    read_until(connection, b"\r\n")
    assert answer(connection, "HELO client.example").startswith("250 ")


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_without_its_daemon_it_says_458_and_with_it_all_is_well(make_stocked_daemon, make_gateway, way):
    daemon = make_stocked_daemon(IN_PROCESS)
    gateway = make_gateway(f"unix:{daemon.socket_path}")
    unable = f"458 Unable to queue messages for node {CUSTOMER}"

    with connect(gateway.address) as connection:
        hello(connection)
        assert answer(connection, f"ETRN {EMPTY}") == f"251 OK, no messages waiting for node {EMPTY}"
        getattr(daemon, way)()
        assert [answer(connection, f"ETRN {CUSTOMER}") for _ in range(3)] == [unable] * 3
        # What it knows itself is told all the same.
        assert answer(connection, "ETRN -x") == "501 Syntax Error in Parameters"
        assert answer(connection, "ETRN #none") == "459 Node #none not allowed: there is no such queue"
        daemon.start()
        wait_until(lambda: index_is_complete(daemon), 20, "the first scan")
        assert answer(connection, f"ETRN {CUSTOMER}") == f"253 OK, 2 pending messages for node {CUSTOMER} started"
    assert etrn(gateway.address, EMPTY).startswith("251 ")
    assert gateway.process.poll() is None


def test_a_daemon_that_comes_later_is_found(make_daemon, make_gateway, directory):
    gateway = make_gateway(f"unix:{directory}/d0/etrnd.sock")
    assert etrn(gateway.address, CUSTOMER) == f"458 Unable to queue messages for node {CUSTOMER}"

    daemon = make_daemon()
    assert daemon.socket_path == f"{directory}/d0/etrnd.sock"
    daemon.relay(CUSTOMER, "[127.0.0.1]:9")
    wait_until(lambda: index_is_complete(daemon), 20, "the first scan")
    assert etrn(gateway.address, CUSTOMER) == f"251 OK, no messages waiting for node {CUSTOMER}"


def test_a_daemon_that_hangs_is_458_for_those_who_wait_and_no_worse(make_stocked_daemon, make_gateway):
    daemon = make_stocked_daemon(IN_PROCESS)
    gateway = make_gateway(f"http://127.0.0.1:{daemon.http[1]}", "--timeout", "1s")
    wait_until(lambda: etrn(gateway.address, EMPTY).startswith("251 "), 20, "an answer")

    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(connect(gateway.address)) for _ in range(20)]
            for client in clients:
                client.sendall(f"HELO client.example\r\nETRN {EMPTY}\r\nQUIT\r\n".encode())
            for client in clients:
                assert f"458 Unable to queue messages for node {EMPTY}\r\n".encode() in read_all(client)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    wait_until(lambda: etrn(gateway.address, EMPTY).startswith(("251 ", "252 ")), 20, "an answer again")


STRANGERS = {
    "HTML": b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>",
    "no access": (
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/problem+json\r\nContent-Length: 60\r\n\r\n"
        + b'{"type":"about:blank","title":"Forbidden","status":403}'.ljust(60)
    ),
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    "nothing": b"",
    "no HTTP": b"220 ftp.example\r\n",
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_no_daemon_is_458(make_gateway, name):
    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(10)
                    client.recv(65536)
                    client.sendall(STRANGERS[name])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        gateway = make_gateway(f"http://127.0.0.1:{listener.getsockname()[1]}", "--timeout", "5s")
        assert [etrn(gateway.address, EMPTY) for _ in range(3)] == [f"458 Unable to queue messages for node {EMPTY}"] * 3
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(20)


# Clients that nobody here wrote, and their words compared: test_etrn.py has what must be in them.


def test_the_clients_see_no_difference(pair, run):
    """The whole of what each has seen, but for the port and what only a server that takes mail offers."""

    def seen(*command) -> list[tuple[int, str]]:
        told = []
        for daemon in pair:
            host, port = daemon.etrn_port
            code, text = run(*(str(word).replace("HOST", host).replace("PORT", str(port)) for word in command))
            lines = [line for line in text.replace("\r", "").splitlines() if not line.endswith(("250-SIZE 10240000", "250-8BITMIME"))]
            told.append((code, [line.replace(str(port), "PORT") for line in lines]))
        return told

    fetchmail = ["fetchmail", "-f", "/dev/null", "-v", "--nodetach", "--nosyslog", "--sslproto", "", "--proto", "etrn", "--service", "PORT"]
    for domains in (OTHER, f"{EMPTY},{OTHER}", "-x"):
        direct, through = (
            # The rest has the time in it.
            (code, [line for line in lines if any(mark in line for mark in ("SMTP<", "SMTP>", "ETRN<", "ETRN>"))])
            for code, lines in seen(*fetchmail, "--fetchdomains", domains, "HOST")
        )  # fmt: skip
        assert through == direct and any("ETRN<" in line for line in through[1]), through
    for request in (f"ETRN {EMPTY}", f"ETRN @{EMPTY}", "ETRN #none"):
        direct, through = seen("curl", "-sS", "smtp://HOST:PORT/client.example", "-X", request)
        assert through == direct and through[1], through
    direct, through = seen(
        "swaks", "--server", "HOST", "--port", "PORT", "--to", "x@example.org", "--quit-after", "EHLO",
        "--ehlo", f"client.example\r\nETRN {EMPTY}",
    )  # fmt: skip
    assert through == direct and any("251 OK, no messages waiting" in line for line in through[1]), through
    pair.have_started_the_same()
