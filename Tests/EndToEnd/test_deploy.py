"""What deploy/ has for systemd: right, closed, and enough for the daemon to live in."""
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import CUSTOMER
from daemon_process import ROOT, wait_until
from postfix_instance import PostfixDaemon

UNITS = ROOT / "deploy/systemd"
EXPOSURE = 20  # of 100: half of what systemd calls OK


def analyze(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("there is no systemd-analyze: install the package systemd to have this test")
    return subprocess.run(
        [program, "--no-pager", *arguments], capture_output=True, text=True, timeout=60, check=False, env=os.environ | environment)


@pytest.fixture(params=["postfix", "spool"])
def unit(request, directory, program):
    """The unit as installed, with a program that is there."""
    unit = directory / "etrnd.service"
    text = (UNITS / "etrnd.service").read_text()
    assert "ExecStart=/usr/sbin/etrnd " in text
    unit.write_text(text.replace("/usr/sbin/etrnd", str(program)))
    if request.param == "spool":
        (directory / "etrnd.service.d").mkdir()
        shutil.copy(UNITS / "spool.conf", directory / "etrnd.service.d")
    return unit


def test_systemd_finds_nothing_wrong(unit):
    checked = analyze("verify", "--man=no", str(unit), SYSTEMD_UNIT_PATH=f"{unit.parent}:")

    assert checked.returncode == 0 and checked.stderr == "", checked


def test_systemd_would_tell_if_there_were(unit):
    unit.write_text(unit.read_text().replace("RestartSec=0", "RestartSec=soon"))

    assert "Failed to parse" in analyze("verify", "--man=no", str(unit), SYSTEMD_UNIT_PATH=f"{unit.parent}:").stderr


def test_it_is_closed(unit):
    command = ["security", "--offline=yes", f"--threshold={EXPOSURE}", str(unit)]

    judged = analyze(*command, SYSTEMD_UNIT_PATH=f"{unit.parent}:")
    assert judged.returncode == 0, judged.stdout
    # It can fail.
    unit.write_text(re.sub(r"(?m)^(Protect|Private|SystemCall|Capab).*\n", "", unit.read_text()))
    assert analyze(*command, SYSTEMD_UNIT_PATH=f"{unit.parent}:").returncode != 0


def allowed_calls() -> set[str]:
    """The system calls that the unit's filter lets through."""
    def named(group: str) -> set[str]:
        listed = analyze("syscall-filter", group)
        assert listed.returncode == 0, listed
        names = {line.strip() for line in listed.stdout.splitlines()[1:] if line.startswith("    ") and "#" not in line}
        return set().union(*(named(name) if name.startswith("@") else {name} for name in names))

    calls: set[str] = named("@default")
    for value in re.findall(r"(?m)^SystemCallFilter=(.*)$", (UNITS / "etrnd.service").read_text()):
        groups = set().union(*(named(group) for group in value.lstrip("~").split()))
        calls = calls - groups if value.startswith("~") else calls | groups
    return calls


def lives_within(trace: Path, as_root: bool = False) -> None:
    """The container that tests run in has no systemd to ask; strace shows what the daemon would have asked of it."""
    lines = trace.read_text().splitlines()
    calls = {match[1] for line in lines if (match := re.match(r"\d+ +(\w+)\(", line))}
    families = {match[1] for line in lines if (match := re.search(r" socket\((AF_\w+)", line))}

    assert len(calls) > 30 and {"execve", "epoll_ctl", "bind"} <= calls, calls
    # As root SQLite gives its files to the database's owner.
    assert calls - allowed_calls() == ({"fchown"} & calls if as_root else set())
    assert families <= {"AF_UNIX", "AF_INET", "AF_INET6"}
    assert [line for line in lines if re.search(r" m(map|protect)\(.*PROT_WRITE\|PROT_EXEC", line)] == []


def strace(trace: Path) -> list[str]:
    if not shutil.which("strace"):
        pytest.skip("there is no strace: install it to have this test")
    return ["strace", "-f", "-qq", "-o", str(trace), "--"]


def stop(daemon) -> None:
    """Asks the daemon itself, not who traces it."""
    with open(f"/proc/{daemon.pid}/task/{daemon.pid}/children") as file:
        os.kill(int(file.read().split()[0]), signal.SIGTERM)
    assert daemon.ended() == 0


def test_the_spool_lives_within_the_filter(make_daemon, directory, sink):
    trace = directory / "trace"
    daemon = make_daemon(wrapper=strace(trace))
    daemon.relay("customer.example", sink.next_hop)
    daemon.send("a@customer.example")
    sink.start()
    assert daemon.flush("customer.example")["delivered"] == 1
    stop(daemon)

    lives_within(trace, as_root=os.geteuid() == 0)


def test_the_postfix_engine_lives_within_the_filter(program, postfix, customer):
    daemon = PostfixDaemon(program, postfix)
    trace = daemon.directory / "trace"
    daemon.wrapper += strace(trace)
    try:
        daemon.start()
        daemon.relay(CUSTOMER, customer.next_hop, delivery="normal")
        ids = {postfix.send(f"a@{CUSTOMER}")}
        postfix.wait_deferred(ids)
        wait_until(lambda: daemon.recorded(CUSTOMER) == ids, 30, "the message to be recorded")
        customer.start()
        assert daemon.flush(CUSTOMER)["delivered"] == 1
        stop(daemon)
    finally:
        daemon.kill()

    lives_within(trace)


def test_the_service_manager_hears_of_its_life(make_daemon, directory):
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{directory}/notify")
        manager.settimeout(20)
        daemon = make_daemon(start=False)
        # As systemd does for Type=notify and WatchdogSec=1.
        daemon.environment |= {"NOTIFY_SOCKET": f"{directory}/notify", "WATCHDOG_USEC": "1000000"}
        daemon.start()
        while heard.count("WATCHDOG=1") < 4:
            heard.append(manager.recv(4096).decode())
        assert heard[0] == "READY=1" and daemon.get("/livez").status == 200
        assert daemon.stop() == 0
        while heard[-1] != "STOPPING=1":
            heard.append(manager.recv(4096).decode())

    assert set(heard) == {"READY=1", "WATCHDOG=1", "STOPPING=1"} and heard.count("READY=1") == 1


def test_the_configuration_for_postfix_is_a_good_one(program):
    checked = subprocess.run(
        [str(program), "--config", str(ROOT / "deploy/postfix/etrnd.cf"), "--check-config"], capture_output=True, text=True, timeout=60,
        check=False, env={name: value for name, value in os.environ.items() if not name.startswith("ETRND_")})

    assert checked.returncode == 0 and "warning" not in checked.stderr, checked


def test_the_unit_is_what_the_daemon_and_postfix_need():
    text = (UNITS / "etrnd.service").read_text()
    pairs = [line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#")]
    settings = dict(pairs)

    assert len(settings) + 1 == len(pairs), "nothing but SystemCallFilter is there twice"
    # Dead is harmless, slow is not: back at once and for ever, and killed when it does not answer.
    assert (settings["Type"], settings["Restart"], settings["RestartSec"], settings["StartLimitIntervalSec"]) == ("notify", "always", "0", "0")
    assert settings["WatchdogSec"] and settings["WatchdogSignal"] == "SIGKILL"
    # The database's owner is who Postfix reads it as.
    assert (settings["User"], settings["StateDirectory"], settings["StateDirectoryMode"]) == ("postfix", "etrnd", "0700")
