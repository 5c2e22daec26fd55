"""HTTP clients that are many, slow, broken or hostile leave the daemon well."""
import contextlib
import json
import os
import resource
import socket
import subprocess
import threading
import time

import pytest

from daemon_process import Daemon, wait_until
from expectations import finished, problem
from peers import HOST, connect, exchange, is_well, read_all, read_until, resident_kib

DOMAIN = "customer.example"


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
            began = time.monotonic()
            assert daemon.post(f"/etrn/{DOMAIN}", dry_run="true").json()["matched"] == 1
            assert time.monotonic() - began < 1, "a request among ten thousand idle connections is answered at once"
            sink.start()
            finished(daemon.flush(DOMAIN), delivered=1)
            # The oldest are still good.
            connections[0].sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            assert connections[0].recv(4096).startswith(b"HTTP/1.1 200 ")
        wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) < 200, 30, "the connections' descriptors to be closed")
        is_well(daemon)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_slow_reader_gets_its_answer_whole(daemon):
    rows = [{"domain": f"d{n:04}.example", "next_hop": "[192.0.2.1]:25", "comment": "c" * 500} for n in range(1000)]
    assert daemon.put("/relay-domains", {"relay_domains": rows}, owner="slow").status == 200
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(daemon.http)
        connection.sendall(b"GET /relay-domains?limit=1000 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        is_well(daemon)
        answer, reads = b"", 0
        while part := connection.recv(2048):
            answer += part
            reads += 1
            if reads % 100 == 0:
                is_well(daemon)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and reads > 100
    assert len(json.loads(body)["relay_domains"]) == 1000


def test_a_request_that_ends_in_its_middle_is_400(daemon):
    begun = b"PUT /relay-domains/a.example HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"next"
    for part in (begun, begun[:60]):
        with connect(daemon.http) as connection:
            connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection).startswith(b"HTTP/1.1 400 ")
    assert daemon.get("/relay-domains").json()["relay_domains"] == []


def test_idle_connections_are_closed_and_those_at_work_are_not(make_daemon, sink):
    daemon = make_daemon(http_idle_timeout="1s")
    daemon.relay(DOMAIN, sink.next_hop)
    daemon.send(f"user@{DOMAIN}")
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    with connect(daemon.http) as silent, connect(daemon.http) as waiting:
        waiting.sendall(f"POST /etrn/{DOMAIN}?wait=30 HTTP/1.1\r\n".encode() + HOST + b"Connection: close\r\n\r\n")
        assert read_all(silent) == b""
        sink.behaviour.hold_end.set()
        assert read_all(waiting).startswith(b"HTTP/1.1 200 ")


def test_beyond_the_connection_limit_clients_wait_in_the_kernel(make_daemon):
    daemon = make_daemon(http_connection_limit=5)
    request = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
    with contextlib.ExitStack() as stack:
        inside = [stack.enter_context(connect(daemon.http)) for _ in range(5)]
        for connection in inside:
            connection.sendall(request)
            read_until(connection, b"\r\n\r\n")
        outside = stack.enter_context(connect(daemon.http))
        outside.sendall(request)
        assert daemon.request("GET", "/livez", unix=True).status == 200, "each listener has its own limit"
        inside[0].close()
        assert read_until(outside, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_curl_with_a_chunked_body_that_waits_for_its_100(daemon):
    body = json.dumps({"next_hop": "[192.0.2.1]:25", "comment": "c" * 900})
    url = f"http://127.0.0.1:{daemon.http[1]}/relay-domains/a.example"
    for fields, code in ((["Transfer-Encoding: chunked"], 201), (["Expect: 100-continue"], 200), (["Transfer-Encoding: chunked", "Expect: 100-continue"], 200)):
        command = ["curl", "-sS", "-v", "-X", "PUT", "-H", "Content-Type: application/json", "--data-binary", "@-", "-w", "\n%{http_code}"]
        for one in fields:
            command += ["-H", one]
        ran = subprocess.run([*command, url], input=body, capture_output=True, text=True, timeout=20, check=True)
        assert ran.stdout.endswith(f"\n{code}"), ran.stdout
        assert ("< HTTP/1.1 100 Continue" in ran.stderr) == ("Expect: 100-continue" in fields), ran.stderr


def test_ipv6_is_served(make_daemon):
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    daemon = make_daemon(http_listen="[::1]:0", smtp_listen="[::1]:0", http_trusted_networks="[::1]/128")
    assert daemon.get("/status").status == 200
    daemon.relay(DOMAIN, "[192.0.2.1]:25")
    daemon.send(f"user@{DOMAIN}")
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
