"""SMTP clients that are many, slow, broken or hostile: clear replies, nothing queued that was not promised, and the daemon stays well."""
import contextlib
import smtplib
import socket
import time

import pytest

from daemon_process import wait_until
from expectations import finished
from peers import connect, files_in_spool, is_well, messages_on_disk, read_all, read_until, resident_kib

DOMAIN = "customer.example"


@pytest.fixture
def ready(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    return daemon


def dialogue(daemon, *lines: bytes) -> list[bytes]:
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
def test_a_bad_command_is_refused_and_nothing_is_queued(ready, name):
    before, line, expected = TABLE[name]

    replies = dialogue(ready, *before, line)

    assert all(reply.startswith(b"250") for reply in replies[:-1]), replies
    assert replies[-1].startswith(expected), replies
    assert ready.get("/status").json()["messages"] == 0
    is_well(ready)


SMUGGLED = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r"]


@pytest.mark.parametrize("end", SMUGGLED, ids=[repr(end) for end in SMUGGLED])
def test_no_second_message_can_be_smuggled_in(ready, end):
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


def test_a_client_that_leaves_in_the_middle_of_its_mail_leaves_nothing(ready):
    with connect(ready.smtp) as connection:
        read_until(connection, b"\r\n")
        connection.sendall(b"HELO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@customer.example>\r\nDATA\r\n")
        read_until(connection, b"354 ")
        connection.sendall(b"Subject: half\r\n\r\n" + b"x" * 200_000)
    wait_until(lambda: not files_in_spool(ready), 10, "an empty spool")
    assert ready.get("/status").json()["messages"] == 0


def test_a_mail_loop_is_refused(ready):
    hops = "".join(f"Received: from a{n}.example by b{n}.example; Mon, 1 Jan 2024 00:00:00 +0000\r\n" for n in range(60))
    with smtplib.SMTP(*ready.smtp, local_hostname="c.example", timeout=20) as client, pytest.raises(smtplib.SMTPDataError) as refused:
        client.sendmail("a@b.example", [f"a@{DOMAIN}"], hops + "Subject: loop\r\n\r\nx\r\n")
    assert refused.value.smtp_code == 554 and b"5.4.6" in refused.value.smtp_error


HELLO = b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<user@customer.example>\r\nDATA\r\n"


def test_a_client_that_says_all_and_closes_its_half_is_served(ready, sink):
    with connect(ready.smtp) as connection:
        # RFC 2920, section 3.1: DATA ends a group, so the content waits for its reply.
        connection.sendall(HELLO)
        read_until(connection, b"354 ")
        connection.sendall(b"Subject: half\r\nX-Test-ID: half\r\n\r\nclosed\r\n.\r\nNOOP\r\nQUIT\r\n")
        connection.shutdown(socket.SHUT_WR)
        replies = read_all(connection)

    codes = [line[:3] for line in replies.splitlines() if line[3:4] == b" " and line[:1].isdigit()]
    assert codes[-3:] == [b"250", b"250", b"221"], replies
    wait_until(lambda: ready.waiting(DOMAIN) == 1, 10, "the message's record")
    sink.start()
    finished(ready.flush(DOMAIN), delivered=1)


@pytest.mark.parametrize("how", ["half", "reset"])
@pytest.mark.parametrize("content", [b"Subject: x\r\n\r\nno end", b"Subject: x\r\n\r\n" + b"x" * 500_000, b"Subject: x\r\n\r\nx\r\n."])
def test_a_content_without_its_end_is_no_message(ready, how, content):
    with connect(ready.smtp) as connection:
        connection.sendall(HELLO)
        read_until(connection, b"354 ")
        connection.sendall(content)
        if how == "half":
            connection.shutdown(socket.SHUT_WR)
            assert b"250" not in read_all(connection)
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    wait_until(lambda: not files_in_spool(ready), 10, "an empty spool")
    assert ready.get("/status").json()["messages"] == 0
    is_well(ready)


def test_a_client_that_never_reads_its_replies_waits_and_costs_little(ready):
    before = resident_kib(ready)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(connect(ready.smtp))
            connection.sendall(b"EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n")
            connection.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                while sent < 8 << 20:
                    sent += connection.send(b"RCPT TO:<a@not.ours.example>\r\n" * 500 + b"RSET\r\nMAIL FROM:<a@b.example>\r\n")
        is_well(ready)
        assert resident_kib(ready) - before < 64 * 1024
    ready.send(f"user@{DOMAIN}")
    wait_until(lambda: ready.waiting(DOMAIN) == 1, 10, "the message's record")


def test_the_whole_dialogue_may_be_pipelined(ready):
    group = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<user@customer.example>\r\nRCPT TO:<b@not.ours.example>\r\nDATA\r\n"
    with connect(ready.smtp) as connection:
        connection.sendall(b"EHLO c.example\r\n" + group)
        replies = read_until(connection, b"354 ")
        assert replies.count(b"\r\n250 2.1.") == 2 and b"\r\n554 5.7.1 " in replies, replies
        for n in range(3):
            connection.sendall(b"Subject: %d\r\n\r\nx\r\n.\r\n" % n + group)
            assert b"250 2.0.0" in read_until(connection, b"354 ")
        connection.sendall(b"Subject: last\r\n\r\nx\r\n.\r\nQUIT\r\n")
        assert b"\r\n221 " in read_all(connection)
    wait_until(lambda: ready.waiting(DOMAIN) == 4, 10, "four messages")


def greeting(connection: socket.socket) -> bytes:
    return read_until(connection, b"\r\n")


def test_one_client_gets_only_so_many_connections(make_daemon):
    daemon = make_daemon(smtpd_client_connection_count_limit=3)
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(connect(daemon.smtp)) for _ in range(3)]
        assert all(greeting(connection).startswith(b"220 ") for connection in taken)
        with connect(daemon.smtp) as fourth:
            assert read_all(fourth).startswith(b"421 4.7.0 ")
        taken[0].sendall(b"QUIT\r\n")
        assert read_all(taken[0]).startswith(b"221 ")
        taken[0].close()

        def again() -> bool:
            with connect(daemon.smtp) as connection:
                return greeting(connection).startswith(b"220 ")

        wait_until(again, 10, "a free place")
        taken[1].sendall(b"NOOP\r\n")
        assert greeting(taken[1]).startswith(b"250 ")


def test_beyond_all_connections_a_421_and_then_the_kernel_s_queue(make_daemon):
    daemon = make_daemon(smtp_connection_limit=5, smtpd_client_connection_count_limit=100)
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(connect(daemon.smtp)) for _ in range(5)]
        assert all(greeting(connection).startswith(b"220 ") for connection in taken)
        for _ in range(60):
            stack.enter_context(connect(daemon.smtp))  # more than are even told so; none may disturb those inside
        taken[0].sendall(b"EHLO c.example\r\n")
        assert greeting(taken[0]).startswith(b"250")
        is_well(daemon)

    def served() -> bool:
        with connect(daemon.smtp) as connection:
            return greeting(connection).startswith(b"220 ")

    wait_until(served, 20, "a free place when all have left")


def test_a_silent_client_is_sent_away(make_daemon):
    daemon = make_daemon(smtpd_timeout="1s")
    began = time.monotonic()
    with connect(daemon.smtp) as connection:
        text = read_all(connection)
    assert text.splitlines()[-1].startswith(b"421 4.4.2 ") and 0.9 < time.monotonic() - began < 10, text


def test_a_client_that_drips_does_not_stretch_its_time(make_daemon):
    daemon = make_daemon(smtpd_timeout="1s")
    began = time.monotonic()
    with connect(daemon.smtp) as connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.settimeout(0.1)
        while time.monotonic() - began < 15:
            connection.sendall(b"N")
            with contextlib.suppress(TimeoutError):
                if not connection.recv(4096):
                    break
    assert time.monotonic() - began < 10


def test_limits_of_a_session_are_told(make_daemon, sink):
    daemon = make_daemon(smtpd_hard_error_limit=4, smtpd_recipient_limit=2, message_size_limit=20_000)
    daemon.relay(DOMAIN, sink.next_hop)

    replies = dialogue(daemon, b"EHLO c.example", *[b"FROBNICATE"] * 4)
    assert [reply[:3] for reply in replies] == [b"250", b"500", b"500", b"500", b"500"]
    replies = dialogue(daemon, b"EHLO c.example", b"MAIL FROM:<a@b.example>", *[b"RCPT TO:<u%d@customer.example>" % n for n in range(3)])
    assert [reply[:3] for reply in replies] == [b"250", b"250", b"250", b"250", b"452"]
    replies = dialogue(daemon, b"EHLO c.example", b"MAIL FROM:<a@b.example> SIZE=20001", b"MAIL FROM:<a@b.example> SIZE=20000")
    assert [reply[:3] for reply in replies] == [b"250", b"552", b"250"]

    # Nothing announced, and too much sent: refused at the end, and the session goes on.
    with smtplib.SMTP(*daemon.smtp, local_hostname="c.example", timeout=20) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "20000"
        for size, code in ((30_000, 552), (10_000, 250)):
            assert client.mail("a@b.example")[0] == 250 and client.rcpt(f"u@{DOMAIN}")[0] == 250
            assert client.data("Subject: x\r\n\r\n" + ("y" * 70 + "\r\n") * (size // 72))[0] == code
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message that fits")
    assert len(messages_on_disk(daemon)) == 1


def test_mail_for_a_draining_domain_is_put_off_with_the_reason(ready, sink):
    ready.send(f"user@{DOMAIN}")
    wait_until(lambda: ready.waiting(DOMAIN) == 1, 10, "the message's record")
    ready.relay(DOMAIN, sink.next_hop, state="draining")

    for domain in (b"customer.example", b"branch.customer.example"):
        reply = dialogue(ready, b"EHLO c.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<user@" + domain + b">")[-1]
        assert reply[:3] in (b"450", b"550") and b"no new mail" in reply, reply

    sink.start()
    finished(ready.flush(DOMAIN), delivered=1)


def test_no_client_gets_an_open_relay(ready):
    for recipient in (
        b"a%not.ours.example@also.not.example", b"a@[192.0.2.1]", b"postmaster", b"a@localhost", b"a@customer.example.evil.example",
        b"@customer.example:a@evil.example", b'"a@customer.example"@evil.example', b"a@customer.example@evil.example", b"a@example",
    ):
        reply = dialogue(ready, b"EHLO c.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<" + recipient + b">")[-1]
        assert reply[:1] == b"5", (recipient, reply)
    # Ours: in any case, in a subdomain, and with a trailing dot or not at all.
    for recipient in (b"a@CUSTOMER.example", b"a@branch.customer.example"):
        reply = dialogue(ready, b"EHLO c.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<" + recipient + b">")[-1]
        assert reply[:3] == b"250", (recipient, reply)
