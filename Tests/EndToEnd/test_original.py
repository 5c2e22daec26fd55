"""The original's three tests (the how-to of Postfix's fast ETRN service), asked over HTTP and over SMTP of the built daemon."""
import pytest

from daemon_process import wait_until
from expectations import finished
from peers import etrn, index_is_complete

CUSTOMER, OTHER, STRANGER = "some.customer.domain", "other.customer.domain", "not.ours.example"


@pytest.fixture
def sites(make_sink):
    return make_sink(), make_sink()


def with_mail(daemon, sites, customer=3, other=2):
    """Two customers that wait to be asked for, with mail, their sites down."""
    for domain, site, count in zip((CUSTOMER, OTHER), sites, (customer, other)):
        daemon.relay(domain, site.next_hop)
        for n in range(count):
            daemon.send(f"user{n}@{domain}", test_id=f"{domain}-{n}")
        wait_until(lambda: daemon.waiting(domain) == count, 10, f"{count} messages recorded for {domain}")
    return daemon


def received(site) -> list[str]:
    return sorted(message.header("X-Test-ID") for message in site.snapshot())


# Test 1.


def test_a_domain_with_mail_gets_exactly_its_messages(daemon, sites):
    with_mail(daemon, sites)
    for site in sites:
        site.start()

    flush = daemon.flush(CUSTOMER)

    assert flush["mode"] == "fast" and flush["matched"] == 3
    finished(flush, delivered=3)
    assert received(sites[0]) == [f"{CUSTOMER}-{n}" for n in range(3)]
    assert sites[1].connections == 0
    assert daemon.waiting(CUSTOMER) == 0 and daemon.waiting(OTHER) == 2


def test_when_the_site_cannot_be_reached_its_ids_are_in_the_record_again(daemon, sites):
    with_mail(daemon, sites)
    before = {row["queue_id"] for row in daemon.messages(CUSTOMER)}

    flush = finished(daemon.flush(CUSTOMER), deferred_again=3)

    assert "refused" in flush["last_reason"], flush
    rows = daemon.messages(CUSTOMER)
    assert {row["queue_id"] for row in rows} == before and len(rows) == 3
    assert all("refused" in row["reason"] for row in rows), rows
    log = daemon.state / "flush" / CUSTOMER
    wait_until(lambda: log.exists() and set(log.read_text().split()) == before, 10, f"the three IDs in {log.name}")


# Test 2.


def test_a_relay_domain_without_mail_causes_no_attempt_at_all(daemon, sites):
    with_mail(daemon, sites, customer=0)
    for site in sites:
        site.start()

    answer = daemon.post(f"/etrn/{CUSTOMER}")

    assert answer.status == 200, answer
    finished(answer.json())
    assert answer.json()["mode"] == "fast" and answer.json()["matched"] == 0
    # A later flush has come and gone: had the first one tried something, it would have been seen by then.
    finished(daemon.flush(OTHER), delivered=2)
    assert sites[0].connections == 0
    assert len(sites[1].snapshot()) == 2


# Test 3.


def test_a_domain_outside_the_list_causes_an_attempt_at_everything(daemon, sites):
    with_mail(daemon, sites)
    for site in sites:
        site.start()

    flush = daemon.flush(STRANGER)

    assert flush["mode"] == "slow" and flush["domain"] == STRANGER
    finished(flush, delivered=5)
    assert len(received(sites[0])) == 3 and len(received(sites[1])) == 2


def test_everything_is_tried_although_a_site_was_found_dead_a_moment_ago(make_daemon, sites):
    daemon = make_daemon(slow_flush_interval="0s")
    with_mail(daemon, sites)
    finished(daemon.flush(STRANGER), deferred_again=5)
    for site in sites:
        site.start()

    flush = daemon.flush(STRANGER)

    finished(flush, delivered=5)
    assert len(received(sites[0])) == 3 and len(received(sites[1])) == 2


def test_with_an_empty_list_every_etrn_is_a_slow_one(make_daemon, sites):
    daemon = with_mail(make_daemon(fast_flush_domains=""), sites)
    for site in sites:
        site.start()

    flush = daemon.flush(CUSTOMER)

    assert flush["mode"] == "slow"
    finished(flush, delivered=5)
    assert len(received(sites[0])) == 3 and len(received(sites[1])) == 2


# The same three as the how-to has them: ETRN over SMTP.


def asked_over_smtp(daemon, domain: str, reply: str) -> dict:
    """The flush that an ETRN has started, when it has ended."""
    wait_until(lambda: index_is_complete(daemon), 10, "the first scan")
    assert etrn(daemon.smtp, domain) == reply
    flush = daemon.get("/flushes").json()["flushes"][0]
    assert flush["domain"] == domain and flush["via"] == "smtp", flush
    return daemon.get(f"/flushes/{flush['id']}", wait=30).json()


def test_an_etrn_for_a_domain_with_mail_gets_exactly_its_messages(daemon, sites):
    with_mail(daemon, sites)
    before = {row["queue_id"] for row in daemon.messages(CUSTOMER)}
    started = f"253 OK, 3 pending messages for node {CUSTOMER} started"
    failed = asked_over_smtp(daemon, CUSTOMER, started)
    finished(failed, deferred_again=3)
    assert {row["queue_id"] for row in daemon.messages(CUSTOMER)} == before
    for site in sites:
        site.start()

    flush = asked_over_smtp(daemon, CUSTOMER, started)

    assert flush["mode"] == "fast" and flush["id"] != failed["id"]
    finished(flush, delivered=3)
    assert received(sites[0]) == [f"{CUSTOMER}-{n}" for n in range(3)]
    assert sites[1].connections == 0
    assert daemon.waiting(CUSTOMER) == 0 and daemon.waiting(OTHER) == 2


def test_an_etrn_for_a_relay_domain_without_mail_causes_no_attempt_at_all(daemon, sites):
    with_mail(daemon, sites, customer=0)
    for site in sites:
        site.start()

    flush = asked_over_smtp(daemon, CUSTOMER, f"251 OK, no messages waiting for node {CUSTOMER}")

    finished(flush)
    assert flush["mode"] == "fast" and flush["matched"] == 0
    finished(daemon.flush(OTHER), delivered=2)
    assert sites[0].connections == 0
    assert len(sites[1].snapshot()) == 2


def test_an_etrn_for_a_domain_outside_the_list_causes_an_attempt_at_everything(daemon, sites):
    with_mail(daemon, sites)
    for site in sites:
        site.start()

    flush = asked_over_smtp(daemon, STRANGER, f"250 OK, queuing for node {STRANGER} started")

    assert flush["mode"] == "slow"
    finished(flush, delivered=5)
    assert len(received(sites[0])) == 3 and len(received(sites[1])) == 2


# Who is eligible.


def test_a_domain_can_be_added_to_the_relay_domains(make_daemon, sites):
    daemon = with_mail(make_daemon(fast_flush_domains="$relay_domains, some.other.domain"), sites)
    for site in sites:
        site.start()

    added = daemon.flush("some.other.domain")
    assert added["mode"] == "fast"
    finished(added)
    assert daemon.flush(CUSTOMER)["mode"] == "fast"
    assert sites[1].connections == 0

    parameters = {row["name"]: row for row in daemon.get("/policy").json()["parameters"]}
    assert parameters["fast_flush_domains"]["value"] == "store:, some.other.domain"
    assert "etrnd.cf:" in parameters["fast_flush_domains"]["source"]
    assert parameters["relay_domains"]["source"] == "default"


def test_slow_flush_can_be_refused_instead(make_daemon, sites):
    daemon = with_mail(make_daemon(slow_flush="reject"), sites)
    for site in sites:
        site.start()

    answer = daemon.post(f"/etrn/{STRANGER}")

    assert answer.status == 403 and "fast_flush_domains" in answer.json()["detail"], answer
    finished(daemon.flush(CUSTOMER), delivered=3)
    assert sites[1].connections == 0


def test_a_second_slow_flush_within_the_interval_is_scheduled(daemon, sites):
    with_mail(daemon, sites)
    finished(daemon.flush(STRANGER), deferred_again=5)

    answer = daemon.post(f"/etrn/{STRANGER}")

    assert answer.status == 202, answer
    flush = answer.json()
    assert flush["state"] == "running" and flush["scheduled_at"] is not None, flush
    cancelled = daemon.delete(f"/flushes/{flush['id']}")
    assert cancelled.status == 200 and cancelled.json()["state"] == "cancelled", cancelled
    assert daemon.waiting(CUSTOMER) == 3
