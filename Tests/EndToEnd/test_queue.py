"""The queue as an operator sees it: records, log files, pages, files moved by hand, one slow site beside others."""
import threading
import time

import pytest

from daemon_process import wait_until
from expectations import adds_up, finished, problem
from peers import files_in_spool, messages_on_disk

DOMAIN, OTHER = "customer.example", "other.example"


def with_mail(daemon, sink, count=1, domain=DOMAIN, **more):
    daemon.relay(domain, sink.next_hop, **more)
    for n in range(count):
        daemon.send(f"user{n}@{domain}", test_id=str(n))
    wait_until(lambda: daemon.waiting(domain) == count, 20, f"{count} messages recorded")
    return [row["queue_id"] for row in daemon.messages(domain)]


def in_folder(daemon, folder: str) -> list[str]:
    return sorted(path.name for path in (daemon.state / "spool" / folder).rglob("*") if path.is_file())


def move(daemon, queue_id: str, source: str, target: str) -> None:
    """What an operator does by hand; the file's place below its folder stays."""
    spool = daemon.state / "spool"
    (path,) = (spool / source).rglob(queue_id)
    new = spool / target / path.relative_to(spool / source)
    new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.rename(new)


# Records.


def test_a_log_file_per_destination_is_there_to_be_read(daemon, sink):
    names = ["a-b.example", "a.b.example", "xn--bcher-kva.example"]
    ids = {name: with_mail(daemon, sink, count=2, domain=name) for name in names}
    flush = daemon.state / "flush"

    for name in names:
        wait_until(lambda: (flush / name).exists() and (flush / name).read_text().split() == sorted(ids[name]), 10, f"the IDs in {name}")
        assert (flush / name).read_text() == "".join(f"{queue_id}\n" for queue_id in ids[name])

    daemon.kill()
    daemon.start()
    sink.start()
    finished(daemon.flush(names[0]), delivered=2)

    def is_empty(name) -> bool:
        return not (flush / name).exists() or not (flush / name).read_text().split()

    # Stale lines may stay for a while (a file is rewritten when half of it is stale), but never for a domain without mail after a stop.
    assert daemon.stop() == 0
    assert {name for name in names if not is_empty(name)} == set(names[1:]), sorted(flush.iterdir())


def test_the_messages_of_a_domain_come_page_by_page(daemon, sink):
    ids = with_mail(daemon, sink, count=23)
    assert len(set(ids)) == 23
    seen, query, pages = [], {"limit": 5}, 0
    while True:
        answer = daemon.get(f"/domains/{DOMAIN}/messages", **query)
        page = answer.json()
        pages += 1
        assert len(page["messages"]) <= 5
        seen += [row["queue_id"] for row in page["messages"]]
        assert ("Link" in answer.headers) == (page["next_cursor"] is not None)
        if pages == 2:
            # What leaves and what comes between two pages disturbs neither the order nor the others.
            assert daemon.delete(f"/messages/{seen[0]}").status == 204
            daemon.send(f"new@{DOMAIN}")
            wait_until(lambda: daemon.waiting(DOMAIN) == 23, 10, "the new message's record")
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert len(seen) == len(set(seen)) and set(seen) >= set(ids), (seen, ids)
    assert pages in (5, 6)
    problem(daemon.get(f"/domains/{DOMAIN}/messages", cursor="!"), 400, "query:cursor")
    problem(daemon.get("/domains/nowhere.example/messages"), 404)


def test_a_domain_tells_what_waits_and_how_old_it_is(daemon, sink):
    with_mail(daemon, sink, count=3)
    domain = daemon.get(f"/domains/{DOMAIN}").json()
    assert domain["messages"] == 3 and domain["bytes"] > 300 and domain["age_buckets"]["5m"] == 3
    assert sum(domain["age_buckets"].values()) == 3
    rows = daemon.messages(DOMAIN)
    # The index keeps whole seconds.
    assert domain["oldest_arrival"][:19] == min(row["arrival"] for row in rows)[:19]
    assert domain["bytes"] == sum(row["size"] for row in rows)
    daemon.flush(DOMAIN)
    domain = daemon.get(f"/domains/{DOMAIN}").json()
    assert "refused" in domain["last_reason"] and domain["last_flush"]["state"] == "finished", domain


# By hand.


def test_a_message_on_hold_is_counted_as_held_and_stays(daemon, sink):
    ids = with_mail(daemon, sink, count=3)
    sink.start()
    move(daemon, ids[1], "deferred", "hold")

    finished(daemon.flush(DOMAIN), delivered=2, held=1)

    assert daemon.waiting(DOMAIN) == 1 and daemon.messages(DOMAIN)[0]["place"] == "held"
    assert len(sink.snapshot()) == 2
    daemon.kill()
    daemon.start()
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the held message's record")
    finished(daemon.flush(DOMAIN), held=1)
    move(daemon, ids[1], "hold", "deferred")
    finished(daemon.flush(DOMAIN), delivered=1)
    assert files_in_spool(daemon) == []


def test_a_message_that_was_removed_by_hand_is_counted_as_vanished(daemon, sink):
    ids = with_mail(daemon, sink, count=3)
    sink.start()
    (path,) = (daemon.state / "spool/deferred").rglob(ids[0])
    path.unlink()

    finished(daemon.flush(DOMAIN), delivered=2, vanished=1)
    assert daemon.waiting(DOMAIN) == 0


def test_reconciling_finds_what_was_changed_by_hand(make_daemon, sink):
    daemon = make_daemon(reconcile_interval="1s")
    ids = with_mail(daemon, sink, count=3)
    (path,) = (daemon.state / "spool/deferred").rglob(ids[0])
    path.unlink()
    wait_until(lambda: daemon.waiting(DOMAIN) == 2, 20, "the record without it")
    assert daemon.get(f"/messages/{ids[0]}").status == 404


def test_a_damaged_file_is_set_aside_and_the_rest_goes_on(daemon, sink):
    ids = with_mail(daemon, sink, count=3)
    assert daemon.stop() == 0
    (path,) = (daemon.state / "spool/deferred").rglob(ids[1])
    path.write_bytes(b"not a message at all\n" + bytes(range(256)))
    daemon.start()
    sink.start()
    wait_until(lambda: daemon.waiting(DOMAIN) == 2, 10, "the two that are whole")
    finished(daemon.flush(DOMAIN), delivered=2)
    assert in_folder(daemon, "corrupt") == [ids[1]]
    assert any(ids[1] in line and "corrupt" in line for line in daemon.log)


def test_a_message_in_delivery_is_not_removed(daemon, sink):
    (queue_id,) = with_mail(daemon, sink)
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    daemon.post(f"/etrn/{DOMAIN}")
    sink.wait_for(lambda site: site.attempts, what="the attempt")
    problem(daemon.delete(f"/messages/{queue_id}"), 409)
    second = daemon.post(f"/messages/{queue_id}/flush").json()
    assert adds_up(second)["matched"] == 1
    sink.behaviour.hold_end.set()
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 10, "an empty record")
    assert len(sink.snapshot()) == 1
    for method, path in (("DELETE", ""), ("GET", ""), ("POST", "/flush")):
        problem(daemon.request(method, f"/messages/{queue_id}{path}"), 404)


# More than one site.


def test_the_whole_queue_can_be_flushed(daemon, make_sink):
    sites = make_sink(), make_sink()
    for domain, site in zip((DOMAIN, OTHER), sites):
        with_mail(daemon, site, count=2, domain=domain)
        site.start()

    answer = daemon.post("/queue/flush", wait=30, note="all of it")

    assert answer.status == 200, answer
    flush = finished(answer.json(), delivered=4)
    assert flush["domain"] is None and flush["queue_id"] is None and flush["note"] == "all of it"


def test_a_slow_site_does_not_hold_up_another(daemon, make_sink):
    slow, quick = make_sink(), make_sink()
    with_mail(daemon, slow, count=60)
    with_mail(daemon, quick, count=5, domain=OTHER)
    slow.behaviour.hold_greeting = threading.Event()
    slow.start()
    quick.start()
    stuck = daemon.post(f"/etrn/{DOMAIN}").json()
    # A site that has not answered yet gets a tenth of the slots.
    slow.wait_for(lambda site: site.connections >= 2, what="the slow site to be busy")

    began = time.monotonic()
    finished(daemon.flush(OTHER), delivered=5)
    assert time.monotonic() - began < 5

    slow.behaviour.hold_greeting.set()
    ended = daemon.get(f"/flushes/{stuck['id']}", wait=30).json()
    finished(ended, delivered=60)
    assert len(slow.snapshot()) == 60


def test_many_ask_at_once_and_all_get_the_same_flush(daemon, sink):
    with_mail(daemon, sink, count=3)
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    first = daemon.post(f"/etrn/{DOMAIN}").json()
    sink.wait_for(lambda site: site.attempts, what="the attempt")
    answers: list = []
    threads = [threading.Thread(target=lambda: answers.append(daemon.post(f"/etrn/{DOMAIN}", wait=30)), daemon=True) for _ in range(50)]
    for thread in threads:
        thread.start()
    wait_until(lambda: daemon.get("/status").json()["flushes_requested"] >= 51, 20, "fifty requests")
    sink.behaviour.hold_end.set()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 50
    for answer in answers:
        assert finished(answer.json(), delivered=3)["id"] == first["id"] and answer.json()["coalesced"]
    assert len(sink.snapshot()) == 3


def test_a_client_that_leaves_while_it_waits_changes_nothing(daemon, sink):
    with_mail(daemon, sink)
    sink.behaviour.hold_end = threading.Event()
    sink.start()
    with pytest.raises(TimeoutError):
        daemon.request("POST", f"/etrn/{DOMAIN}", {"wait": 30}, timeout=0.5)
    sink.behaviour.hold_end.set()
    flush = daemon.get("/flushes").json()["flushes"][0]
    finished(daemon.get(f"/flushes/{flush['id']}", wait=30).json(), delivered=1)


# Routes that change.


def test_mail_that_waited_to_be_asked_for_goes_when_its_domain_becomes_normal(daemon, sink):
    with_mail(daemon, sink, count=2)
    sink.start()
    daemon.relay(DOMAIN, sink.next_hop, delivery="normal")
    sink.wait_for(lambda site: len(site.messages) == 2)
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 10, "an empty record")


def test_a_new_next_hop_is_used_at_the_next_flush(daemon, make_sink):
    old, new = make_sink(), make_sink().start()
    with_mail(daemon, old, count=2)
    finished(daemon.flush(DOMAIN), deferred_again=2)
    daemon.relay(DOMAIN, new.next_hop)
    finished(daemon.flush(DOMAIN), delivered=2)
    assert len(new.snapshot()) == 2 and old.connections == 0


def test_mail_of_a_domain_that_was_removed_by_force_waits_with_the_reason(daemon, sink):
    with_mail(daemon, sink, count=2)
    sink.start()
    assert daemon.delete(f"/relay-domains/{DOMAIN}", force="true").status == 204
    assert daemon.get(f"/domains/{DOMAIN}").json()["state"] == "unlisted"

    flush = daemon.flush(DOMAIN)

    assert flush["mode"] == "slow"
    assert "no relay domain" in finished(flush, deferred_again=2)["last_reason"]
    assert sink.connections == 0 and len(messages_on_disk(daemon)) == 2
    daemon.relay(DOMAIN, sink.next_hop)
    finished(daemon.flush(DOMAIN), delivered=2)


def test_a_scheduled_slow_flush_runs_at_the_interval_s_end(make_daemon, sink):
    daemon = make_daemon(slow_flush_interval="3s", minimal_backoff_time="1s")  # by then the dead site is not left alone any more
    with_mail(daemon, sink, count=2)
    finished(daemon.flush("not.ours.example"), deferred_again=2)
    scheduled = daemon.post("/etrn/not.ours.example").json()
    assert scheduled["scheduled_at"] and scheduled["state"] == "running", scheduled
    sink.start()

    ended = finished(daemon.get(f"/flushes/{scheduled['id']}", wait=30).json(), delivered=2)

    assert ended["matched"] == 2 and len(sink.snapshot()) == 2
