"""SIGTERM: what is in flight is finished, with a limit, and a restart loses nothing and repeats nothing."""
import collections
import contextlib
import http.client
import signal
import smtplib
import threading
import time

from daemon_process import submit, wait_until
from expectations import adds_up, finished
from peers import HOST, connect, files_in_spool, messages_on_disk, read_all, read_until

DOMAIN = "customer.example"


def stops_listening(daemon) -> None:
    """The stop has begun: new clients are refused."""

    def refused() -> bool:
        try:
            connect(daemon.http, timeout=5).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(refused, 10, "the listeners to close")


def received(site) -> collections.Counter:
    return collections.Counter(message.header("X-Test-ID") for message in site.snapshot())


def test_a_content_under_way_is_taken_and_other_sessions_are_sent_away(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    with connect(daemon.smtp) as sending, connect(daemon.smtp) as idle:
        read_until(idle, b"220 ")
        sending.sendall(f"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@{DOMAIN}>\r\nDATA\r\n".encode())
        read_until(sending, b"354 ")
        sending.sendall(b"Subject: begun\r\nX-Test-ID: begun\r\n\r\n")

        daemon.process.terminate()

        assert read_all(idle).splitlines()[-1].startswith(b"421 4.3.2 ")
        stops_listening(daemon)
        sending.sendall(b"the rest\r\n.\r\n")
        replies = read_all(sending).splitlines()
    assert replies[0].startswith(b"250 2.0.0") and replies[1].startswith(b"421 4.3.2"), replies
    assert daemon.ended() == 0

    daemon.start()
    sink.start()
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    finished(daemon.flush(DOMAIN), delivered=1)
    assert received(sink) == {"begun": 1}


def test_a_content_that_does_not_end_is_dropped_at_the_limit(make_daemon, sink):
    daemon = make_daemon(shutdown_timeout="1s")
    daemon.relay(DOMAIN, sink.next_hop)
    with connect(daemon.smtp) as sending:
        sending.sendall(f"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@{DOMAIN}>\r\nDATA\r\n".encode())
        read_until(sending, b"354 ")
        sending.sendall(b"Subject: begun\r\n\r\n" + b"x" * 400_000)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 8
        assert b"250" not in read_all(sending)
    assert messages_on_disk(daemon) == []


def test_a_delivery_under_way_is_finished_and_not_repeated(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    for n in range(3):
        daemon.send(f"user@{DOMAIN}", test_id=str(n))
    wait_until(lambda: daemon.waiting(DOMAIN) == 3, 10, "three messages")
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    flush = daemon.post(f"/etrn/{DOMAIN}").json()
    sink.wait_for(lambda site: site.attempts, what="the first attempt")

    daemon.process.terminate()
    stops_listening(daemon)
    sink.behaviour.hold_end.set()

    assert daemon.ended() == 0
    daemon.start()
    known = adds_up(daemon.get(f"/flushes/{flush['id']}").json())
    assert known["state"] in ("finished", "interrupted") and known["finished_at"], known
    assert known["delivered"] == len(sink.snapshot()) or known["open"], (known, received(sink))
    adds_up(daemon.flush(DOMAIN))
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 20, "an empty record")
    assert received(sink) == {"0": 1, "1": 1, "2": 1}


def test_a_delivery_that_does_not_end_is_cut_off_at_the_limit_and_tried_again(make_daemon, sink):
    daemon = make_daemon(shutdown_timeout="1s")
    daemon.relay(DOMAIN, sink.next_hop)
    daemon.send(f"user@{DOMAIN}", test_id="slow")
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    sink.behaviour.hold_greeting = threading.Event()
    sink.start()
    daemon.post(f"/etrn/{DOMAIN}")
    sink.wait_for(lambda site: site.connections, what="the connection")

    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 8
    sink.behaviour.hold_greeting.set()

    assert len(messages_on_disk(daemon)) == 1
    daemon.start()
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    finished(daemon.flush(DOMAIN), delivered=1)
    assert received(sink) == {"slow": 1}


def test_a_request_that_waits_gets_its_answer(make_daemon, sink):
    daemon = make_daemon(shutdown_timeout="3s")
    daemon.relay(DOMAIN, sink.next_hop)
    daemon.send(f"user@{DOMAIN}")
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    answers: list = []

    def ask(method: str, path: str) -> None:
        try:
            answers.append(daemon.request(method, path, {"wait": 30}))
        except (OSError, http.client.HTTPException) as error:
            answers.append(error)

    asking = threading.Thread(target=ask, args=("POST", f"/etrn/{DOMAIN}"), daemon=True)
    asking.start()
    sink.wait_for(lambda site: site.attempts, what="the attempt")
    flush = daemon.get("/flushes").json()["flushes"][0]
    following = threading.Thread(target=ask, args=("GET", f"/flushes/{flush['id']}"), daemon=True)
    following.start()
    # Both are at the daemon: a request of a third client, that came after them, is answered.
    wait_until(lambda: len(established(daemon)) >= 2, 10, "both requests to be there")
    assert daemon.get("/livez").status == 200

    daemon.process.terminate()
    stops_listening(daemon)
    sink.behaviour.hold_end.set()

    assert daemon.ended() == 0
    for thread in (asking, following):
        thread.join(10)
    assert len(answers) == 2
    for answer in answers:
        assert not isinstance(answer, Exception), answer
        assert answer.status in (200, 202), answer
        assert adds_up(answer.json())["id"] == flush["id"]


def established(daemon) -> list[str]:
    """Clients' TCP connections to the HTTP port, as the kernel lists them."""
    port = f":{daemon.http[1]:04X}"
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return [row[2] for row in rows if row[1].endswith(port) and row[3] == "01"]


def test_waiting_requests_do_not_hold_up_the_stop(make_daemon, sink):
    daemon = make_daemon(shutdown_timeout="2s")
    daemon.relay(DOMAIN, sink.next_hop)
    daemon.send(f"user@{DOMAIN}", test_id="one")
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    sink.behaviour.hold_greeting = threading.Event()
    sink.start()
    with connect(daemon.http) as waiting, connect(daemon.http) as idle, connect(daemon.http) as half:
        waiting.sendall(f"POST /etrn/{DOMAIN}?wait=30 HTTP/1.1\r\n".encode() + HOST + b"\r\n")
        idle.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        read_until(idle, b"\r\n\r\n")
        half.sendall(b"GET /livez HT")
        sink.wait_for(lambda site: site.connections, what="the attempt")
        began = time.monotonic()

        assert daemon.stop() == 0

        took = time.monotonic() - began
        assert took < 8, took
        answer = read_all(waiting)
        assert answer.startswith(b"HTTP/1.1 202 ") and b'"state":"running"' in answer, answer
        assert read_all(idle).find(b"HTTP/1.1 500") < 0
    sink.behaviour.hold_greeting.set()
    daemon.start()
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    finished(daemon.flush(DOMAIN), delivered=1)


def test_a_second_signal_ends_it_at_once(make_daemon, sink):
    daemon = make_daemon(shutdown_timeout="60s")
    daemon.relay(DOMAIN, sink.next_hop)
    with connect(daemon.smtp) as sending:
        sending.sendall(f"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@{DOMAIN}>\r\nDATA\r\n".encode())
        read_until(sending, b"354 ")
        daemon.process.terminate()
        stops_listening(daemon)
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.ended(5) != 0
    daemon.start()
    assert daemon.get("/status").json()["messages"] == 0


def test_stops_under_load_lose_nothing_and_repeat_nothing(make_daemon, make_sink):
    site = make_sink().start()
    daemon = make_daemon(minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s")
    for domain, delivery in ((DOMAIN, "etrn-only"), ("goes.example", "normal")):
        daemon.relay(domain, site.next_hop, delivery=delivery)
    accepted: set[str] = set()
    doubtful: set[str] = set()  # the client was cut off before it read the reply to its content
    over = threading.Event()

    def send(number: int) -> None:
        count = 0
        while not over.is_set():
            test_id = ""
            try:
                with smtplib.SMTP(*daemon.smtp, local_hostname="c.example", timeout=10) as client:
                    while not over.is_set():
                        count += 1
                        test_id = f"{number}-{count}"
                        domain = (DOMAIN, "goes.example")[count % 2]
                        submit(client, "a@b.example", [f"user@{domain}"], f"X-Test-ID: {test_id}\r\n\r\nx\r\n".encode())
                        accepted.add(test_id)
            except (OSError, smtplib.SMTPException, TypeError):
                if test_id not in accepted:
                    doubtful.add(test_id)
                time.sleep(0.01)

    def ask() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError, TypeError, ValueError, http.client.HTTPException):
                daemon.post(f"/etrn/{DOMAIN}", wait=1)
            time.sleep(0.01)

    threads = [threading.Thread(target=send, args=(n,), daemon=True) for n in range(3)] + [threading.Thread(target=ask, daemon=True)]
    for thread in threads:
        thread.start()
    try:
        for n in range(5):
            enough = len(accepted) + 40
            wait_until(lambda: len(accepted) >= enough, 30, "more accepted mail")
            assert daemon.stop() == 0
            daemon.start()
    finally:
        over.set()
        for thread in threads:
            thread.join(30)

    def drained() -> bool:
        daemon.post(f"/etrn/{DOMAIN}", wait=5)
        return not files_in_spool(daemon)

    wait_until(drained, 60, "an empty spool", step=0.1)
    seen = received(site)
    assert not accepted - seen.keys(), "accepted mail is gone"
    assert not seen.keys() - accepted - doubtful
    assert not {test_id: count for test_id, count in seen.items() if count > 1}, "a graceful stop repeats nothing"
