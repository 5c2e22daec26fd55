"""SMTP ETRN (RFC 1985), in the daemon and in `etrnctl gateway`: every reply byte for byte, hostile clients, and real ones."""
import contextlib
import functools
import socket
import subprocess
import threading

import pytest

from daemon_process import wait_until
from etrn_provider import CUSTOMER, EMPTY, GATEWAY, IN_PROCESS, OTHER, STRANGER
from expectations import finished
from peers import connect, etrn, is_well, read_all, read_until, transcript


@pytest.fixture(params=[IN_PROCESS, GATEWAY])
def way(request) -> str:
    """Every test here is run against the daemon's own ETRN and against the gateway's: the replies are the same."""
    return request.param


@pytest.fixture
def make_provider(make_stocked_daemon, way):
    """Makes a daemon with customers to be asked through its `etrn_port`."""
    return functools.partial(make_stocked_daemon, way)


@pytest.fixture
def provider(make_provider):
    return make_provider()


def last_flush(daemon) -> dict:
    """The newest flush, when it has ended."""
    flush = daemon.get("/flushes").json()["flushes"][0]
    return daemon.get(f"/flushes/{flush['id']}", wait=30).json()


HELLO = """\
S: 220 relay.provider.example ESMTP
C: EHLO client.example
S: 250-relay.provider.example
S: 250-PIPELINING
S: 250-SIZE 10240000
S: 250-8BITMIME
S: 250-ETRN
S: 250 ENHANCEDSTATUSCODES
"""
# The gateway takes no mail.
HELLOS = {IN_PROCESS: HELLO, GATEWAY: HELLO.replace("S: 250-SIZE 10240000\nS: 250-8BITMIME\n", "")}
BYE = """\
C: QUIT
S: 221 2.0.0 relay.provider.example closing connection
"""


@pytest.fixture
def said(way):
    """What is said after EHLO, up to the QUIT; both have been compared."""

    def said(daemon, *lines: str | bytes) -> str:
        whole = transcript(daemon.etrn_port, "EHLO client.example", *lines, "QUIT")
        assert whole.startswith(HELLOS[way]) and whole.endswith(BYE), whole
        return whole.removeprefix(HELLOS[way]).removesuffix(BYE)

    return said


# Replies.


def test_a_site_asks_for_its_mail_and_gets_it(provider, said, way):
    for site in provider.sites.values():
        site.start()

    assert said(provider, f"ETRN {CUSTOMER}", f"ETRN {EMPTY}", f"ETRN {STRANGER}") == """\
C: ETRN customer.example
S: 253 OK, 2 pending messages for node customer.example started
C: ETRN empty.example
S: 251 OK, no messages waiting for node empty.example
C: ETRN stranger.example
S: 250 OK, queuing for node stranger.example started
"""
    flushes = provider.get("/flushes").json()["flushes"]
    assert [(flush["domain"], flush["mode"]) for flush in flushes] == [(STRANGER, "slow"), (EMPTY, "fast"), (CUSTOMER, "fast")]
    assert {(flush["via"], flush["requested_by"]) for flush in flushes} == {("smtp" if way == IN_PROCESS else "http", "trusted:127.0.0.1")}
    customer = provider.get(f"/flushes/{flushes[2]['id']}", wait=30).json()
    finished(customer, delivered=2)
    assert sorted(message.header("X-Test-ID") for message in provider.sites[CUSTOMER].snapshot()) == [f"{CUSTOMER}-0", f"{CUSTOMER}-1"]
    assert provider.sites[EMPTY].connections == 0


def test_helo_is_enough_and_nothing_is_not(provider):
    assert transcript(provider.etrn_port, f"ETRN {EMPTY}", "HELO client.example", f"etrn {EMPTY.upper()}", "QUIT") == """\
S: 220 relay.provider.example ESMTP
C: ETRN empty.example
S: 503 5.5.1 Say HELO or EHLO first
C: HELO client.example
S: 250 relay.provider.example
C: etrn EMPTY.EXAMPLE
S: 251 OK, no messages waiting for node EMPTY.EXAMPLE
""" + BYE


def test_subdomains_are_asked_for_with_an_at_sign(provider):
    provider.send(f"user@ship.{CUSTOMER}", test_id="ship")
    wait_until(lambda: provider.waiting(f"ship.{CUSTOMER}") == 1, 10, "the message's record")
    provider.sites[CUSTOMER].start()

    assert etrn(provider.etrn_port, CUSTOMER) == f"253 OK, 2 pending messages for node {CUSTOMER} started"
    finished(last_flush(provider), delivered=2)
    assert etrn(provider.etrn_port, f"@{CUSTOMER}") == f"253 OK, 1 pending messages for node @{CUSTOMER} started"
    flush = finished(last_flush(provider), delivered=1)
    assert flush["subdomains"] is True


def test_who_joins_a_running_flush_is_told_no_number(provider):
    site = provider.sites[CUSTOMER]
    site.behaviour.hold_greeting = threading.Event()
    site.start()

    assert etrn(provider.etrn_port, CUSTOMER) == f"253 OK, 2 pending messages for node {CUSTOMER} started"
    assert etrn(provider.etrn_port, CUSTOMER) == f"252 OK, pending messages for node {CUSTOMER} started"
    site.behaviour.hold_greeting.set()
    finished(last_flush(provider), delivered=2)
    assert etrn(provider.etrn_port, CUSTOMER) == f"251 OK, no messages waiting for node {CUSTOMER}"


def test_an_empty_answer_can_be_a_253(make_provider):
    daemon = make_provider(etrn_empty_reply=253)

    assert etrn(daemon.etrn_port, EMPTY) == f"253 OK, 0 pending messages for node {EMPTY} started"


def test_a_named_queue_is_its_domains(make_provider, said):
    daemon = make_provider(etrn_queues=f"{{ships = {CUSTOMER}, {OTHER}}} {{north = @{EMPTY}}}")
    for site in daemon.sites.values():
        site.start()

    assert said(daemon, "ETRN #Ships", "ETRN #north", "ETRN #south", "ETRN #") == """\
C: ETRN #Ships
S: 253 OK, 3 pending messages for node #Ships started
C: ETRN #north
S: 251 OK, no messages waiting for node #north
C: ETRN #south
S: 459 Node #south not allowed: there is no such queue
C: ETRN #
S: 501 Syntax Error in Parameters
"""
    wait_until(lambda: daemon.waiting(CUSTOMER) + daemon.waiting(OTHER) == 0, 20, "both customers' mail gone")


def test_a_refusal_has_its_reason(make_provider):
    daemon = make_provider(slow_flush="reject")

    assert etrn(daemon.etrn_port, STRANGER) == (
        "459 Node stranger.example not allowed: stranger.example is not matched by fast_flush_domains, and slow_flush is reject"
    )


def test_lists_that_cannot_tell_are_458(make_provider):
    daemon = make_provider(fast_flush_domains="/no/such/file")

    assert etrn(daemon.etrn_port, CUSTOMER) == f"458 Unable to queue messages for node {CUSTOMER}"


def test_only_the_networks_may_ask(make_provider, said):
    daemon = make_provider(etrn_networks="192.0.2.0/24")

    # EHLO lists it all the same: the refusal says why, a missing keyword would not.
    assert said(daemon, f"ETRN {CUSTOMER}", "ETRN -x") == """\
C: ETRN customer.example
S: 459 Node customer.example not allowed: 127.0.0.1 is not in etrn_networks
C: ETRN -x
S: 501 Syntax Error in Parameters
"""
    assert daemon.get("/flushes").json()["flushes"] == []


def test_a_client_may_ask_only_so_often(make_provider):
    daemon = make_provider(smtpd_client_etrn_rate_limit=2)

    assert [etrn(daemon.etrn_port, EMPTY)[:3] for _ in range(2)] == ["251"] * 2
    assert etrn(daemon.etrn_port, EMPTY) == f"459 Node {EMPTY} not allowed: too many requests from 127.0.0.1, try again later"


BAD_QUEUES = {
    "no braces": ("ships = a.example", "'ships' is no queue: expected {name = domain, ...}, in braces"),
    "no domain": ("{ships = a.example -x}", "'ships = a.example -x' is no queue: '-x' is neither a domain nor @domain"),
    "twice": ("{a = a.example}\n  {A = b.example}", "'A = b.example' is no queue: the queue 'a' is there twice"),
}


@pytest.mark.parametrize("name", BAD_QUEUES)
def test_a_bad_queue_is_told_with_its_line(program, directory, name):
    text, complaint = BAD_QUEUES[name]
    file = directory / "etrnd.cf"
    file.write_text(f"state_directory = {directory}/state\netrn_queues = {text}\n")

    checked = subprocess.run([program, "--config", file, "--check-config"], capture_output=True, text=True, timeout=30, check=False)

    assert checked.returncode == 78 and checked.stderr == f"etrnd: {file}:2: bad value of etrn_queues: {complaint}\n", checked


# Clients that are wrong, or mean harm.

WRONG = {
    "no argument": (["ETRN"], "500 Syntax Error"),
    "blanks": (["ETRN   "], "500 Syntax Error"),
    "two arguments": ([f"ETRN {CUSTOMER} {OTHER}"], "500 Syntax Error"),
    "a space in the node": ([f"ETRN @ {CUSTOMER}"], "500 Syntax Error"),
    "a literal": (["ETRN [192.0.2.1]"], "501 Syntax Error in Parameters"),
    "an address": (["ETRN 192.0.2.1"], "501 Syntax Error in Parameters"),
    "a trailing dot": (["ETRN customer.example."], "501 Syntax Error in Parameters"),
    "a hyphen first": (["ETRN -customer.example"], "501 Syntax Error in Parameters"),
    "marks only": (["ETRN @"], "501 Syntax Error in Parameters"),
    "marks twice": (["ETRN @@customer.example"], "501 Syntax Error in Parameters"),
    "everything": (["ETRN *"], "501 Syntax Error in Parameters"),
    "UTF-8": ([b"ETRN b\xc3\xbccher.example"], "501 Syntax Error in Parameters"),
    "8-bit": ([b"ETRN \xff\xfe"], "501 Syntax Error in Parameters"),
    "NUL": ([b"ETRN customer.example\x00.evil"], "500 5.5.2 Control character in the command"),
    "tab": (["ETRN\tcustomer.example"], "500 5.5.2 Control character in the command"),
    "too long a line": (["ETRN " + "x" * 5000], "500 5.5.2 Line too long: at most 2048 bytes"),
    "too long a name": (["ETRN " + "x" * 1000 + ".example"], "501 Syntax Error in Parameters"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_is_refused_and_asks_nothing(provider, said, name):
    lines, reply = WRONG[name]

    text = said(provider, *lines, "RSET", f"ETRN {EMPTY}")

    assert text.endswith(f"S: {reply}\nC: RSET\nS: 250 2.0.0 OK\nC: ETRN {EMPTY}\nS: 251 OK, no messages waiting for node {EMPTY}\n"), text
    assert len(provider.get("/flushes").json()["flushes"]) == 1
    is_well(provider)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\r\n", b"\n\r\n"], ids=repr)
def test_a_line_with_another_end_closes_the_session(provider, end):
    with connect(provider.etrn_port) as connection:
        read_until(connection, b"\r\n")
        connection.sendall(b"HELO client.example\r\n")
        read_until(connection, b"\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(f"ETRN {CUSTOMER}".encode() + end + f"ETRN {CUSTOMER}\r\n".encode())
        assert read_all(connection) == b"500 5.5.2 Lines must end with CR LF; closing connection\r\n"
    assert provider.get("/flushes").json()["flushes"] == []


@pytest.mark.parametrize("way", [IN_PROCESS], indirect=True)
def test_in_a_transaction_it_is_refused(provider, said):
    assert said(provider, "MAIL FROM:<a@b.example>", f"ETRN {CUSTOMER}", "RSET", f"ETRN {EMPTY}") == """\
C: MAIL FROM:<a@b.example>
S: 250 2.1.0 OK
C: ETRN customer.example
S: 503 5.5.1 ETRN cannot come in a mail transaction
C: RSET
S: 250 2.0.0 OK
C: ETRN empty.example
S: 251 OK, no messages waiting for node empty.example
"""


@pytest.mark.parametrize("way", [GATEWAY], indirect=True)
def test_a_gateway_takes_no_mail(provider, said):
    assert said(provider, "MAIL FROM:<a@b.example>", "RCPT TO:<b@customer.example>", "DATA", "VRFY a", f"ETRN {EMPTY}") == """\
C: MAIL FROM:<a@b.example>
S: 502 5.5.1 This server takes no mail
C: RCPT TO:<b@customer.example>
S: 503 5.5.1 Give a MAIL command first
C: DATA
S: 503 5.5.1 Give MAIL and RCPT commands first
C: VRFY a
S: 502 5.5.1 VRFY not implemented
C: ETRN empty.example
S: 251 OK, no messages waiting for node empty.example
"""


@pytest.mark.parametrize("way", [IN_PROCESS], indirect=True)
def test_in_a_message_it_is_text(provider):
    provider.send(f"user@{EMPTY}", body=f"x\r\nETRN {CUSTOMER}\r\nx", test_id="text")

    assert provider.get("/flushes").json()["flushes"] == []
    wait_until(lambda: provider.waiting(EMPTY) == 1, 10, "the message's record")


def test_a_thousand_in_one_write_end_the_session_and_disturb_nobody(provider):
    with connect(provider.etrn_port) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"EHLO client.example\r\n" + f"ETRN {EMPTY}\r\n".encode() * 1000)
        lines = read_all(connection).splitlines()

    told = f"251 OK, no messages waiting for node {EMPTY}".encode()
    assert lines.count(told) == 99  # EHLO is a command too
    assert lines[-1] == b"421 4.7.0 relay.provider.example Too many commands without a message, closing connection"
    assert etrn(provider.etrn_port, EMPTY).startswith("251 ")
    is_well(provider)


def test_a_session_may_be_allowed_more(make_provider):
    daemon = make_provider(smtpd_junk_command_limit=10_000, smtpd_client_etrn_rate_limit=0)

    with connect(daemon.etrn_port) as connection:
        connection.sendall(b"EHLO client.example\r\n" + f"ETRN {EMPTY}\r\n".encode() * 1000 + b"QUIT\r\n")
        lines = read_all(connection).splitlines()

    assert lines.count(f"251 OK, no messages waiting for node {EMPTY}".encode()) == 1000
    assert lines[-1].startswith(b"221 ")


def test_pipelined_commands_are_answered_in_order_whatever_the_pieces(provider):
    commands = [f"ETRN {domain}" for domain in (EMPTY, f"n1.{EMPTY}", f"n2.{EMPTY}", "-x", f"@{EMPTY}")]
    data = ("EHLO client.example\r\n" + "".join(line + "\r\n" for line in commands) + "QUIT\r\n").encode()
    with connect(provider.etrn_port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            connection.sendall(bytes([byte]))
        answer = read_all(connection).decode()

    replies = [line for line in answer.split("\r\n") if line[:3] in ("251", "501")]
    nothing = "251 OK, no messages waiting for node "
    assert replies == [nothing + EMPTY, f"{nothing}n1.{EMPTY}", f"{nothing}n2.{EMPTY}", "501 Syntax Error in Parameters", f"{nothing}@{EMPTY}"]


def test_a_client_that_leaves_with_its_question_leaves_nothing(provider):
    for _ in range(30):  # fewer than one client may have open
        with connect(provider.etrn_port) as connection:
            connection.sendall(f"EHLO c.example\r\nETRN {EMPTY}\r\nETRN {CUSTOMER}\r\nETRN".encode())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert etrn(provider.etrn_port, EMPTY).startswith("251 ")
    is_well(provider)


def test_fifty_clients_at_once_get_their_answers(provider):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(provider.etrn_port)) for _ in range(45)]
        for number, client in enumerate(clients):
            client.sendall(f"EHLO c{number}.example\r\nETRN n{number}.{EMPTY}\r\nQUIT\r\n".encode())
        for number, client in enumerate(clients):
            assert f"251 OK, no messages waiting for node n{number}.{EMPTY}\r\n".encode() in read_all(client)


# Clients that nobody here wrote.


@pytest.fixture
def fetchmail(run):
    def poll(daemon, *domains: str) -> tuple[int, str]:
        host, port = daemon.etrn_port
        return run(
            "fetchmail", "-f", "/dev/null", "-v", "--nodetach", "--nosyslog", "--sslproto", "", "--proto", "etrn", "--service", port,
            "--fetchdomains", ",".join(domains), host,
        )

    return poll


def test_fetchmail_asks(provider, fetchmail):
    provider.sites[CUSTOMER].start()

    code, text = fetchmail(provider, CUSTOMER)

    assert code == 0, text
    assert f"ETRN> ETRN {CUSTOMER}" in text and f"ETRN< 253 OK, 2 pending messages for node {CUSTOMER} started" in text, text
    finished(last_flush(provider), delivered=2)


def test_fetchmail_stops_at_a_251_and_its_next_domain_is_not_asked_for(provider, fetchmail):
    code, text = fetchmail(provider, EMPTY, CUSTOMER)

    assert code == 0, text
    assert "ETRN< 251 " in text and f"ETRN {CUSTOMER}" not in text, text
    assert provider.waiting(CUSTOMER) == 2
    assert [flush["domain"] for flush in provider.get("/flushes").json()["flushes"]] == [EMPTY]


def test_fetchmail_goes_on_after_a_253_with_no_messages(make_provider, fetchmail):
    daemon = make_provider(etrn_empty_reply=253)
    daemon.sites[CUSTOMER].start()

    code, text = fetchmail(daemon, EMPTY, CUSTOMER)

    assert code == 0, text
    assert f"ETRN< 253 OK, 0 pending messages for node {EMPTY} started" in text, text
    assert f"ETRN< 253 OK, 2 pending messages for node {CUSTOMER} started" in text, text
    finished(last_flush(daemon), delivered=2)


def test_fetchmail_tells_a_refusal(make_provider, fetchmail):
    daemon = make_provider(slow_flush="reject")

    code, text = fetchmail(daemon, STRANGER)

    assert code not in (0, 1) and "ETRN< 459 Node stranger.example not allowed: " in text, text


def test_curl_asks(provider, run):
    host, port = provider.etrn_port
    provider.sites[CUSTOMER].start()

    code, text = run("curl", "-sS", f"smtp://{host}:{port}/client.example", "-X", f"ETRN {CUSTOMER}")
    assert (code, text) == (0, f"253 OK, 2 pending messages for node {CUSTOMER} started\r\n")
    finished(last_flush(provider), delivered=2)

    code, text = run("curl", "-sS", "-v", f"smtp://{host}:{port}/client.example", "-X", "ETRN -x")
    assert code == 8 and "< 501 Syntax Error in Parameters" in text, text


def test_swaks_asks(provider, run):
    host, port = provider.etrn_port
    provider.sites[CUSTOMER].start()

    # It has no ETRN of its own; its EHLO takes the command along, and the reply is shown for its QUIT.
    code, text = run(
        "swaks", "--server", host, "--port", port, "--to", "x@example.org", "--quit-after", "EHLO",
        "--ehlo", f"client.example\r\nETRN {CUSTOMER}",
    )

    assert code == 0, text
    assert "<-  250-ETRN\n" in text and f" 253 OK, 2 pending messages for node {CUSTOMER} started\n" in text, text
    finished(last_flush(provider), delivered=2)
