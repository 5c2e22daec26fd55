"""Asking again, and what a restart keeps."""
import contextlib
import sqlite3
import threading

from daemon_process import wait_until
from expectations import adds_up, finished

DOMAIN = "customer.example"


def with_mail(daemon, sink, count=3):
    daemon.relay(DOMAIN, sink.next_hop)
    for n in range(count):
        daemon.send(f"user@{DOMAIN}", test_id=str(n))
    wait_until(lambda: daemon.waiting(DOMAIN) == count, 10, f"{count} messages recorded")
    return daemon


def is_stored(daemon, flush_id: str) -> bool:
    """The history is written behind the answers, so only the database tells."""
    with contextlib.closing(sqlite3.connect(f"file:{daemon.state}/etrnd.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM flushes WHERE id = ?", [flush_id]).fetchone()[0] == 1


def test_asking_again_right_after_a_failed_attempt_tries_again(daemon, sink):
    with_mail(daemon, sink)
    first = finished(daemon.flush(DOMAIN), deferred_again=3)

    sink.start()
    second = finished(daemon.flush(DOMAIN), delivered=3)

    assert second["id"] != first["id"] and not second["coalesced"]
    assert len(sink.snapshot()) == 3


def test_asking_many_times_for_a_dead_site_is_tried_every_time(daemon, sink):
    with_mail(daemon, sink, count=1)
    ids = [finished(daemon.flush(DOMAIN), deferred_again=1)["id"] for _ in range(5)]
    assert len(set(ids)) == 5 and ids == sorted(ids)
    listed = [flush["id"] for flush in daemon.get("/flushes", domain=DOMAIN).json()["flushes"]]
    assert listed == ids[::-1]


def test_a_second_request_joins_the_running_flush(daemon, sink):
    with_mail(daemon, sink, count=1)
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    first = daemon.post(f"/etrn/{DOMAIN}").json()
    sink.wait_for(lambda site: site.attempts, what="the first attempt")

    second = daemon.post(f"/etrn/{DOMAIN}").json()
    assert second["id"] == first["id"] and second["coalesced"] and not first["coalesced"]

    sink.behaviour.hold_end.set()
    ended = daemon.get(f"/flushes/{first['id']}", wait=30).json()
    finished(ended, delivered=1)
    assert len(sink.snapshot()) == 1


def test_mail_that_came_during_a_flush_gets_a_flush_of_its_own(daemon, sink):
    with_mail(daemon, sink, count=1)
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    first = daemon.post(f"/etrn/{DOMAIN}").json()
    sink.wait_for(lambda site: site.attempts, what="the first attempt")
    daemon.send(f"late@{DOMAIN}", test_id="late")
    wait_until(lambda: daemon.get(f"/domains/{DOMAIN}").json()["messages"] >= 1, 10, "the late message")

    second = daemon.post(f"/etrn/{DOMAIN}").json()
    assert second["id"] != first["id"], (first, second)

    sink.behaviour.hold_end.set()
    sink.wait_for(lambda site: len(site.messages) == 2)
    for flush in (first, second):
        adds_up(daemon.get(f"/flushes/{flush['id']}", wait=30).json())
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 10, "an empty record")
    assert len(sink.snapshot()) == 2


def test_cancelling_leaves_what_is_not_released(make_daemon, sink):
    daemon = make_daemon(flush_probe_messages=1)
    with_mail(daemon, sink, count=10)
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    flush = daemon.post(f"/etrn/{DOMAIN}").json()
    sink.wait_for(lambda site: site.attempts, what="the probe")

    cancelled = daemon.delete(f"/flushes/{flush['id']}")

    assert cancelled.status == 200 and cancelled.json()["state"] == "cancelled", cancelled
    sink.behaviour.hold_end.set()
    wait_until(lambda: daemon.waiting(DOMAIN) == 9, 10, "nine messages left")
    assert len(sink.snapshot()) == 1
    assert adds_up(daemon.get(f"/flushes/{flush['id']}").json())["unreleased"] == 9


def test_a_restart_keeps_relay_domains_records_and_history(daemon, sink):
    with_mail(daemon, sink)
    failed = finished(daemon.flush(DOMAIN), deferred_again=3)
    relay = daemon.get(f"/relay-domains/{DOMAIN}")
    rows = daemon.messages(DOMAIN)

    assert daemon.stop() == 0
    daemon.start()

    again = daemon.get(f"/relay-domains/{DOMAIN}")
    assert again.json() == relay.json() and again.headers["ETag"] == relay.headers["ETag"]
    kept = daemon.get(f"/flushes/{failed['id']}")
    assert kept.status == 200 and kept.json() == failed | {"coalesced": False}, kept
    wait_until(lambda: daemon.waiting(DOMAIN) == 3, 10, "the three messages")
    assert [row["queue_id"] for row in daemon.messages(DOMAIN)] == [row["queue_id"] for row in rows]
    assert all("refused" in row["reason"] for row in daemon.messages(DOMAIN))
    assert daemon.get(f"/domains/{DOMAIN}").json()["last_flush"]["id"] == failed["id"]
    sink.start()
    finished(daemon.flush(DOMAIN), delivered=3)


def test_a_flush_that_ran_at_a_kill_is_interrupted(daemon, sink):
    with_mail(daemon, sink, count=2)
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    flush = daemon.post(f"/etrn/{DOMAIN}").json()
    sink.wait_for(lambda site: site.attempts, what="the first attempt")
    wait_until(lambda: is_stored(daemon, flush["id"]), 10, "the flush in the history on disk")

    daemon.kill()
    sink.behaviour.hold_end.set()
    daemon.start()

    kept = daemon.get(f"/flushes/{flush['id']}")
    assert kept.status == 200 and kept.json()["state"] == "interrupted" and kept.json()["finished_at"], kept
    adds_up(kept.json())
    adds_up(daemon.flush(DOMAIN))
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 30, "an empty record")
    assert {message.header("X-Test-ID") for message in sink.snapshot()} == {"0", "1"}


def test_a_request_right_after_a_start_misses_nothing(daemon, sink):
    with_mail(daemon, sink, count=100)
    for stop in (daemon.kill, daemon.stop, daemon.kill, daemon.stop, daemon.kill):
        stop()
        daemon.start()
        assert daemon.post(f"/etrn/{DOMAIN}", dry_run="true").json()["matched"] == 100
    daemon.kill()
    sink.start()
    daemon.start()
    finished(daemon.flush(DOMAIN), delivered=100)


def test_unreachable_mail_of_a_normal_domain_waits_with_its_reason_and_a_time(make_daemon, sink):
    daemon = make_daemon(minimal_backoff_time="300s")
    daemon.relay(DOMAIN, sink.next_hop, delivery="normal")
    daemon.send(f"user@{DOMAIN}")

    rows = wait_until(lambda: [row for row in daemon.messages(DOMAIN) if row["reason"] and row["place"] == "deferred"], 20, "a deferred message")

    assert rows[0]["place"] == "deferred" and "refused" in rows[0]["reason"] and rows[0]["next_attempt"], rows
    message = daemon.get(f"/messages/{rows[0]['queue_id']}").json()
    assert [note["result"] for note in message["history"]] == ["deferred"], message
    sink.start()
    finished(daemon.flush(DOMAIN), delivered=1)


def test_back_off_brings_it_without_being_asked(make_daemon, sink):
    daemon = make_daemon(minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s")
    daemon.relay(DOMAIN, sink.next_hop, delivery="normal")
    daemon.send(f"user@{DOMAIN}")
    wait_until(lambda: [row for row in daemon.messages(DOMAIN) if row["reason"] and row["place"] == "deferred"], 20, "a deferred message")

    sink.start()

    sink.wait_for(lambda site: len(site.messages) == 1, 30)
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 10, "an empty record")
