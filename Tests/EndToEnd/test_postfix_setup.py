"""deploy/postfix/setup: what it changes, what it refuses, and the way back."""
import json
import os
import shutil
import stat
import subprocess

import pytest

import postfix_instance
from daemon_process import wait_until
from postfix_instance import PostfixDaemon, PostfixInstance
from postfix_setup import FIXED, UNTOUCHED, did, files_of, is_taken, run_setup

SETTINGS = UNTOUCHED | {"smtpd_recipient_restrictions": "reject_non_fqdn_recipient"}

# As an operator leaves it: comments, odd spaces, a value over two lines, one set twice.
UNTIDY = """
# Added by hand, do not ask.
smtpd_banner   =$myhostname ESMTP
mynetworks = 127.0.0.0/8
    [::1]/128

mynetworks = 127.0.0.0/8
"""


@pytest.fixture(scope="module")
def both(program):
    if why := postfix_instance.obstacle():
        pytest.skip(why)
    with PostfixInstance({}, **SETTINGS) as postfix:
        if "sqlite" not in postfix.run("postconf", "-m").stdout.split():
            pytest.skip("this Postfix has no sqlite tables: install the package postfix-sqlite to have these tests")
        etrnd = PostfixDaemon(program, postfix)
        try:
            yield postfix, etrnd.start()
        finally:
            etrnd.kill()


@pytest.fixture
def copy(both):
    """A copy of the configuration that no Postfix runs on, and etrnd's state directory. Short: a socket's path goes through it."""
    postfix, etrnd = both
    copy = postfix.directory / "copy"
    shutil.copytree(postfix.configuration, copy)
    with open(copy / "main.cf", "a") as file:
        file.write(f"{UNTIDY}queue_directory = {copy}/spool\n")
    (copy / "spool").mkdir()
    grown_old(copy)
    yield copy, etrnd.state
    shutil.rmtree(copy)
    shutil.rmtree(f"{copy}-state", ignore_errors=True)


def grown_old(configuration) -> None:
    """Postfix's commands wait until main.cf is two seconds old, lest somebody is still writing it."""
    os.utime(configuration / "main.cf", (0, 0))


def setting(configuration, name: str) -> str:
    grown_old(configuration)
    return subprocess.run(
        ["postconf", "-c", str(configuration), "-h", name], capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_main_cf_keeps_what_it_had_and_gets_what_is_needed(copy):
    configuration, state = copy

    told = did(run_setup(configuration, state))

    assert setting(configuration, "flush_service_name") == "etrnd"
    assert setting(configuration, "fast_flush_domains") == "static:all"
    assert setting(configuration, "smtpd_etrn_restrictions") == "permit_mynetworks, reject"
    assert setting(configuration, "defer_transports") == "etrn-only"
    for name, table in (("relay_domains", "relay_domains.cf"), ("transport_maps", "transport.cf")):
        assert setting(configuration, name) == f"{SETTINGS[name]}, proxy:sqlite:$config_directory/etrnd/{table}"
        assert f"{name} keeps what it has" in told
    assert setting(configuration, "smtpd_recipient_restrictions") == (
        "check_recipient_access proxy:sqlite:$config_directory/etrnd/draining.cf, reject_non_fqdn_recipient")
    for table in ("relay_domains.cf", "transport.cf", "draining.cf"):
        assert f"dbpath = {state}/etrnd.db" in (configuration / "etrnd" / table).read_text()
        assert stat.S_IMODE((configuration / "etrnd" / table).stat().st_mode) == 0o644, "proxymap is not root"
    assert stat.S_IMODE((configuration / "etrnd").stat().st_mode) == 0o755
    assert UNTIDY.splitlines()[1] in (configuration / "main.cf").read_text()
    smtp, ours = ([line.split() for line in (configuration / "master.cf").read_text().splitlines() if line.split()[0] == name][0]
                  for name in ("smtp", "etrn-only"))
    assert ours[1:] == smtp[1:]


def test_again_it_finds_nothing_to_do(copy):
    configuration, state = copy
    did(run_setup(configuration, state))
    before = files_of(configuration)

    assert "nothing to do" in did(run_setup(configuration, state))
    assert files_of(configuration) == before


def test_a_dry_run_tells_all_and_changes_nothing(copy):
    configuration, state = copy
    before = files_of(configuration)

    told = did(run_setup(configuration, state, "--dry-run"))

    assert files_of(configuration) == before
    assert "'flush_service_name = etrnd'" in told and "etrn-only unix - - n - - smtp" in told
    assert "query = SELECT" in told
    did(run_setup(configuration, state))
    assert set(files_of(configuration)) - set(before) == {
        f"etrnd/{name}" for name in ("relay_domains.cf", "transport.cf", "draining.cf", "main.cf.before", "master.cf.before", "setup.json")}


def test_undo_is_exact_to_the_byte(copy):
    configuration, state = copy
    (configuration / "main.cf").chmod(0o664)
    before = files_of(configuration)
    did(run_setup(configuration, state))
    did(run_setup(configuration, state))

    did(run_setup(configuration, None, "--undo", "--dry-run"))
    assert files_of(configuration) != before
    did(run_setup(configuration, None, "--undo"))

    assert files_of(configuration) == before
    assert not (configuration / "etrnd").exists()
    assert stat.S_IMODE((configuration / "main.cf").stat().st_mode) == 0o664
    again = run_setup(configuration, None, "--undo")
    assert again.returncode == 78 and "undone already" in again.stderr


def test_undo_leaves_alone_what_others_have_changed_since(copy):
    configuration, state = copy
    did(run_setup(configuration, state))
    text = (configuration / "main.cf").read_text() + "message_size_limit = 12345678\nsmtpd_etrn_restrictions = reject\n"
    (configuration / "main.cf").write_text(text.replace(f"relay_domains = {FIXED},", f"relay_domains = new.example, {FIXED},"))

    told = did(run_setup(configuration, None, "--undo"))

    assert "smtpd_etrn_restrictions was changed since and stays: reject" in told
    assert setting(configuration, "smtpd_etrn_restrictions") == "reject"
    assert setting(configuration, "message_size_limit") == "12345678"
    assert setting(configuration, "relay_domains") == f"new.example, {SETTINGS['relay_domains']}"
    for name in ("flush_service_name", "fast_flush_domains", "transport_maps", "smtpd_recipient_restrictions"):
        assert setting(configuration, name) == SETTINGS[name]
    assert "etrn-only" not in (configuration / "master.cf").read_text()
    assert setting(configuration, "defer_transports") == ""


def test_after_a_crash_half_way_it_is_finished_or_undone(copy):
    configuration, state = copy
    before = files_of(configuration)
    did(run_setup(configuration, state))
    # As a kill between the two edits leaves it: the notes without their end, main.cf done, master.cf not.
    notes = configuration / "etrnd/setup.json"
    notes.write_text(json.dumps(json.loads(notes.read_text()) | {"after": None}))
    (configuration / "master.cf").write_bytes(before["master.cf"])

    did(run_setup(configuration, state))
    assert "etrn-only" in (configuration / "master.cf").read_text()
    did(run_setup(configuration, None, "--undo"))

    for name in SETTINGS:
        assert setting(configuration, name) == SETTINGS[name]
    assert files_of(configuration)["master.cf"] == before["master.cf"]


def test_an_upgrade_of_postfix_changes_nothing_of_it(copy):
    configuration, state = copy
    before = files_of(configuration)
    did(run_setup(configuration, state))
    main = (configuration / "main.cf").read_bytes()
    grown_old(configuration)

    done = subprocess.run(["postfix", "-c", str(configuration), "upgrade-configuration"], capture_output=True, timeout=120, check=False)

    assert done.returncode == 0, done
    assert (configuration / "main.cf").read_bytes() == main
    assert "etrn-only" in (configuration / "master.cf").read_text()
    assert "nothing to do" in did(run_setup(configuration, state))
    grown_old(configuration)
    did(run_setup(configuration, None, "--undo"))
    for name in SETTINGS:
        assert setting(configuration, name) == SETTINGS[name]
    assert set(files_of(configuration)) == set(before)


def test_an_answer_of_the_operator_stays(copy):
    configuration, state = copy
    with open(configuration / "main.cf", "a") as file:
        file.write("smtpd_etrn_restrictions = check_etrn_access static:OK\ndefer_transports = uucp\n")

    told = did(run_setup(configuration, state))

    assert "smtpd_etrn_restrictions stays as it is" in told
    assert setting(configuration, "smtpd_etrn_restrictions") == "check_etrn_access static:OK"
    assert setting(configuration, "defer_transports") == "uucp, etrn-only"


def test_flush_only_leaves_routing_alone(copy):
    configuration, _ = copy
    before = files_of(configuration)

    did(run_setup(configuration, None, "--flush-only"))

    assert setting(configuration, "flush_service_name") == "etrnd"
    for name in ("relay_domains", "transport_maps"):
        assert setting(configuration, name) == SETTINGS[name]
    assert files_of(configuration)["master.cf"] == before["master.cf"]


def test_a_list_of_readable_maps_of_the_operators_own_gets_ours(copy):
    configuration, state = copy
    with open(configuration / "main.cf", "a") as file:
        file.write("proxy_read_maps = $alias_maps, $transport_maps\n")

    did(run_setup(configuration, state))

    assert setting(configuration, "proxy_read_maps") == (
        "$alias_maps, $transport_maps, proxy:sqlite:$config_directory/etrnd/relay_domains.cf, "
        "proxy:sqlite:$config_directory/etrnd/draining.cf")


def spoil_state(configuration, state):
    os.chown(state, 0, 0)


def open_state(configuration, state):
    state.chmod(0o755)


def remove_database(configuration, state):
    (state / "etrnd.db").unlink()


def empty_database(configuration, state):
    (state / "etrnd.db").write_bytes(b"")


def chroot_proxymap(configuration, state):
    edit(configuration / "master.cf", "proxymap unix - - n", "proxymap unix - - y")


def privileged_proxymap(configuration, state):
    edit(configuration / "master.cf", "proxymap unix - - n", "proxymap unix - n n")


def no_relay(configuration, state):
    edit(configuration / "master.cf", "relay unix", "#relay unix")


def their_transport(configuration, state):
    edit(configuration / "master.cf", "relay unix", "etrn-only unix - - n - - error\nrelay unix")


def no_master_cf(configuration, state):
    (configuration / "master.cf").unlink()


def databases(state) -> list[tuple[str, int]]:
    """What a reader in write-ahead mode makes and removes is not counted."""
    return [(path.name, path.stat().st_uid) for path in state.glob("*.db")]


def edit(path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (spoil_state, "must belong to postfix"),
        (open_state, "its mode must be 0700"),
        (remove_database, "start etrnd first"),
        (empty_database, "no such table: relay_domains"),
        (chroot_proxymap, "proxymap is chrooted"),
        (privileged_proxymap, "proxymap runs as root"),
        (no_relay, "no service relay/unix"),
        (their_transport, "a service etrn-only of its own"),
        (no_master_cf, "master.cf is not there"),
    ],
)
def test_what_is_missing_is_told_and_nothing_is_changed(copy, spoil, reason):
    configuration, state = copy
    # A state directory of its own to spoil, where its user finds it.
    own = configuration.parent / f"{configuration.name}-state"
    shutil.copytree(state, own, ignore=lambda folder, names: [name for name in names if not name.startswith("etrnd.db")])
    for path in (own, *own.iterdir()):
        shutil.chown(path, "postfix", "postfix")
    own.chmod(0o700)
    spoil(configuration, own)
    before, files = files_of(configuration), databases(own)

    for options in ([], ["--dry-run"]):
        refused = run_setup(configuration, own, *options)

        assert refused.returncode == 78, refused
        assert reason in refused.stderr, refused.stderr
        assert files_of(configuration) == before
        assert databases(own) == files, "it makes no database, as root least of all"


@pytest.mark.parametrize(
    "change, reason", [("s/^mail_version = .*/mail_version = 3.5.25/", "speaks the flush protocol of 3.6"), ("/^sqlite$/d", "postfix-sqlite")])
def test_a_postfix_that_cannot_be_served_is_refused(copy, monkeypatch, change, reason):
    configuration, state = copy
    before = files_of(configuration)
    programs = configuration / "programs"
    programs.mkdir()
    fake = programs / "postconf"
    fake.write_text(f"#!/bin/sh\n{shutil.which('postconf')} \"$@\" | sed '{change}'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    refused = run_setup(configuration, state)

    assert refused.returncode == 78 and reason in refused.stderr, refused
    shutil.rmtree(programs)
    assert files_of(configuration) == before


def test_help_and_wrong_options(copy):
    configuration, state = copy

    assert "--undo" in did(run_setup(configuration, None, "--help"))
    assert run_setup(configuration, None, "--state-directory", "relative").returncode == 2
    assert run_setup(configuration / "nosuch", state).returncode == 78


def test_there_and_back_on_a_postfix_that_runs(both, make_sink):
    postfix, etrnd = both
    sink = make_sink().start()
    before = files_of(postfix.configuration)
    etrnd.relay("customer.example", sink.next_hop, delivery="normal")

    def switched(*options) -> None:
        mark = postfix.log.mark()
        assert "Postfix has been reloaded" in did(run_setup(postfix.configuration, etrnd.state, *options))
        wait_until(lambda: any("reload -- version" in line for line in postfix.log.since(mark)), 30, "the reload")

    # No reload, no change: what runs has read its main.cf before.
    assert not is_taken(postfix.port, "u1@customer.example")
    switched()
    assert is_taken(postfix.port, "u2@customer.example") and is_taken(postfix.port, f"u2@{FIXED}")
    assert postfix.etrn("customer.example")[0] == 250
    assert etrnd.get("/flushes", limit=1).json()["flushes"][0]["domain"] == "customer.example", "smtpd has asked us"
    switched("--undo")

    assert files_of(postfix.configuration) == before
    assert not is_taken(postfix.port, "u3@customer.example") and is_taken(postfix.port, f"u3@{FIXED}")
    assert postfix.etrn("customer.example")[0] == 459, "not one of flush(8)'s domains"
    # flush(8) answers again: we are not asked any more.
    assert postfix.etrn(FIXED)[0] == 250
    assert etrnd.get("/flushes", domain=FIXED).json()["flushes"] == []
