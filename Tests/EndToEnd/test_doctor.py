"""`etrnd doctor` says in plain words why ETRN does not work: a line for each thing it looked at, and what to do."""
import os
import re
import socket
import subprocess
import time

import pytest

import postfix_instance
from daemon_process import wait_until
from postfix_instance import PostfixDaemon, PostfixInstance
from postfix_setup import UNTOUCHED, did, run_setup
from postfix_story import CUSTOMER, defer

EX_UNAVAILABLE, EX_CONFIG = 69, 78
DOMAIN = "customer.example"


class Report:
    """What the doctor printed."""

    def __init__(self, done: subprocess.CompletedProcess) -> None:
        self.status = done.returncode
        self.text = done.stdout
        lines = done.stdout.splitlines()
        self.closing = lines[-1] if lines else ""
        self.findings = []
        for line in lines[:-1]:
            match = re.fullmatch(r"(ok  |warn|FAIL)  (.+?): (.+)", line)
            assert match, f"no finding: {line!r}\n{done.stdout}{done.stderr}"
            self.findings.append((match[1].strip(), match[2], match[3]))
        assert done.stderr == "", done.stderr

    def find(self, subject: str, level: str | None = None) -> str:
        """The text of the one finding on this subject."""
        found = [(have, text) for have, name, text in self.findings if name == subject and level in (None, have)]
        assert len(found) == 1, f"{len(found)} findings on {subject} ({level}):\n{self.text}"
        return found[0][1]

    def failures(self) -> list[str]:
        return [name for level, name, _ in self.findings if level == "FAIL"]


def examine(daemon, *arguments, path=None) -> Report:
    """Runs the doctor on a daemon's configuration."""
    return Report(run(daemon.program, "doctor", "--config", path or daemon.configuration, *arguments, environment=daemon.environment))


def run(program, *arguments, environment=None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [program, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False, env=environment)


# The spool engine.


def test_a_service_that_works_is_well(daemon, sink):
    sink.start()
    daemon.relay(DOMAIN, sink.next_hop)

    report = examine(daemon, DOMAIN)

    assert report.status == 0 and report.failures() == [], report.text
    # Its TCP port is chosen by the kernel, which the doctor cannot know.
    assert {daemon.socket_path in text for level, name, text in report.findings if name == "daemon" and level == "ok"} == {True, False}
    assert report.find("readiness", "ok").startswith("ready")
    assert report.find(f"ETRN {DOMAIN}", "ok").startswith("fast")
    assert sink.next_hop in report.find("relay domain", "ok")
    assert "220 customer ESMTP" in report.find(f"next hop {sink.next_hop}", "ok")
    assert "none" in report.find("waiting mail", "ok")
    assert re.fullmatch(r"All is well: \d+ things looked at\.", report.closing), report.text


def test_without_a_domain_only_the_service_is_looked_at(daemon):
    report = examine(daemon)

    assert report.status == 0, report.text
    assert {"configuration", "user", "state_directory", "disk", "daemon", "readiness"} == {name for _, name, _ in report.findings}


def test_a_daemon_that_is_down_is_the_first_thing_told(make_daemon):
    daemon = make_daemon()
    address = f"unix:{daemon.socket_path}"
    daemon.stop()

    report = examine(daemon, DOMAIN)

    assert report.status == EX_UNAVAILABLE, report.text
    texts = [text for level, name, text in report.findings if name == "daemon" and level == "FAIL"]
    assert any(address in text and "systemctl start etrnd" in text for text in texts), report.text
    assert set(report.failures()) == {"daemon"}


def test_an_smtp_port_that_was_changed_since_the_start_is_told(daemon, directory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

        report = examine(daemon, "-o", f"smtp_listen={address}")
        host, port = daemon.smtp
        served = examine(daemon, "-o", f"smtp_listen={host}:{port}")

    assert report.status == EX_UNAVAILABLE and address in report.find("smtp_listen", "FAIL"), report.text
    assert "220" in served.find("smtp_listen", "ok") and served.status == 0, served.text


def test_a_daemon_on_another_address_is_told(make_daemon, directory):
    daemon = make_daemon()
    other = directory / "other.cf"
    other.write_text(daemon.configuration.read_text().replace(f"unix:{daemon.socket_path}", f"unix:{directory}/elsewhere.sock"))

    report = examine(daemon, path=other)

    assert report.status == EX_UNAVAILABLE and "http_listen" in report.text, report.text


def test_somebody_else_on_the_port_is_told(make_daemon, directory):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        daemon = make_daemon()
        changed = directory / "changed.cf"
        changed.write_text(daemon.configuration.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}", 1))

        # It takes the connection and never says a word.
        report = examine(daemon, path=changed)

    assert report.status == 0, report.text
    assert any(level == "warn" and f"127.0.0.1:{port}" in text for level, _, text in report.findings), report.text


def test_a_domain_that_is_not_eligible(make_daemon):
    daemon = make_daemon(slow_flush="reject")

    report = examine(daemon, "stranger.example")

    assert report.status == EX_UNAVAILABLE and report.failures() == ["ETRN stranger.example"], report.text
    assert "fast_flush_domains" in report.find("ETRN stranger.example", "FAIL")


def test_a_domain_that_is_only_slow(daemon):
    report = examine(daemon, "stranger.example")

    assert report.status == 0 and "whole queue" in report.find("ETRN stranger.example", "warn"), report.text


def test_a_next_hop_that_is_down_and_what_waits_for_it(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    daemon.send(f"bob@{DOMAIN}")
    daemon.flush(DOMAIN)

    report = examine(daemon, DOMAIN)

    assert report.status == EX_UNAVAILABLE and report.failures() == [f"next hop {sink.next_hop}"], report.text
    assert "Connection refused" in report.find(f"next hop {sink.next_hop}", "FAIL")
    assert "1 message" in report.find("waiting mail", "ok")
    assert "0 delivered, 1 deferred again" in report.find("last flush", "warn")


@pytest.mark.parametrize("banner", ["554 5.7.1 not you", "421 4.3.2 too busy"])
def test_a_next_hop_that_refuses_in_its_banner(daemon, sink, banner):
    sink.behaviour.greeting = banner
    sink.start()
    daemon.relay(DOMAIN, sink.next_hop)

    report = examine(daemon, DOMAIN)

    assert report.status == EX_UNAVAILABLE and banner in report.find(f"next hop {sink.next_hop}", "FAIL"), report.text


def test_a_next_hop_that_takes_the_connection_and_says_nothing(daemon):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        hop = f"[127.0.0.1]:{mute.getsockname()[1]}"
        daemon.relay(DOMAIN, hop)

        report = examine(daemon, DOMAIN)

    assert report.status == EX_UNAVAILABLE and "no greeting" in report.find(f"next hop {hop}", "FAIL"), report.text


def test_a_subdomain_is_told_by_its_parent_and_draining_is_explained(daemon, sink):
    sink.start()
    daemon.relay(DOMAIN, sink.next_hop, state="draining")

    report = examine(daemon, f"ship.{DOMAIN}")

    told = report.find("relay domain", "warn")
    assert f"ship.{DOMAIN} belongs to {DOMAIN}" in told and "draining" in told, report.text
    assert report.status == 0, report.text


@pytest.mark.parametrize(
    ("text", "part"),
    [("[192.0.2.1]", "address"), ("192.0.2.1", "address"), ("-x.example", "hyphen"), ("a..b", "empty label"), ("bad_\x1b[2J", "no domain name")],
)
def test_what_is_no_domain_is_explained(daemon, text, part):
    report = examine(daemon, "--", text)

    assert report.status == EX_UNAVAILABLE and part in report.find("domain", "FAIL"), report.text
    assert "\x1b" not in report.text


def test_a_state_directory_that_others_can_write_to(daemon):
    daemon.state.chmod(0o777)
    try:
        report = examine(daemon)
    finally:
        daemon.state.chmod(0o700)

    assert report.status == EX_UNAVAILABLE and f"chmod 700 {daemon.state}" in report.find("state_directory", "FAIL"), report.text


def test_a_disk_that_is_too_full_for_mail(make_daemon):
    daemon = make_daemon(queue_minfree=1 << 50)

    report = examine(daemon)

    assert report.status == EX_UNAVAILABLE and "queue_minfree" in report.find("disk", "FAIL"), report.text


def test_a_bad_configuration_is_told_line_by_line(program, directory):
    file = directory / "etrnd.cf"
    file.write_text("slow_flush = maybe\nqueue_engin = spool\n")

    report = Report(run(program, "doctor", "--config", file, DOMAIN))

    assert report.status == EX_CONFIG and report.failures() == ["configuration", "configuration"], report.text
    assert "etrnd.cf:1" in report.text and "etrnd.cf:2" in report.text and report.closing.startswith("2 failures")


def test_options_and_environment_count_as_for_the_daemon(daemon, directory):
    report = examine(daemon, "-o", f"http_listen=unix:{directory}/nowhere.sock")

    assert report.status == EX_UNAVAILABLE and "nowhere.sock" in report.find("daemon", "FAIL"), report.text


def test_a_main_cf_that_is_not_there(program, directory):
    done = run(
        program, "doctor", "-o", "queue_engine=postfix", "-o", f"postfix_config_directory={directory}", "-o", f"state_directory={directory}",
        "-o", f"http_listen=unix:{directory}/none.sock")

    assert done.returncode == EX_CONFIG, done
    report = Report(done)
    assert "postfix_config_directory" in report.find("main.cf", "FAIL"), report.text


def test_help_names_what_it_does_and_how_it_ends(program):
    done = run(program, "doctor", "--help")
    assert done.returncode == 0 and "[<domain>]" in done.stdout
    assert all(part in done.stdout for part in ("69", "78", "--config", "-o <name=value>", "FAIL")), done.stdout

    whole = run(program, "--help")
    assert whole.returncode == 0 and "doctor" in whole.stdout and "--check-config" in whole.stdout, whole.stdout


def test_too_many_domains_are_a_usage_error(program):
    assert run(program, "doctor", "a.example", "b.example").returncode == 64
    assert run(program, "docter").returncode == 64


# A real Postfix.


def set_main_cf(postfix, **parameters) -> None:
    for name, value in parameters.items():
        done = postfix.run("postconf", "-e", f"{name}={value}")
        assert done.returncode == 0, done


@pytest.fixture
def main_cf(postfix):
    """main.cf may be changed; it is put back."""
    file = postfix.configuration / "main.cf"
    before = file.read_text()
    yield lambda **parameters: set_main_cf(postfix, **parameters)
    file.write_text(before)


def test_postfix_and_the_daemon_together_are_well(postfix, etrnd, customer):
    customer.start()

    report = examine(etrnd, CUSTOMER)

    assert report.failures() == [] and report.status == 0, report.text
    assert report.find("Postfix", "ok").startswith("version 3.")
    assert f"process {etrnd.pid} as postfix" in report.find("flush socket", "ok")
    assert report.find("queue manager", "ok") == "answers"
    assert report.find("postfix_log", "ok").startswith(str(postfix.log.path))
    assert CUSTOMER in report.find("relay_domains in main.cf", "ok")
    assert customer.next_hop in report.find("transport_maps", "ok")
    assert "220" in report.find(f"next hop {customer.next_hop}", "ok")
    for subject in ("flush_service_name", "fast_flush_domains in main.cf", "smtpd_etrn_restrictions", "public/", "queue directories", "clock"):
        report.find(subject, "ok")


def test_a_stranger_is_told_that_he_sees_less_and_not_that_all_is_broken(etrnd):
    command = ["--reuid=65534", "--regid=65534", "--clear-groups", etrnd.program, "doctor", "--config", etrnd.configuration]

    report = Report(run("setpriv", *command))

    assert report.status == 0 and "run it again as root or postfix" in report.find("user", "warn"), report.text
    for subject in ("flush socket", "queue manager", "daemon"):
        report.find(subject, "warn")


def test_postfix_still_asks_its_own_flush_service(etrnd, main_cf):
    main_cf(flush_service_name="flush", fast_flush_domains="", smtpd_etrn_restrictions="")

    report = examine(etrnd)

    assert report.status == EX_UNAVAILABLE, report.text
    directory = etrnd.parameters["postfix_config_directory"]
    assert f"postconf -c {directory} -e flush_service_name=etrnd" in report.find("flush_service_name", "FAIL")
    assert "459" in report.find("fast_flush_domains in main.cf", "FAIL")
    assert "stranger" in report.find("smtpd_etrn_restrictions", "warn")


def test_the_flush_socket_is_missing_or_left_behind(postfix, etrnd):
    etrnd.stop()
    path = postfix.spool / "public/etrnd"
    try:
        assert not path.exists()
        missing = examine(etrnd)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        left = examine(etrnd)
    finally:
        path.unlink(missing_ok=True)
        etrnd.start()

    assert missing.status == EX_UNAVAILABLE and "is not there" in missing.find("flush socket", "FAIL"), missing.text
    assert left.status == EX_UNAVAILABLE and "Connection refused" in left.find("flush socket", "FAIL"), left.text
    assert "daemon" in missing.failures()


def test_a_flush_socket_that_takes_connections_and_says_nothing(postfix, etrnd):
    etrnd.stop()
    path = postfix.spool / "public/etrnd"
    try:
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(str(path))
            mute.listen(8)
            report = examine(etrnd)
    finally:
        path.unlink(missing_ok=True)
        etrnd.start()

    assert report.status == EX_UNAVAILABLE and "says nothing" in report.find("flush socket", "FAIL"), report.text


def test_postfix_is_stopped(postfix, etrnd):
    postfix.stop()
    try:
        report = examine(etrnd, CUSTOMER)
    finally:
        postfix.start()

    assert report.status == EX_UNAVAILABLE, report.text
    told = report.find("queue manager", "FAIL")
    assert "not running" in told and f"postfix -c {postfix.configuration} start" in told, report.text


def test_a_queue_directory_that_is_closed_to_the_daemon(postfix, etrnd):
    hold = postfix.spool / "hold"
    mode = hold.stat().st_mode & 0o7777
    hold.chmod(0o000)
    try:
        report = examine(etrnd)
    finally:
        hold.chmod(mode)

    assert report.status == EX_UNAVAILABLE and f"chmod 700 {hold}" in report.find("queue directories", "FAIL"), report.text


def test_a_mail_log_that_the_daemon_cannot_read(postfix, etrnd):
    mode = postfix.log.path.stat().st_mode & 0o7777
    postfix.log.path.chmod(0o600)
    try:
        report = examine(etrnd)
    finally:
        postfix.log.path.chmod(mode)

    # Postfix makes its log as root's; who runs the daemon is neither.
    assert report.status == 0 and "cannot be read by postfix" in report.find("postfix_log", "warn"), report.text


def test_mail_on_hold_is_told(postfix, etrnd):
    (queue_id,) = defer(postfix, etrnd, CUSTOMER, 1)
    postfix.postsuper("-h", queue_id)
    def held():
        rows = etrnd.messages(CUSTOMER)
        return [row["queue_id"] for row in rows if row["place"] == "held"] == [queue_id]

    wait_until(held, 30, "the message to be known as held")

    report = examine(etrnd, CUSTOMER)

    assert "1 on hold" in report.find("waiting mail", "warn"), report.text


def test_a_domain_that_is_provisioned_here_and_unknown_to_postfix(etrnd):
    etrnd.relay("new.example", "[127.0.0.1]:9", "etrn-only")

    report = examine(etrnd, "new.example")

    assert {"relay_domains in main.cf", "transport_maps", "next hop [127.0.0.1]:9"} == set(report.failures()), report.text
    assert "deploy/postfix/setup" in report.find("relay_domains in main.cf", "FAIL")


def test_a_clock_that_was_set_back(postfix, etrnd):
    (queue_id,) = defer(postfix, etrnd, CUSTOMER, 1)
    file = postfix.path(queue_id)
    os.utime(file, (time.time(), time.time() + 30 * 86400))

    report = examine(etrnd)

    assert "1 of " in report.find("clock", "warn") and "maximal_backoff_time" in report.find("clock", "warn"), report.text


def test_what_setup_did_is_well_and_draining_is_seen_in_postfix_tables(program, make_sink):
    if why := postfix_instance.obstacle():
        pytest.skip(why)
    site = make_sink().start()
    with PostfixInstance({}, **UNTOUCHED) as postfix:
        if "sqlite" not in postfix.run("postconf", "-m").stdout.split():
            pytest.skip("this Postfix has no sqlite tables: install the package postfix-sqlite to have this test")
        etrnd = PostfixDaemon(program, postfix)
        try:
            etrnd.start()
            before = examine(etrnd)
            did(run_setup(postfix.configuration, etrnd.state))
            etrnd.relay("site.example", site.next_hop, "etrn-only")

            well = examine(etrnd, "ship.site.example")
            etrnd.relay("site.example", site.next_hop, "etrn-only", state="draining")
            draining = examine(etrnd, "site.example")
            postfix.stop()
            stopped = examine(etrnd, "site.example")
        finally:
            etrnd.kill()

    assert {"flush_service_name"} <= set(before.failures()), before.text
    assert well.status == 0, well.text
    assert "relay_domains.cf" in well.find("relay_domains in main.cf", "ok")
    route = well.find("transport_maps", "ok")
    assert ".site.example in proxy:sqlite:" in route and f"etrn-only:{site.next_hop}, which waits until somebody asks" in route
    assert draining.status == 0 and "as it is draining" in draining.find("relay_domains in main.cf", "ok"), draining.text
    assert "proxymap" in stopped.find("transport_maps", "warn"), stopped.text
    # The daemon itself finds out when it next needs the queue manager, and is not ready from then on.
    assert stopped.failures() in (["queue manager"], ["queue manager", "readiness"]), stopped.text
