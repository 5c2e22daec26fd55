"""Peers that are many, slow, broken or hostile, and a full disk, leave the daemon well."""
import contextlib
import os
import resource
import smtplib
import socket
import subprocess
import time

import pytest

from daemon_process import Daemon, wait_until
from expectations import finished, problem

DOMAIN = "customer.example"
HOST = b"Host: localhost\r\n"


def connect(address, timeout=20.0) -> socket.socket:
    return socket.create_connection(address, timeout=timeout)


def read_all(connection: socket.socket, limit: int = 1 << 22) -> bytes:
    """Everything until the peer closes; a reset counts as an end."""
    data = b""
    while len(data) < limit:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        data += part
    return data


def read_until(connection: socket.socket, end: bytes, limit: int = 1 << 20) -> bytes:
    data = b""
    while end not in data:
        part = connection.recv(4096)
        if not part or len(data) > limit:
            raise AssertionError(f"no {end!r} in {data[-300:]!r}")
        data += part
    return data


def exchange(daemon, data: bytes) -> bytes:
    with connect(daemon.http) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)  # it may close before it has read all
        return read_all(connection)


def resident_kib(daemon) -> int:
    with open(f"/proc/{daemon.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def messages_on_disk(daemon) -> list[str]:
    """Every message file, whole or begun, as folder/name; the spool's lock is none."""
    spool = daemon.state / "spool"
    return sorted(str(path.relative_to(spool)) for path in spool.glob("*/**/*") if path.is_file())


def is_well(daemon) -> None:
    """It answers, and quickly."""
    begin = time.monotonic()
    assert daemon.get("/readyz").status == 200
    assert time.monotonic() - begin < 5


@pytest.fixture(scope="module")
def shared(program, tmp_path_factory):
    """One daemon for all of a table: none of it may disturb what comes after."""
    daemon = Daemon(program, tmp_path_factory.mktemp("d")).start()
    yield daemon
    assert daemon.is_running, daemon.log_tail()
    daemon.kill()


class TestHTTP:
    # What is sent, and the status that must come back; the connection must be closed after each (framing is lost or doubtful).
    MALFORMED = {
        "no request": (b"\r\n\r\nnonsense\r\n\r\n", 400),
        "no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        "two hosts": (b"GET /livez HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        "both lengths": (b"PUT /relay-domains/a.example HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
        "two lengths": (b"PUT /relay-domains/a.example HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        "signed length": (b"PUT /relay-domains/a.example HTTP/1.1\r\n" + HOST + b"Content-Length: +2\r\n\r\n{}", 400),
        "huge length": (b"PUT /relay-domains/a.example HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999\r\n\r\n", (400, 413)),
        "body too large": (b"PUT /relay-domains/a.example HTTP/1.1\r\n" + HOST + b"Content-Length: 9999999999\r\n\r\n", 413),
        "bad chunk size": (b"PUT /relay-domains/a.example HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        "chunk without end": (b"PUT /relay-domains/a.example HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx", 400),
        "unknown coding": (b"PUT /relay-domains/a.example HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        "bare LF": (b"GET /livez HTTP/1.1\nHost: localhost\n\n", 400),
        "obs-fold": (b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n 2\r\n\r\n", 400),
        "space before colon": (b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A : 1\r\n\r\n", 400),
        "NUL in a value": (b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: a\0b\r\n\r\n", 400),
        "HTTP/2.0": (b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        "long target": (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        "long header": (b"GET /livez HTTP/1.1\r\n" + HOST + b"X-A: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        "many headers": (b"GET /livez HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n", 431),
    }

    @pytest.mark.parametrize("name", MALFORMED)
    def test_a_malformed_request_gets_a_problem_and_the_connection_closes(self, shared, name):
        data, status = self.MALFORMED[name]

        head, _, body = exchange(shared, data).partition(b"\r\n\r\n")

        expected = status if isinstance(status, tuple) else (status,)
        assert int(head.split()[1]) in expected, head
        assert b"application/problem+json" in head and body.startswith(b"{"), (head, body)
        is_well(shared)

    # Requests that are well formed and still refused; the connection lives on.
    REFUSED = {
        "unknown host": ("GET", "/livez", {"Host": "evil.example"}, None, 421, ()),
        "unknown path": ("GET", "/nowhere", {}, None, 404, ()),
        "wrong method": ("PATCH", "/flushes", {}, None, 405, ()),
        "trace": ("TRACE", "/livez", {}, None, 405, ()),
        "no json": ("PUT", "/relay-domains/a.example", {"Content-Type": "text/plain"}, b"{}", 415, ()),
        "broken json": ("PUT", "/relay-domains/a.example", {"Content-Type": "application/json"}, b'{"next_hop": ', 400, ()),
        "no object": ("PUT", "/relay-domains/a.example", {}, [1], 400, ("#",)),
        "nothing in it": ("PUT", "/relay-domains/a.example", {}, {}, 400, ("#/next_hop",)),
        "three mistakes": (
            "PUT", "/relay-domains/a.example", {}, {"next_hop": 1, "delivery": "never", "colour": "red"}, 400,
            ("#/next_hop", "#/delivery", "#/colour"),
        ),
        "MX next hop": ("PUT", "/relay-domains/a.example", {}, {"next_hop": "mail.example:25"}, 400, ("#/next_hop",)),
        "bad domain": ("PUT", "/relay-domains/-a.example", {}, {"next_hop": "[127.0.0.1]:25"}, 400, ("path:domain",)),
        "an address": ("POST", "/etrn/192.0.2.1", {}, None, 400, ("path:domain",)),
        "encoded slash": ("POST", "/etrn/a%2Fb", {}, None, 400, None),
        "bad escape": ("POST", "/etrn/a%zz", {}, None, 400, None),
        "NUL": ("GET", "/domains/a%00b", {}, None, 400, None),
        "bad queue ID": ("GET", "/messages/a-b", {}, None, 400, ("path:queue_id",)),
        "bad flush ID": ("GET", "/flushes/nonsense", {}, None, 400, ("path:id",)),
        "bad limit": ("GET", "/domains?limit=0", {}, None, 400, ("query:limit",)),
        "limit too high": ("GET", "/domains?limit=1001", {}, None, 400, ("query:limit",)),
        "empty limit": ("GET", "/domains?limit=", {}, None, 400, ("query:limit",)),
        "unknown parameter": ("GET", "/domains?colour=red", {}, None, 400, ("query:colour",)),
        "given twice": ("GET", "/domains?limit=1&limit=2", {}, None, 400, ("query:limit",)),
        "two mistakes": ("GET", "/domains?limit=x&waiting=maybe", {}, None, 400, ("query:limit", "query:waiting")),
        "wait too long": ("POST", "/etrn/a.example?wait=31", {}, None, 400, ("query:wait",)),
        "long note": ("POST", "/etrn/a.example?note=" + "n" * 501, {}, None, 400, ("query:note",)),
    }

    @pytest.mark.parametrize("name", REFUSED)
    def test_bad_input_is_named_and_leaves_the_state_untouched(self, shared, name):
        method, path, headers, body, status, pointers = self.REFUSED[name]

        answer = shared.request(method, path, body=body, headers=headers)

        problem(answer, status, *(pointers or ()))
        if status == 405:
            assert "GET" in answer.headers["Allow"]
        assert shared.get("/relay-domains").json()["relay_domains"] == []
        assert shared.get("/flushes").json()["flushes"] == []

    def test_a_half_closed_client_gets_its_answer(self, shared):
        with connect(shared.http) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")

    def test_pipelined_requests_are_answered_in_order(self, shared):
        paths = [b"/livez", b"/nowhere", b"/relay-domains", b"/readyz"] * 10
        requests = b"".join(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n" for path in paths)
        requests += b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"

        answer = exchange(shared, requests)

        statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [200, 404, 200, 200] * 10 + [200]

    def test_a_reader_that_never_reads_costs_little(self, shared):
        before = resident_kib(shared)
        request = b"GET /openapi.yaml HTTP/1.1\r\n" + HOST + b"\r\n"
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                connection = stack.enter_context(connect(shared.http))
                connection.setblocking(False)
                sent = 0
                with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                    while sent < 4 << 20:
                        sent += connection.send(request * 500)
            is_well(shared)
            assert resident_kib(shared) - before < 64 * 1024
        is_well(shared)

    def test_a_request_that_comes_byte_by_byte_is_answered(self, shared):
        with connect(shared.http) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n":
                connection.sendall(bytes([byte]))
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")


def test_ten_thousand_idle_connections(daemon, sink):
    count = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 500:
        pytest.skip(f"this machine allows only {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))
    daemon.relay(DOMAIN, sink.next_hop)
    before = resident_kib(daemon)
    try:
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(connect(daemon.http)) for _ in range(count)]
            # Each has been served once, so that each holds what an idle connection holds.
            for connection in connections:
                connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            for connection in connections:
                assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
            each = (resident_kib(daemon) - before) * 1024 / count
            print(f"{each:.0f} bytes resident per idle connection")
            assert each < 4096
            is_well(daemon)
            daemon.send(f"user@{DOMAIN}")
            wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
            sink.start()
            finished(daemon.flush(DOMAIN), delivered=1)
            # The oldest are still good.
            connections[0].sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            assert connections[0].recv(4096).startswith(b"HTTP/1.1 200 ")
        wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) < 200, 30, "the connections' descriptors to be closed")
        is_well(daemon)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class TestSMTP:
    @pytest.fixture
    def ready(self, daemon, sink):
        daemon.relay(DOMAIN, sink.next_hop)
        return daemon

    def dialogue(self, daemon, *lines: bytes) -> list[bytes]:
        """Sends line by line, and reads one reply for each; ends early when the daemon closes."""
        replies = []
        with connect(daemon.smtp) as connection:
            file = connection.makefile("rb")

            def reply():
                while True:
                    line = file.readline()
                    if not line or line[3:4] != b"-":
                        return line.rstrip(b"\r\n")

            assert reply().startswith(b"220 ")
            for line in lines:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.sendall(line + b"\r\n")
                try:
                    replies.append(reply())
                except ConnectionResetError:
                    replies.append(b"")
        return replies

    # The last line, what precedes it, and how its reply must begin.
    TABLE = {
        "unknown": ([], b"FROBNICATE", b"50"),
        "mail before helo": ([], b"MAIL FROM:<a@b.example>", b"503"),
        "rcpt before mail": ([b"EHLO c.example"], b"RCPT TO:<a@customer.example>", b"503"),
        "data before rcpt": ([b"EHLO c.example", b"MAIL FROM:<a@b.example>"], b"DATA", b"554 5.5.1"),
        "no brackets": ([b"EHLO c.example"], b"MAIL FROM:nobody", b"501"),
        "unknown parameter": ([b"EHLO c.example"], b"MAIL FROM:<a@b.example> X=Y", b"555"),
        "too big": ([b"EHLO c.example"], b"MAIL FROM:<a@b.example> SIZE=999999999999", b"552"),
        "relay denied": ([b"EHLO c.example", b"MAIL FROM:<a@b.example>"], b"RCPT TO:<a@not.ours.example>", b"554 5.7.1"),
        "relay denied by a look-alike": ([b"EHLO c.example", b"MAIL FROM:<a@b.example>"], b"RCPT TO:<a@xcustomer.example>", b"554 5.7.1"),
        "relay denied by a source route": (
            [b"EHLO c.example", b"MAIL FROM:<a@b.example>"], b"RCPT TO:<@customer.example:a@not.ours.example>", b"554 5.7.1",
        ),
        "bad domain": ([b"EHLO c.example", b"MAIL FROM:<a@b.example>"], b"RCPT TO:<a@-bad.example>", b"5"),
        "long line": ([b"EHLO c.example"], b"NOOP " + b"x" * 5000, b"5"),
    }

    @pytest.mark.parametrize("name", TABLE)
    def test_a_bad_command_is_refused_and_nothing_is_queued(self, ready, name):
        before, line, expected = self.TABLE[name]

        replies = self.dialogue(ready, *before, line)

        assert all(reply.startswith(b"250") for reply in replies[:-1]), replies
        assert replies[-1].startswith(expected), replies
        assert ready.get("/status").json()["messages"] == 0
        is_well(ready)

    SMUGGLED = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r"]

    @pytest.mark.parametrize("end", SMUGGLED, ids=[repr(end) for end in SMUGGLED])
    def test_no_second_message_can_be_smuggled_in(self, ready, end):
        hidden = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<victim@customer.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
        with connect(ready.smtp) as connection:
            read_until(connection, b"\r\n")
            for line in (b"HELO c.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<a@customer.example>"):
                connection.sendall(line + b"\r\n")
                assert read_until(connection, b"\r\n").startswith(b"250")
            connection.sendall(b"DATA\r\n")
            read_until(connection, b"\r\n")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"Subject: one\r\n\r\nbody" + end + hidden + b"QUIT\r\n")
            replies = read_all(connection)

        assert not replies.startswith(b"250") and replies.count(b"250") == 0, replies
        is_well(ready)
        assert ready.get("/status").json()["messages"] == 0

    def test_a_client_that_leaves_in_the_middle_of_its_mail_leaves_nothing(self, ready):
        with connect(ready.smtp) as connection:
            read_until(connection, b"\r\n")
            connection.sendall(b"HELO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@customer.example>\r\nDATA\r\n")
            read_until(connection, b"354 ")
            connection.sendall(b"Subject: half\r\n\r\n" + b"x" * 200_000)
        wait_until(lambda: not messages_on_disk(ready), 10, "an empty spool")
        assert ready.get("/status").json()["messages"] == 0

    def test_a_mail_loop_is_refused(self, ready):
        hops = "".join(f"Received: from a{n}.example by b{n}.example; Mon, 1 Jan 2024 00:00:00 +0000\r\n" for n in range(60))
        with smtplib.SMTP(*ready.smtp, local_hostname="c.example", timeout=20) as client, pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("a@b.example", [f"a@{DOMAIN}"], hops + "Subject: loop\r\n\r\nx\r\n")
        assert refused.value.smtp_code == 554 and b"5.4.6" in refused.value.smtp_error


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
class TestFullDisk:
    SIZE_MIB = 16

    @pytest.fixture
    def small(self, make_daemon, directory, sink):
        """A daemon whose state directory is a small file system of its own."""
        mounted = []

        def make(**parameters):
            daemon = make_daemon(start=False, **parameters)
            daemon.state.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={self.SIZE_MIB}m,mode=0700", "etrnd-test", str(daemon.state)]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                pytest.skip(f"mounting is not allowed here: {made.stderr.strip()}")
            mounted.append(daemon)
            daemon.start()
            daemon.relay(DOMAIN, sink.next_hop)
            return daemon

        yield make
        for daemon in mounted:
            daemon.kill()
            subprocess.run(["umount", str(daemon.state)], check=True)

    def fill(self, daemon, leave_kib: int):
        """Leaves only this much free; returns the file that takes the rest."""
        filler = daemon.state / "filler"
        free = os.statvfs(daemon.state).f_bavail * os.statvfs(daemon.state).f_frsize
        filler.write_bytes(b"\0" * max(0, free - leave_kib * 1024))
        return filler

    def mail_reply(self, daemon, size: int = 0) -> int:
        with smtplib.SMTP(*daemon.smtp, local_hostname="c.example", timeout=20) as client:
            client.ehlo()
            return client.mail("a@b.example", [f"size={size}"])[0]

    def refused(self, daemon, size: int) -> int:
        try:
            daemon.send(f"user@{DOMAIN}", size=size)
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            return error.smtp_code
        except smtplib.SMTPRecipientsRefused as error:
            return next(iter(error.recipients.values()))[0]
        return 250

    def test_a_low_disk_is_452_before_the_content(self, small, sink):
        daemon = small(queue_minfree=4 * 1024 * 1024)
        daemon.send(f"user@{DOMAIN}", test_id="before")
        filler = self.fill(daemon, leave_kib=2048)

        # The free space is asked for twice a second, not for every message.
        wait_until(lambda: self.mail_reply(daemon) == 452, 10, "a 452")
        assert self.refused(daemon, size=100) == 452
        is_well(daemon)
        # What is there can still be delivered: that makes room.
        sink.start()
        finished(daemon.flush(DOMAIN), delivered=1)

        # Room for the margin is not room for the margin and the message that is announced.
        filler.unlink()
        self.fill(daemon, leave_kib=6 * 1024)
        wait_until(lambda: self.mail_reply(daemon) == 250, 10, "room again")
        assert self.mail_reply(daemon, size=5_000_000) == 452

        filler.unlink()
        daemon.send(f"user@{DOMAIN}", test_id="after")
        wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
        finished(daemon.flush(DOMAIN), delivered=1)

    def test_a_disk_that_fills_up_in_the_middle_is_452_and_leaves_nothing(self, small, sink):
        daemon = small(queue_minfree=0)
        daemon.send(f"user@{DOMAIN}", test_id="before")
        wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
        filler = self.fill(daemon, leave_kib=512)

        for _ in range(5):
            assert self.refused(daemon, size=3_000_000) == 452
        assert list((daemon.state / "spool" / "tmp").iterdir()) == []
        assert daemon.waiting(DOMAIN) == 1
        assert daemon.get("/livez").status == 200

        filler.unlink()
        daemon.send(f"user@{DOMAIN}", test_id="after", size=3_000_000)
        sink.start()
        finished(daemon.flush(DOMAIN), delivered=2)

    def test_a_full_disk_refuses_changes_and_loses_none(self, small, sink):
        daemon = small(queue_minfree=0)
        daemon.send(f"user@{DOMAIN}", test_id="before")
        filler = self.fill(daemon, leave_kib=0)

        answers = [daemon.put(f"/relay-domains/d{n}.example", {"next_hop": sink.next_hop, "comment": "c" * 900}) for n in range(300)]
        made = [f"d{n}.example" for n, answer in enumerate(answers) if answer.status == 201]
        assert {answer.status for answer in answers} <= {201, 503}, {answer.status for answer in answers}
        assert any(answer.status == 503 for answer in answers), "the disk was not full"
        problem(next(answer for answer in answers if answer.status == 503), 503)

        filler.unlink()
        daemon.kill()
        daemon.start()
        kept = [row["domain"] for row in daemon.get("/relay-domains", limit=1000).json()["relay_domains"]]
        assert kept == sorted([DOMAIN, *made])
        sink.start()
        finished(daemon.flush(DOMAIN), delivered=1)
