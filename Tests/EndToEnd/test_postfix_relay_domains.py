"""Relay domains of the API in a real Postfix: what it takes, and where it goes, without a reload."""
import itertools
import os
import stat

import pytest

import postfix_instance
from daemon_process import wait_until
from expectations import finished
from postfix_instance import PostfixDaemon, PostfixInstance
from postfix_setup import FIXED, UNTOUCHED, did, is_taken, run_setup

numbers = itertools.count(1)
CHROOTED = ("smtp", "relay", "rewrite")


class Provider:
    """A Postfix, its etrnd, and the setup between them."""

    def __init__(self, postfix: PostfixInstance, etrnd: PostfixDaemon) -> None:
        self.postfix = postfix
        self.etrnd = etrnd
        self.mark = postfix.log.mark()

    def domain(self) -> str:
        """A name that nobody has asked for yet."""
        return f"customer{next(numbers)}.example"

    def takes(self, domain: str) -> bool:
        return is_taken(self.postfix.port, f"u{next(numbers)}@{domain}")

    def logged(self, text: str) -> int:
        return sum(text in line for line in self.postfix.log.since(self.mark))

    def queue_run(self, ids: set[str]) -> None:
        """Postfix's own: a queue manager looks through deferred when it starts, and takes up what is due."""
        for queue_id in ids:
            os.utime(self.postfix.path(queue_id))
        self.postfix.reload()

    def state(self, domain: str, **changed) -> None:
        now = self.etrnd.get(f"/relay-domains/{domain}").json()
        self.etrnd.relay(domain, now["next_hop"], delivery=now["delivery"], **changed)


@pytest.fixture(scope="module", params=["plain", "chrooted"])
def both(request, program):
    if why := postfix_instance.obstacle():
        pytest.skip(why)
    with PostfixInstance({}, **UNTOUCHED) as postfix:
        if request.param == "chrooted":
            services = [f"127.0.0.1:{postfix.port}/inet/chroot=y", *(f"{name}/unix/chroot=y" for name in CHROOTED)]
            assert postfix.run("postconf", "-F", *services).returncode == 0
        if "sqlite" not in postfix.run("postconf", "-m").stdout.split():
            pytest.skip("this Postfix has no sqlite tables: install the package postfix-sqlite to have these tests")
        etrnd = PostfixDaemon(program, postfix)
        try:
            etrnd.start()
            did(run_setup(postfix.configuration, etrnd.state))
            wait_until(lambda: any("reload -- version" in line for line in postfix.log.since()), 30, "the reload by setup")
            yield postfix, etrnd
        finally:
            etrnd.kill()


@pytest.fixture
def provider(both, request) -> Provider:
    postfix, etrnd = both
    if not etrnd.is_running:
        etrnd.start()
    postfix.clear()
    provider = Provider(postfix, etrnd)
    yield provider
    if getattr(request.node, "failed", False):
        print("--- etrnd's log\n" + etrnd.log_tail(60))
        print("--- Postfix's log\n" + "\n".join(postfix.log.since(provider.mark)[-80:]))


def test_an_edit_takes_effect_in_the_next_session(provider, sink):
    domain = provider.domain()
    assert not provider.takes(domain)

    provider.etrnd.relay(domain, sink.next_hop)
    assert provider.takes(domain)
    assert provider.takes(domain)

    assert provider.etrnd.delete(f"/relay-domains/{domain}").status == 204
    assert not provider.takes(domain)
    assert provider.takes(FIXED), "what main.cf had is still there"
    assert provider.logged("reload -- version") == 0


def test_a_new_next_hop_is_used_by_the_next_message(provider, make_sink):
    old, new = make_sink().start(), make_sink().start()
    domain = provider.domain()
    provider.etrnd.relay(domain, old.next_hop, delivery="normal")
    provider.postfix.send(f"first@{domain}")
    old.wait_for(lambda site: len(site.messages) == 1)

    provider.etrnd.relay(domain, new.next_hop, delivery="normal")
    provider.postfix.send(f"second@{domain}")

    new.wait_for(lambda site: len(site.messages) == 1)
    assert len(old.snapshot()) == 1


def test_a_subdomain_is_taken_and_goes_the_same_way(provider, sink):
    domain = provider.domain()
    provider.etrnd.relay(domain, sink.next_hop, delivery="normal")
    sink.start()

    assert provider.takes(f"deep.below.{domain}")
    assert not provider.takes(f"not{domain}"), "a name that only ends alike"
    provider.postfix.send(f"u@{domain}", f"u@below.{domain}", f"u@deep.below.{domain}")

    wanted = {f"u@{domain}", f"u@below.{domain}", f"u@deep.below.{domain}"}
    sink.wait_for(lambda site: {address for message in site.messages for address in message.recipients} == wanted)
    wait_until(lambda: not provider.postfix.ids(), 30, "an empty queue")


def test_the_nearest_relay_domain_is_the_one_that_counts(provider, make_sink):
    parent, child = make_sink().start(), make_sink().start()
    domain = provider.domain()
    provider.etrnd.relay(domain, parent.next_hop, delivery="normal")
    provider.etrnd.relay(f"branch.{domain}", child.next_hop, delivery="normal")

    provider.postfix.send(f"u@{domain}", f"u@branch.{domain}", f"u@desk.branch.{domain}")

    parent.wait_for(lambda site: [message.recipients for message in site.messages] == [[f"u@{domain}"]])
    wanted = {f"u@branch.{domain}", f"u@desk.branch.{domain}"}
    child.wait_for(lambda site: {address for message in site.messages for address in message.recipients} == wanted)


def test_draining_takes_no_new_mail_and_lets_out_what_is_queued(provider, sink):
    domain = provider.domain()
    provider.etrnd.relay(domain, sink.next_hop, delivery="normal")
    ids = set(provider.postfix.send_all([[f"u@{domain}"], [f"u@below.{domain}"]]))
    provider.postfix.wait_deferred(ids)
    wait_until(lambda: provider.etrnd.waiting(domain) == 1, 30, "the deferral to be recorded")

    provider.state(domain, state="draining")
    assert not provider.takes(domain)
    assert not provider.takes(f"below.{domain}")
    # Long after: nothing that Postfix remembers from before helps.
    provider.postfix.reload()
    assert not provider.takes(domain)
    sink.start()
    finished(provider.etrnd.flush(domain, subdomains="true"), delivered=2)

    sink.wait_for(lambda site: len(site.messages) == 2)
    assert provider.postfix.ids() == set()
    provider.state(domain, state="active")
    assert provider.takes(domain)


@pytest.fixture
def trusting(both):
    """Clients on loopback may relay anywhere, as is usual."""
    postfix, _ = both
    before = postfix.run("postconf", "-h", "smtpd_relay_restrictions").stdout.strip()

    def change(value: str) -> None:
        assert postfix.run("postconf", "-e", f"smtpd_relay_restrictions = {value}").returncode == 0
        postfix.reload()

    change(f"permit_mynetworks, {before}")
    yield
    change(before)


def test_draining_refuses_who_may_relay_anywhere_too(provider, sink, trusting):
    domain = provider.domain()
    provider.etrnd.relay(domain, sink.next_hop)
    assert provider.takes(provider.domain()), "whatever it is"

    provider.state(domain, state="draining")

    assert not provider.takes(domain)
    assert not provider.takes(f"below.{domain}")
    assert provider.takes(f"not{domain}")


@pytest.mark.parametrize("nearest", ["active", "draining"])
def test_the_nearest_relay_domain_says_whether_mail_is_taken(provider, sink, nearest):
    domain = provider.domain()
    provider.etrnd.relay(domain, sink.next_hop, state="draining" if nearest == "active" else "active")
    provider.etrnd.relay(f"branch.{domain}", sink.next_hop, state=nearest)

    for below, state in (("", nearest != "active"), ("other.", nearest != "active"), ("branch.", nearest == "active"), ("desk.branch.", nearest == "active")):
        assert provider.takes(f"{below}{domain}") == state, below


def test_etrn_only_waits_for_etrn_though_the_site_is_up(provider, sink):
    domain = provider.domain()
    provider.etrnd.relay(domain, sink.next_hop, delivery="etrn-only")
    sink.start()
    ids = set(provider.postfix.send_all([[f"u{n}@{domain}"] for n in range(30)]))
    provider.postfix.wait_deferred(ids)
    wait_until(lambda: provider.etrnd.recorded(domain) == ids, 30, "all to be recorded")
    provider.queue_run(ids)
    wait_until(lambda: provider.logged("(deferred transport)") >= 2 * len(ids), 30, "a second time not to be tried")
    provider.postfix.settle()
    assert provider.postfix.ids("deferred") == ids
    assert sink.connections == 0

    code, text = provider.postfix.etrn(domain)

    assert code == 250, text
    sink.wait_for(lambda site: len(site.messages) == len(ids))
    finished(provider.etrnd.newest_flush(), delivered=30)
    assert provider.postfix.ids() == set()


def test_etrn_only_mail_comes_back_when_the_site_is_down(provider, sink):
    domain = provider.domain()
    provider.etrnd.relay(domain, sink.next_hop, delivery="etrn-only")
    ids = set(provider.postfix.send_all([[f"u{n}@{domain}"] for n in range(3)]))
    provider.postfix.wait_deferred(ids)

    finished(provider.etrnd.flush(domain), deferred_again=3)

    assert provider.etrnd.recorded(domain) == ids
    assert all("refused" in row["reason"] for row in provider.etrnd.messages(domain))
    sink.start()
    finished(provider.etrnd.flush(domain), delivered=3)


def test_changed_to_normal_the_next_attempt_needs_nobody_to_ask(provider, sink):
    domain = provider.domain()
    provider.etrnd.relay(domain, sink.next_hop, delivery="etrn-only")
    sink.start()
    waiting = provider.postfix.send(f"u@{domain}")
    provider.postfix.wait_deferred({waiting})

    provider.etrnd.relay(domain, sink.next_hop, delivery="normal")
    provider.queue_run({waiting})

    sink.wait_for(lambda site: len(site.messages) == 1)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_mail_is_taken_and_routed_while_we_are_not_there(provider, sink, end):
    postfix, etrnd, domain = provider.postfix, provider.etrnd, provider.domain()
    etrnd.relay(domain, sink.next_hop, delivery="normal")
    sink.start()

    assert etrnd.stop() == 0 if end == "stop" else etrnd.kill() is None
    # New processes, which have to open the database anew.
    postfix.reload()
    assert provider.takes(domain)
    assert not provider.takes(provider.domain())
    postfix.send(f"u@{domain}")
    sink.wait_for(lambda site: len(site.messages) == 1)

    etrnd.start()
    later = provider.domain()
    etrnd.relay(later, sink.next_hop)
    assert provider.takes(later) and provider.takes(domain)
    for path in etrnd.state.glob("etrnd.db*"):
        status = path.stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (postfix.owner.pw_uid, 0o600), path
    warnings = [line for line in postfix.log.since(provider.mark) if "sqlite" in line.lower() or "fatal:" in line or "panic:" in line]
    assert warnings == []


def given_to_root(daemon: PostfixDaemon) -> None:
    os.chown(daemon.state, 0, 0)


def opened(daemon: PostfixDaemon) -> None:
    daemon.state.chmod(0o755)


def run_as_root(daemon: PostfixDaemon) -> None:
    daemon.wrapper = []


@pytest.mark.parametrize(
    "wrong, code, reason",
    [
        (given_to_root, 74, "must belong to user postfix"),
        (opened, 74, "closed to others"),
        (run_as_root, 78, "must run as user postfix"),
    ],
)
def test_a_database_that_postfix_could_not_read_is_refused_at_start(provider, program, wrong, code, reason):
    daemon = PostfixDaemon(program, provider.postfix)
    wrong(daemon)

    with pytest.raises(RuntimeError, match=rf"ended at start with {code}:[^$]*{reason}"):
        daemon.start()

    assert list(daemon.state.iterdir()) == []


def test_many_edits_and_many_questions_at_once(provider, sink):
    """Postfix's SQLite has no patience: a reader that meets a lock fails, and mail stops."""
    domain = provider.domain()
    provider.etrnd.relay(domain, sink.next_hop)

    for n in range(90):
        if n % 3 == 0:
            provider.etrnd.relay(f"n{n}.{provider.domain()}", sink.next_hop)
        if n == 45:
            provider.etrnd.kill()
            provider.etrnd.start()
        assert provider.takes(domain)

    assert provider.logged("fatal:") == 0


def test_an_ipv6_next_hop_and_one_that_is_looked_up_are_written_as_postfix_wants_them(provider):
    postfix = provider.postfix
    for next_hop, wanted in {"[IPv6:2001:db8::1]:26": "relay:[IPv6:2001:db8::1]:26", "mx.customer.example": "relay:mx.customer.example:25"}.items():
        domain = provider.domain()
        provider.etrnd.relay(domain, next_hop, delivery="normal")
        found = postfix.run("postmap", "-q", f".{domain}", f"proxy:sqlite:{postfix.configuration}/etrnd/transport.cf")
        assert found.stdout.strip() == wanted, found
