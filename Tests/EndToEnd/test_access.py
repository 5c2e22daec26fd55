"""Who may start it, where, and who may ask: other users, other processes, and a state directory that is not as it must be."""
import json
import os
import re
import shutil
import socket
import subprocess

import pytest

from daemon_process import wait_until
from expectations import finished
from peers import messages_on_disk, read_all

DOMAIN = "customer.example"
NOBODY = 65534
EX_UNAVAILABLE, EX_IOERR = 69, 74
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]

as_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="becoming somebody else needs root and setpriv")


def start_fails(daemon, *options: str) -> tuple[int, str]:
    """Its exit code and what it said; a start that works is the test's failure."""
    with pytest.raises(RuntimeError) as refused:
        daemon.start(*options)
    code, daemon.process = daemon.process.returncode, None
    return code, str(refused.value)


def open_to_all(daemon) -> None:
    """So that another user can come as far as the socket."""
    for path in (daemon.directory.parent, daemon.directory):
        path.chmod(0o755)


@as_root
def test_the_unix_socket_is_closed_to_other_users(daemon):
    open_to_all(daemon)
    command = [*AS_NOBODY, "curl", "-sS", "--max-time", "10", "--unix-socket", daemon.socket_path]
    by_mode = subprocess.run([*command, "http://localhost/status"], capture_output=True, text=True, timeout=20, check=False)
    assert by_mode.returncode == 7, by_mode  # curl: could not connect

    # An administrator may open the file to more; who they are still decides.
    os.chmod(daemon.socket_path, 0o666)
    for method, path, expected in (
        ("GET", "/status", 403), ("POST", f"/etrn/{DOMAIN}", 403), ("GET", "/relay-domains", 403), ("DELETE", f"/relay-domains/{DOMAIN}", 403),
        ("GET", "/livez", 200),
    ):
        asked = subprocess.run(
            [*command, "-X", method, "-w", "\n%{http_code}", f"http://localhost{path}"], capture_output=True, text=True, timeout=20, check=True
        )
        body, _, code = asked.stdout.rpartition("\n")
        assert int(code) == expected, asked.stdout
        if expected == 403:
            assert json.loads(body)["status"] == 403 and "own user" in json.loads(body)["detail"]
    assert daemon.request("GET", "/status", unix=True).status == 200


@as_root
def test_it_runs_as_an_ordinary_user_who_may_ask(make_daemon, sink):
    daemon = make_daemon(start=False, wrapper=AS_NOBODY)
    open_to_all(daemon)
    daemon.state.mkdir(mode=0o700)
    for path in (daemon.state, daemon.directory):
        os.chown(path, NOBODY, NOBODY)
    daemon.start()
    command = [*AS_NOBODY, "curl", "-sS", "--max-time", "10", "--unix-socket", daemon.socket_path]
    asked = subprocess.run([*command, "http://localhost/status"], capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(asked.stdout)["messages"] == 0
    assert daemon.request("GET", "/status", unix=True).status == 200, "root is always admitted"

    daemon.relay(DOMAIN, sink.next_hop)
    daemon.send(f"user@{DOMAIN}")
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    sink.start()
    finished(daemon.flush(DOMAIN), delivered=1)
    for path in [daemon.state, *daemon.state.rglob("*")]:
        assert path.stat().st_uid == NOBODY and path.stat().st_mode & 0o077 == 0, f"{path}: {oct(path.stat().st_mode)}"


@as_root
def test_a_state_directory_that_it_may_not_write_stops_the_start(make_daemon):
    daemon = make_daemon(start=False, wrapper=AS_NOBODY, http_listen="127.0.0.1:0")
    open_to_all(daemon)
    daemon.state.mkdir(mode=0o755)  # root's
    code, text = start_fails(daemon)
    assert code == EX_IOERR and str(daemon.state) in text and "belongs to user ID 0" in text, text
    assert list(daemon.state.iterdir()) == []


@as_root
def test_a_read_only_file_system_stops_the_start_or_leaves_it_well(make_daemon):
    daemon = make_daemon(start=False, http_listen="127.0.0.1:0")
    daemon.state.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "etrnd-test", str(daemon.state)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        for made_before in (False, True):
            if made_before:  # not new, but a queue and a database that were written already
                daemon.start()
                assert daemon.stop() == 0
            subprocess.run(["mount", "-o", "remount,ro", str(daemon.state)], check=True)
            code, text = start_fails(daemon)
            assert code == EX_IOERR and str(daemon.state) in text and re.search("(?i)read-?only", text), text
            subprocess.run(["mount", "-o", "remount,rw", str(daemon.state)], check=True)
        daemon.start()
        assert daemon.stop() == 0
    finally:
        daemon.kill()
        subprocess.run(["umount", str(daemon.state)], check=True)


def test_a_state_directory_that_is_a_file_or_open_to_all_stops_the_start(make_daemon):
    daemon = make_daemon(start=False)
    daemon.state.mkdir()
    daemon.state.chmod(0o777)
    code, text = start_fails(daemon)
    assert code == EX_IOERR and "0700" in text and str(daemon.state) in text, text
    daemon.state.rmdir()
    daemon.parameters["state_directory"] = str(daemon.configuration)
    code, text = start_fails(daemon)
    assert code == EX_IOERR and "Not a directory" in text, text


def test_a_state_directory_without_its_parent_is_named(make_daemon):
    daemon = make_daemon(start=False)
    daemon.parameters["state_directory"] = f"{daemon.directory}/no/such/place"
    code, text = start_fails(daemon)
    assert code == EX_IOERR and "/no/such/place" in text and "No such file" in text, text


@pytest.mark.parametrize("what", ["http_listen", "smtp_listen"])
def test_an_address_in_use_is_named(make_daemon, what):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = make_daemon(start=False, **{what: address})
        code, text = start_fails(daemon)
    assert code == EX_UNAVAILABLE and f"etrnd: {what}: {address}: somebody else listens" in text, text
    assert not os.path.exists(f"{daemon.directory}/etrnd.sock"), "a start that fails leaves no socket behind"


def test_a_start_that_fails_late_cuts_no_delivery_off(make_daemon, sink):
    daemon = make_daemon(minimal_backoff_time="1s", maximal_backoff_time="1s", queue_run_delay="1s")
    daemon.relay(DOMAIN, sink.next_hop, delivery="normal")
    daemon.send(f"user@{DOMAIN}", test_id="once")
    wait_until(lambda: [row for row in daemon.messages(DOMAIN) if row["place"] == "deferred"], 10, "the deferred message")
    assert daemon.stop() == 0
    sink.start()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        daemon.parameters["smtp_listen"] = f"127.0.0.1:{taken.getsockname()[1]}"
        for _ in range(3):
            code, _ = start_fails(daemon)
            assert code == EX_UNAVAILABLE
            assert len(sink.snapshot()) == (0 if messages_on_disk(daemon) else 1), "not begun, or finished and known to be"
    daemon.parameters["smtp_listen"] = "127.0.0.1:0"
    daemon.start()
    wait_until(lambda: messages_on_disk(daemon) == [], 20, "an empty spool")
    assert [message.header("X-Test-ID") for message in sink.snapshot()] == ["once"]


def test_an_address_that_is_not_ours_is_named(make_daemon):
    code, text = start_fails(make_daemon(start=False, http_listen="192.0.2.1:8025"))
    assert code == EX_UNAVAILABLE and "192.0.2.1:8025" in text, text


def test_a_stale_socket_is_replaced_and_another_file_left_alone(make_daemon):
    daemon = make_daemon()
    daemon.kill()
    assert os.path.exists(daemon.socket_path), "kill -9 leaves the socket behind"
    daemon.start()
    assert daemon.request("GET", "/livez", unix=True).status == 200
    path = daemon.socket_path
    assert daemon.stop() == 0
    assert not os.path.exists(path), "a stop removes it"

    with open(path, "w") as file:
        file.write("precious")
    code, text = start_fails(daemon)
    assert code == EX_UNAVAILABLE and path in text, text
    with open(path) as file:
        assert file.read() == "precious"


def test_two_daemons_live_side_by_side(make_daemon, make_sink):
    sites = make_sink().start(), make_sink().start()
    daemons = make_daemon(), make_daemon()
    for n, (daemon, site) in enumerate(zip(daemons, sites)):
        daemon.relay(DOMAIN, site.next_hop)
        daemon.send(f"user@{DOMAIN}", test_id=f"of {n}")
        wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    for daemon in daemons:
        finished(daemon.flush(DOMAIN), delivered=1)
    assert [[message.header("X-Test-ID") for message in site.snapshot()] for site in sites] == [["of 0"], ["of 1"]]


def test_a_second_daemon_on_the_same_state_leaves_the_first_well(make_daemon, sink):
    first = make_daemon()
    first.relay(DOMAIN, sink.next_hop)
    first.send(f"user@{DOMAIN}")
    wait_until(lambda: first.waiting(DOMAIN) == 1, 10, "the message's record")
    second = make_daemon(start=False, state_directory=first.state)

    code, text = start_fails(second)

    assert code == EX_IOERR and str(first.state) in text, text
    sink.start()
    finished(first.flush(DOMAIN), delivered=1)
    first.kill()
    second.start()
    assert second.get(f"/relay-domains/{DOMAIN}").status == 200


def test_no_descriptor_left_parks_the_listener_without_spinning(make_daemon):
    daemon = make_daemon(wrapper=["prlimit", "--nofile=96:96", "--"])

    def processor_ticks() -> int:
        with open(f"/proc/{daemon.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    peers = [socket.create_connection(daemon.http, timeout=10) for _ in range(150)]
    try:
        wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) >= 90, 10, "all descriptors to be used")
        # The kernel's own count of what the process used: watched for a second, it must be next to nothing.
        before = processor_ticks()
        with pytest.raises(AssertionError):
            wait_until(lambda: processor_ticks() - before > 50, 1.0, "half a second of processor time")
        # Those that are in are served.
        peers[0].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_all(peers[0]).startswith(b"HTTP/1.1 200 ")
    finally:
        for peer in peers:
            peer.close()
    wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) < 60, 10, "the descriptors to come back")
    assert daemon.get("/readyz").status == 200


def test_no_address_or_content_reaches_the_log(make_daemon, sink):
    daemon = make_daemon(log_level="trace")
    daemon.relay(DOMAIN, sink.next_hop, comment="confidential")
    for user, reply in (("good", "250 ok"), ("later", "450 4.2.1 <later@customer.example> busy"), ("bad", "550 5.1.1 <bad@customer.example> unknown")):
        sink.behaviour.recipients[f"{user}.person@{DOMAIN}"] = reply
        daemon.send(f"{user}.person@{DOMAIN}", sender="private.sender@sender.example", body="the secret content", test_id="secret subject")
    wait_until(lambda: daemon.waiting(DOMAIN) == 3, 10, "three messages")
    sink.start()
    finished(daemon.flush(DOMAIN, note="a private note"), delivered=1, deferred_again=1, bounced=1)
    daemon.post(f"/etrn/{DOMAIN}", note="a private note")
    assert daemon.stop() == 0

    log = daemon.log_tail(5000)
    assert "message queued" in log, log
    for secret in (".person", "private", "secret", "confidential", "later@", "bad@"):
        assert secret not in log, [line for line in daemon.log if secret in line]
