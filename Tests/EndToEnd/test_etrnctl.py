"""etrnctl as people and scripts use it: tables and exit codes to the letter, and servers that break."""
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import ROOT
from daemon_process import wait_until
from peers import clean_environment

OK, USAGE, DATA, UNAVAILABLE, TEMPORARY, PERMISSION, CONFIGURATION = 0, 64, 65, 69, 75, 77, 78
DOMAIN = "customer.example"


@pytest.fixture
def ctl(etrnctl, daemon):
    """Runs the command against the test's daemon."""

    def run(*arguments, code=OK, url=None, text=None, **environment):
        result = subprocess.run(
            [etrnctl, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, input=text,
            env=clean_environment() | {"ETRND_URL": url or f"unix:{daemon.socket_path}"} | environment,
        )
        assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
        return result

    return run


def lines(result) -> list[str]:
    return result.stdout.splitlines()


def with_mail(daemon, sink, count=2, **more):
    daemon.relay(DOMAIN, sink.next_hop, **more)
    for number in range(count):
        daemon.send(f"user{number}@{DOMAIN}", test_id=str(number))
    wait_until(lambda: daemon.waiting(DOMAIN) == count, 20, f"{count} messages recorded")
    return [row["queue_id"] for row in daemon.messages(DOMAIN)]


# What is asked for.


def test_a_flush_is_followed_to_its_end(daemon, sink, ctl):
    with_mail(daemon, sink, delivery="etrn-only")
    sink.start()

    result = ctl("flush", DOMAIN, "--wait", "30s", "--note", "the link is up")

    assert re.fullmatch(rf"{DOMAIN}: 2 messages matched \([0-9.]+ k?B\), flush [0-9A-Z]{{26}}", lines(result)[0]), result.stdout
    assert lines(result)[1:] == [f"{DOMAIN}: finished: 2 messages, 2 released, 2 delivered"]
    # Not a terminal: a line for each change, on standard error, and no escapes.
    assert result.stderr and all(line.startswith(f"{DOMAIN}: 2 messages") for line in result.stderr.splitlines())
    assert "\x1b" not in result.stdout + result.stderr
    assert daemon.get("/flushes").json()["flushes"][0]["note"] == "the link is up"

    assert ctl("flush", DOMAIN).stdout == f"{DOMAIN}: no messages waiting\n"


def test_mail_that_still_waits_is_told_and_is_75(daemon, sink, ctl):
    with_mail(daemon, sink, count=1, delivery="etrn-only")

    result = ctl("flush", DOMAIN, "--wait", "30s", code=TEMPORARY)

    assert lines(result)[1] == f"{DOMAIN}: finished: 1 message, 1 released, 1 deferred again"
    assert "Connection refused" in lines(result)[2]
    assert json.loads(ctl("flush", DOMAIN, "--wait", "30s", "-o", "json", code=TEMPORARY).stdout)["deferred_again"] == 1


def test_a_dry_run_touches_nothing(daemon, sink, ctl):
    with_mail(daemon, sink, delivery="etrn-only")
    assert re.fullmatch(rf"{DOMAIN}: would match 2 messages \([0-9.]+ k?B\), the oldest \d+ s old\n", ctl("flush", DOMAIN, "--dry-run").stdout)
    assert daemon.get("/flushes").json()["flushes"] == []


def test_one_message_everything_and_several_domains(daemon, sink, ctl):
    ids = with_mail(daemon, sink, delivery="etrn-only")
    sink.start()
    assert f"message {ids[0]}: 1 message matched" in ctl("flush", "--message", ids[0]).stdout
    wait_until(lambda: daemon.waiting(DOMAIN) == len(ids) - 1, 30, "the first message has left")
    assert "the whole queue: " in ctl("flush", "--all", "--wait", "20s").stdout

    result = ctl("flush", DOMAIN, "other.example", "-o", "json")
    assert [row["domain"] for row in json.loads(result.stdout)["flushes"]] == [DOMAIN, "other.example"]
    assert ctl("flush", "--message", "NOSUCHID", code=DATA).stderr == "etrnctl: message NOSUCHID: No message in the queue has the ID NOSUCHID.\n"


def test_who_is_not_eligible_is_65(make_daemon, etrnctl):
    daemon = make_daemon(slow_flush="reject")
    result = subprocess.run(
        [etrnctl, "flush", "stranger.example", "--url", f"unix:{daemon.socket_path}"], capture_output=True, text=True, timeout=30, check=False,
        env=clean_environment())
    assert result.returncode == DATA
    assert result.stderr == "etrnctl: stranger.example: stranger.example is not matched by fast_flush_domains, and slow_flush is reject\n"


def test_flushes_are_listed_and_cancelled(daemon, sink, ctl):
    assert ctl("flushes").stdout == "no flushes\n"
    with_mail(daemon, sink, count=1, delivery="etrn-only")
    ctl("flush", DOMAIN, "--wait", "30s", code=TEMPORARY)
    shown = lines(ctl("flushes"))
    assert shown[0] == "ID                          AGE  STATE     DOMAIN            MATCHED  DONE  LEFT"
    assert re.fullmatch(rf"[0-9A-Z]{{26}}  +\d+ s  finished  {DOMAIN}        1     0     1", shown[1]), shown[1]
    flush = json.loads(ctl("flushes", "--domain", DOMAIN, "-o", "json").stdout)["flushes"][0]["id"]
    assert "finished" in ctl("cancel", flush).stdout
    assert "no flush has the ID" in ctl("cancel", "0" * 26, code=DATA).stderr


# What waits.


def test_the_tables(daemon, sink, ctl):
    assert ctl("domains").stdout == "no domains\n"
    ids = with_mail(daemon, sink, delivery="etrn-only")

    shown = lines(ctl("domains"))
    assert shown[0] == "DOMAIN            STATE   MESSAGES   SIZE  OLDEST  LAST REASON"
    assert re.fullmatch(rf"{DOMAIN}  active         2  \d\d\d B +\d+ s", shown[1]), shown[1]
    assert ctl("domains", "--prefix", "zzz").stdout == "no domains\n"

    detail = ctl("domain", DOMAIN).stdout
    assert f"Domain   {DOMAIN}\nState    active, an ETRN is fast\nWaiting  2 messages, " in detail
    assert detail.endswith("YOUNGER THAN  MESSAGES\n          5m         2\n")

    rows = lines(ctl("messages", DOMAIN))
    assert rows[0].split() == ["QUEUE", "ID", "AGE", "SIZE", "SENDER", "RECIPIENTS", "REASON"]
    assert [row.split()[0] for row in rows[1:]] == ids
    assert lines(ctl("messages", DOMAIN, "--limit", "1"))[-1] == "(only the first 1 are shown; --limit shows more)"

    one = ctl("message", ids[0]).stdout
    assert one.startswith(f"Queue ID   {ids[0]}\nPlace      deferred\nArrival    2"), one
    assert f"Recipient  user0@{DOMAIN}, pending" in one
    assert ctl("remove", ids[0]).stdout == f"{ids[0]} is removed\n"
    assert ctl("message", ids[0], code=DATA).stderr == f"etrnctl: No message in the queue has the ID {ids[0]}.\n"
    assert daemon.waiting(DOMAIN) == 1
    assert all(len(line) <= 80 for line in shown + rows)


@pytest.mark.parametrize("verb", ["domain", "messages"])
def test_an_unknown_domain_is_65(ctl, verb):
    assert ctl(verb, "nowhere.example", code=DATA).stderr == (
        "etrnctl: nothing waits for nowhere.example, and it is no flush domain: fast_flush_domains does not match it\n")


def test_bounces(daemon, ctl):
    assert ctl("bounces").stdout == "no kept reports\n"
    assert ctl("bounces", "NOSUCHID", code=DATA).stderr == "etrnctl: no kept report has the ID NOSUCHID\n"
    assert "kept report" in ctl("bounces", "NOSUCHID", "--remove", code=DATA).stderr


# Provisioning.


def test_relay_domains_are_set_shown_and_removed(ctl):
    assert ctl("relay-domain", "list").stdout == "no relay domains\n"
    assert ctl("relay-domain", "set", DOMAIN, code=USAGE).stderr == f"etrnctl: {DOMAIN} is new: it needs --next-hop\n"
    assert ctl("relay-domain", "set", DOMAIN, "--next-hop", "[192.0.2.1]:25").stdout == f"{DOMAIN}: created, version 1\n"
    assert ctl("relay-domain", "set", DOMAIN, "--delivery", "etrn-only", "--owner", "me").stdout == f"{DOMAIN}: changed, version 2\n"
    assert ctl("relay-domain", "set", DOMAIN, "--owner", "me").stdout == f"{DOMAIN}: unchanged, version 2\n"
    assert lines(ctl("relay-domain", "list")) == [
        "DOMAIN            NEXT HOP        DELIVERY   STATE   OWNER  COMMENT", f"{DOMAIN}  [192.0.2.1]:25  etrn-only  active  me"]
    shown = ctl("relay-domain", "show", DOMAIN).stdout
    assert shown.startswith(f"Domain    {DOMAIN}\nNext hop  [192.0.2.1]:25\nDelivery  etrn-only\nState     active\nOwner     me\nVersion   2, 2")
    assert "--next-hop: " in ctl("relay-domain", "set", DOMAIN, "--next-hop", "nonsense]", code=USAGE).stderr
    assert ctl("relay-domain", "set", DOMAIN, "--next-hop", "mail.example:25", code=DATA).stderr.endswith(
        " answered 400: mail.example:25 without brackets means MX lookup, which this engine has not; write [mail.example]:25\n")
    assert ctl("relay-domain", "remove", DOMAIN).stdout == f"{DOMAIN}: removed\n"
    assert ctl("relay-domain", "remove", DOMAIN, code=DATA).stderr == f"etrnctl: {DOMAIN} is no relay domain\n"


def test_a_file_is_applied(ctl, directory):
    file = directory / "wanted.json"
    file.write_text(json.dumps({"relay_domains": [{"domain": f"{name}.example", "next_hop": "[192.0.2.1]:25"} for name in "ab"]}))
    assert lines(ctl("relay-domain", "apply", file, "--owner", "me", "--dry-run")) == [
        "+ a.example", "+ b.example", "2 would be created, 0 would be changed, 0 would be removed, 0 unchanged"]
    assert lines(ctl("relay-domain", "apply", file, "--owner", "me"))[-1] == "2 created, 0 changed, 0 removed, 0 unchanged"
    assert ctl("relay-domain", "apply", "-", "--owner", "me", "--max-delete", "1", text='{"relay_domains":[]}', code=DATA).stderr == (
        "etrnctl: This would remove 2 relay domains, and max_delete allows 1; nothing was changed.\n")
    assert json.loads(ctl("relay-domain", "apply", "-", "--owner", "me", "-o", "json", text='{"relay_domains":[]}').stdout)["removed"] == [
        "a.example", "b.example"]
    bad = ctl("relay-domain", "apply", "-", "--owner", "me", text='{"relay_domains":[{"domain":"a b"}]}', code=DATA).stderr
    assert "etrnctl: -: #/relay_domains/0/domain: " in bad and "etrnctl: -: #/relay_domains/0/next_hop: is missing\n" in bad
    assert ctl("relay-domain", "apply", "-", "--owner", "me", text="nonsense", code=DATA).stderr == "etrnctl: -: no JSON document\n"
    assert "nowhere.json" in ctl("relay-domain", "apply", directory / "nowhere.json", "--owner", "me", code=DATA).stderr


# The service.


def test_status_and_policy(daemon, ctl):
    shown = lines(ctl("status"))
    assert re.fullmatch(r"Service   etrnd 0\.1\.0, engine spool, up \d+ s", shown[0])
    assert shown[1] == "Queue     nothing waits"
    assert shown[3] == "Flushes   0 running, 0 asked for since the start"
    assert json.loads(ctl("status", "-o", "json").stdout)["engine"] == "spool"
    assert any(line.startswith("slow_flush = permit") for line in lines(ctl("policy")))


def test_config_is_shown_as_postconf_does(ctl, directory):
    file = directory / "some.cf"
    file.write_text("slow_flush = reject\nfast_flush_domains = $relay_domains, other.example\n")
    assert lines(ctl("config", "--config", file, "-n")) == ["fast_flush_domains = $relay_domains, other.example", "slow_flush = reject"]
    assert ctl("config", "--config", file, "-x", "fast_flush_domains").stdout == "fast_flush_domains = store:, other.example\n"
    assert ctl("config", "-d", "slow_flush").stdout == "slow_flush = permit\n"
    assert ctl("config", "-d", "slow_flosh", code=DATA).stderr == "etrnctl: slow_flosh: no such parameter\n"
    file.write_text("slow_flush = maybe\n")
    assert "some.cf:1" in ctl("config", "--config", file, code=CONFIGURATION).stderr
    assert ctl("config", "-d", "-n", code=USAGE)


# Errors of every kind.


def test_nobody_there_is_69(ctl, directory):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        assert ctl("status", url=url, code=UNAVAILABLE).stderr.startswith(f"etrnctl: {url}/status cannot be reached: ")
    result = ctl("flush", DOMAIN, url=f"unix:{directory}/none.sock", code=UNAVAILABLE)
    assert f"unix:{directory}/none.sock/etrn/{DOMAIN} cannot be reached" in result.stderr


@pytest.fixture
def fake_server():
    """A server that says the same to everybody: None stands for nothing at all."""
    sockets = []

    def make(answer: bytes | None, limit: int = 50, speaks_first: bool = False) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)

        def serve() -> None:
            held = []
            try:
                for _ in range(limit):
                    client, _ = listener.accept()
                    if answer is None:
                        held.append(client)
                        continue
                    with client:
                        if not speaks_first:
                            client.recv(65536)
                        client.sendall(answer)
            except OSError:
                pass
            for client in held:
                client.close()

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield make
    for listener in sockets:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


HTML = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"
HALF = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"version"'


@pytest.mark.parametrize(("answer", "code", "says"), [
    (HTML, UNAVAILABLE, "answered 502, but not as etrnd does: it is an HTML page"),
    (HALF, TEMPORARY, "broke off its answer (status 200)"),
    (b"", TEMPORARY, "did not answer"),
    (b"220 mail.example ESMTP\r\n", UNAVAILABLE, "not as etrnd does"),
], ids=["html", "half", "closed", "smtp"])
def test_what_is_no_answer_is_told(ctl, fake_server, answer, code, says):
    url = fake_server(answer)
    result = ctl("status", url=url, code=code)
    assert f"{url}/status" in result.stderr and says in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_server_that_never_answers_is_75_in_time(ctl, fake_server):
    url = fake_server(None)
    result = ctl("flush", DOMAIN, "--timeout", "1s", url=url, code=TEMPORARY)
    assert "timed out; whether it was carried out is not known" in result.stderr


def test_who_is_not_permitted_is_77(make_daemon, etrnctl):
    daemon = make_daemon(http_trusted_networks="")
    url = f"http://127.0.0.1:{daemon.http[1]}"
    result = subprocess.run([etrnctl, "status", "--url", url], capture_output=True, text=True, timeout=30, check=False, env=clean_environment())
    assert result.returncode == PERMISSION and "http_trusted_networks" in result.stderr, result


@pytest.mark.parametrize("arguments", [
    ["flush"], ["flush", "a.example", "--all"], ["flush", "a b"], ["flush", "a.example", "--wait", "soon"], ["flush", "--all", "--subdomains"],
    ["flush", "a.example", "--smtp", "nonsense"], ["flush", "a.example\r\nQUIT", "--smtp", "127.0.0.1:25"], ["domain"], ["domain", "a..b"],
    ["message", "no-id"], ["domains", "--limit", "0"], ["nonsense"], ["status", "--url", "ftp://x"], ["relay-domain", "apply", "x"],
    ["relay-domain", "set", "a.example", "--delivery", "often"], ["gateway"], ["gateway", "--listen", "127.0.0.1:0", "--networks", "x"],
    ["gateway", "--listen", "127.0.0.1:0", "--error-limit", "0"], ["gateway", "--listen", "127.0.0.1:0", "--rate-time-unit", "0s"],
], ids=lambda arguments: " ".join(arguments)[:40].replace("\r\n", "CRLF"))
def test_wrong_usage_is_64(ctl, arguments):
    assert ctl(*arguments, code=USAGE).stderr


def test_wrong_surroundings_are_78(ctl, directory):
    assert "ETRND_URL" in ctl("status", url="nonsense", code=CONFIGURATION).stderr
    assert "nowhere" in ctl("status", "--token-file", directory / "nowhere", code=CONFIGURATION).stderr
    assert "nowhere" in ctl("status", "--ca-file", directory / "nowhere", code=CONFIGURATION).stderr
    secret = directory / "token"
    secret.write_text("two words\n")
    result = ctl("status", ETRND_TOKEN_FILE=str(secret), code=CONFIGURATION)
    assert "words" not in result.stderr


# A terminal.


def test_progress_is_rewritten_on_a_terminal_and_colour_can_be_turned_off(daemon, sink, etrnctl):
    with_mail(daemon, sink, count=1, delivery="etrn-only")
    sink.start()
    script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"

    def on_terminal(*arguments, **environment) -> bytes:
        return subprocess.run(
            [sys.executable, "-c", script, etrnctl, *arguments, "--url", f"unix:{daemon.socket_path}"], capture_output=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL, env=clean_environment() | {"TERM": "xterm"} | environment).stdout

    shown = on_terminal("flush", DOMAIN, "--wait", "20s")
    assert b"\r\x1b[K" in shown and b"\x1b[32mfinished\x1b[0m" in shown, shown
    assert b"\x1b[1mDOMAIN" in on_terminal("domains")
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert b"\x1b[" not in on_terminal("domains", **plain)


# SMTP.


def test_etrn_over_smtp_prints_what_was_answered(daemon, sink, ctl, fake_server):
    with_mail(daemon, sink, delivery="etrn-only")
    port = daemon.smtp[1]
    assert ctl("flush", DOMAIN, "--smtp", f"127.0.0.1:{port}").stdout == f"{DOMAIN}: 253 OK, 2 pending messages for node {DOMAIN} started\n"
    assert json.loads(ctl("flush", "@other.example", "--smtp", f"127.0.0.1:{port}", "-o", "json").stdout)["answers"][0]["node"] == "@other.example"
    assert " 459 " in ctl("flush", "#nosuch", "--smtp", f"127.0.0.1:{port}", code=DATA).stdout
    web = fake_server(HTML, speaks_first=True).rsplit(":", 1)[1]
    assert "no SMTP reply" in ctl("flush", DOMAIN, "--smtp", f"127.0.0.1:{web}", "--timeout", "5s", code=TEMPORARY).stderr


# postqueue's words.


@pytest.fixture
def postqueue(etrnctl, daemon, directory):
    link = directory / "etrn-postqueue"
    link.symlink_to(etrnctl)

    def run(*arguments, url=None):
        return subprocess.run(
            [link, *arguments], capture_output=True, text=True, timeout=30, check=False,
            env=clean_environment() | {"ETRND_URL": url or f"unix:{daemon.socket_path}"})

    return run


def test_postqueue_asks_for_delivery_without_a_word(daemon, sink, postqueue):
    ids = with_mail(daemon, sink, delivery="etrn-only")
    sink.start()
    for arguments in (["-i", ids[0]], ["-s", DOMAIN], ["-f"]):
        result = postqueue(*arguments)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 20, "the mail's delivery")


def test_postqueue_exits_as_the_original(postqueue, directory):
    assert postqueue().returncode == USAGE
    assert postqueue("-s", "a b").returncode == USAGE
    assert postqueue("-i", "no-id").returncode == USAGE
    assert postqueue("-i", "NOSUCHID").returncode == UNAVAILABLE
    assert postqueue("-f", url=f"unix:{directory}/none").returncode == UNAVAILABLE


# Help.


def dump(etrnctl):
    made = subprocess.run([etrnctl, "--experimental-dump-help"], capture_output=True, text=True, timeout=30, check=True)
    return json.loads(made.stdout)["command"]


def test_the_help_is_as_it_was(etrnctl):
    expected = Path(__file__).parent / "etrnctl_help"
    shown = {}

    def walk(command, path):
        result = subprocess.run([etrnctl, *path, "--help"], capture_output=True, text=True, timeout=30, check=True, env=clean_environment() | {"COLUMNS": "80"})
        shown["-".join(["etrnctl", *path]) + ".txt"] = result.stdout
        for child in command.get("subcommands") or []:
            if child["commandName"] != "help":
                walk(child, [*path, child["commandName"]])

    walk(dump(etrnctl), [])
    if "UPDATE_HELP" in os.environ:
        expected.mkdir(exist_ok=True)
        for name, text in shown.items():
            (expected / name).write_text(text)
    assert {path.name: path.read_text() for path in sorted(expected.glob("*.txt"))} == shown
    assert all(len(line) <= 80 for text in shown.values() for line in text.splitlines())


def test_the_manual_page_is_made_of_the_help(etrnctl):
    made = subprocess.run([ROOT / "Tools/make-man", etrnctl], capture_output=True, text=True, timeout=30, check=True)
    assert made.stdout == (ROOT / "deploy/man/etrnctl.1").read_text(), "run Tools/make-man .build/debug/etrnctl > deploy/man/etrnctl.1"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(etrnctl, shell):
    made = subprocess.run([etrnctl, "--generate-completion-script", shell], capture_output=True, text=True, timeout=30, check=True)
    assert "relay-domain" in made.stdout and "etrnctl" in made.stdout


# TLS.


def test_https_with_a_ca_file_is_trusted_and_without_it_not(daemon, etrnctl, directory):
    """A TLS front of a few lines before the daemon's port, with a certificate of our own."""
    import datetime
    import ipaddress
    import ssl

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "etrnd front")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (directory / "ca.pem").write_bytes(pem)
    (directory / "front.pem").write_bytes(pem + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "front.pem")
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(work, *arguments) -> None:
        threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        threads[-1].start()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                opened.append(context.wrap_socket(client, server_side=True))
            except OSError:
                client.close()
                continue
            opened.append(socket.create_connection(daemon.http))
            start(pump, opened[-2], opened[-1])
            start(pump, opened[-1], opened[-2])

    start(serve)
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    try:
        def status(*options):
            return subprocess.run(
                [etrnctl, "status", "--url", url, *options], capture_output=True, text=True, timeout=30, check=False, env=clean_environment())

        trusted = status("--ca-file", directory / "ca.pem")
        assert trusted.returncode == OK and trusted.stdout.startswith("Service   etrnd "), trusted
        stranger = status()
        assert stranger.returncode == UNAVAILABLE and f"{url}/status cannot be reached: TLS: " in stranger.stderr, stranger
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
        for one in [listener, *opened]:
            one.close()
