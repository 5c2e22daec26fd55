"""A flush tells the truth: its counts against what the customer's server saw."""
import threading

from daemon_process import wait_until
from expectations import adds_up, finished

DOMAIN, OTHER = "customer.example", "other.example"


def send_all(daemon, messages):
    """Sends messages given as tuples of recipients, and waits until all are recorded."""
    counts: dict[str, int] = {}
    for n, recipients in enumerate(messages):
        daemon.send(*recipients, test_id=f"m{n}")
        for domain in {recipient.rpartition("@")[2] for recipient in recipients}:
            counts[domain] = counts.get(domain, 0) + 1
    for domain, count in counts.items():
        wait_until(lambda: daemon.waiting(domain) == count, 10, f"{count} messages recorded for {domain}")


def test_delivered_deferred_and_bounced_are_what_the_site_said(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    users = [f"u{n}@{DOMAIN}" for n in range(12)]
    send_all(daemon, [(user,) for user in users])
    for n, user in enumerate(users):
        if n % 4 == 1:
            sink.behaviour.recipients[user] = "450 4.2.1 mailbox busy"
        if n % 4 == 2:
            sink.behaviour.recipients[user] = "550 5.1.1 no such user"
    sink.start()

    flush = finished(daemon.flush(DOMAIN), delivered=6, deferred_again=3, bounced=3)

    assert flush["matched"] == 12
    assert sorted(message.recipients[0] for message in sink.snapshot()) == sorted(u for n, u in enumerate(users) if n % 4 in (0, 3))
    rows = daemon.messages(DOMAIN)
    assert sorted(row["recipients"][0]["address"] for row in rows) == sorted(u for n, u in enumerate(users) if n % 4 == 1)
    assert all("450 4.2.1 mailbox busy" in row["reason"] for row in rows), rows
    assert len(daemon.get("/bounces").json()["bounces"]) == 3
    kept = daemon.get(f"/flushes/{flush['id']}").json()
    assert kept == flush | {"coalesced": kept["coalesced"]}


def test_a_message_for_two_domains_is_judged_by_the_flushed_one(daemon, make_sink):
    here, there = make_sink(), make_sink()
    daemon.relay(DOMAIN, here.next_hop)
    daemon.relay(OTHER, there.next_hop)
    send_all(daemon, [(f"a@{DOMAIN}", f"b@{OTHER}")])
    here.start()

    flush = finished(daemon.flush(DOMAIN), delivered=1)

    assert flush["matched"] == 1
    assert [message.recipients for message in here.snapshot()] == [[f"a@{DOMAIN}"]]
    assert there.connections == 0
    assert daemon.waiting(DOMAIN) == 0 and daemon.waiting(OTHER) == 1
    states = {row["address"]: row["state"] for row in daemon.messages(OTHER)[0]["recipients"]}
    assert states == {f"a@{DOMAIN}": "delivered", f"b@{OTHER}": "pending"}

    there.start()
    finished(daemon.flush(OTHER), delivered=1)
    assert [message.recipients for message in there.snapshot()] == [[f"b@{OTHER}"]]
    assert len(here.snapshot()) == 1


def test_one_delivered_and_one_deferred_recipient_is_deferred_again(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"good@{DOMAIN}", f"busy@{DOMAIN}")])
    sink.behaviour.recipients[f"busy@{DOMAIN}"] = "450 4.2.1 later"
    sink.start()

    finished(daemon.flush(DOMAIN), deferred_again=1)
    assert [message.recipients for message in sink.snapshot()] == [[f"good@{DOMAIN}"]]

    sink.behaviour.recipients.clear()
    finished(daemon.flush(DOMAIN), delivered=1)
    assert [message.recipients for message in sink.snapshot()] == [[f"good@{DOMAIN}"], [f"busy@{DOMAIN}"]]


def test_one_delivered_and_one_bounced_recipient_is_bounced(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"good@{DOMAIN}", f"gone@{DOMAIN}")])
    sink.behaviour.recipients[f"gone@{DOMAIN}"] = "550 5.1.1 no such user"
    sink.start()

    finished(daemon.flush(DOMAIN), bounced=1)

    assert [message.recipients for message in sink.snapshot()] == [[f"good@{DOMAIN}"]]
    assert daemon.waiting(DOMAIN) == 0


def test_content_that_the_site_refuses_is_deferred_or_bounced(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"a@{DOMAIN}",)])
    sink.start()

    sink.behaviour.end_of_data = "452 4.3.1 disk full"
    assert "452 4.3.1 disk full" in finished(daemon.flush(DOMAIN), deferred_again=1)["last_reason"]
    sink.behaviour.data = "451 4.3.0 not now"
    assert "451 4.3.0 not now" in finished(daemon.flush(DOMAIN), deferred_again=1)["last_reason"]
    sink.behaviour.data, sink.behaviour.end_of_data = "354 go on", "554 5.7.1 we do not want it"
    finished(daemon.flush(DOMAIN), bounced=1)
    assert sink.snapshot() == []


def test_a_connection_that_breaks_defers_wherever_it_breaks(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"a@{DOMAIN}",)])
    sink.start()

    for stage in ("connect", "mail", "rcpt", "data", "content"):
        sink.behaviour.drop_at = stage
        assert finished(daemon.flush(DOMAIN), deferred_again=1)["last_reason"], stage
    assert sink.snapshot() == []

    sink.behaviour.drop_at = None
    finished(daemon.flush(DOMAIN), delivered=1)


def test_subdomains_are_meant_only_when_asked_for(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"a@{DOMAIN}",), (f"b@branch.{DOMAIN}",)])
    sink.start()

    finished(daemon.flush(DOMAIN), delivered=1)
    assert daemon.waiting(f"branch.{DOMAIN}") == 1
    flush = finished(daemon.flush(DOMAIN, subdomains="true"), delivered=1)
    assert flush["subdomains"] is True
    assert [message.recipients[0] for message in sink.snapshot()] == [f"a@{DOMAIN}", f"b@branch.{DOMAIN}"]


def test_tls_is_used_when_offered_although_nobody_signed_the_certificate(daemon, make_sink, self_signed):
    site = make_sink(tls=self_signed)
    daemon.relay(DOMAIN, site.next_hop)
    send_all(daemon, [(f"a@{DOMAIN}",)])
    site.start()

    finished(daemon.flush(DOMAIN), delivered=1)

    assert [message.tls for message in site.snapshot()] == [True]


def test_a_site_that_only_knows_helo_gets_its_mail(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"a@{DOMAIN}",)])
    sink.behaviour.ehlo = "502 5.5.1 unknown command"
    sink.start()

    finished(daemon.flush(DOMAIN), delivered=1)


def test_content_arrives_byte_for_byte(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    body = "\r\n".join(["", ".", "..", ".leading dot", "x" * 990, "Grüße", "\ttab", "", "end"])
    daemon.send(f"a@{DOMAIN}", body=body)
    daemon.send(f"b@{DOMAIN}", size=3_000_000)
    wait_until(lambda: daemon.waiting(DOMAIN) == 2, 10, "two messages recorded")
    sink.start()

    finished(daemon.flush(DOMAIN), delivered=2)

    small, large = sorted((message.content for message in sink.snapshot()), key=len)
    assert small.partition(b"\r\n\r\n")[2] == body.encode() + b"\r\n"
    assert small.startswith(b"Received: "), small[:80]
    assert 2_999_000 < len(large) < 3_001_000


def test_normal_domains_are_tried_at_once_and_etrn_only_ones_wait(daemon, make_sink):
    normal, waits = make_sink().start(), make_sink().start()
    daemon.relay(DOMAIN, normal.next_hop, delivery="normal")
    daemon.relay(OTHER, waits.next_hop)

    daemon.send(f"a@{OTHER}")
    daemon.send(f"a@{DOMAIN}")

    normal.wait_for(lambda site: len(site.messages) == 1)
    wait_until(lambda: daemon.waiting(DOMAIN) == 0 and daemon.waiting(OTHER) == 1, 10, "only the other's mail waits")
    assert waits.connections == 0


def test_five_hundred_messages_come_with_the_counts_adding_up_all_the_time(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    count = 500
    senders = [threading.Thread(target=lambda part=part: [daemon.send(f"u@{DOMAIN}", test_id=f"{part}-{n}") for n in range(count // 5)]) for part in range(5)]
    for one in senders:
        one.start()
    for one in senders:
        one.join()
    wait_until(lambda: daemon.waiting(DOMAIN) == count, 30, f"{count} messages recorded")
    sink.start()

    answer = daemon.post(f"/etrn/{DOMAIN}")
    assert answer.status == 202 and answer.headers["Location"] == f"/flushes/{answer.json()['id']}", answer

    def ended():
        flush = adds_up(daemon.get(answer.headers["Location"]).json())
        return flush if flush["state"] != "running" else None

    flush = wait_until(ended, 60, "the end of the flush")
    finished(flush, delivered=count)
    ids = [message.header("X-Test-ID") for message in sink.snapshot()]
    assert len(ids) == len(set(ids)) == count


def test_probes_come_first_and_a_dead_site_leaves_the_rest_alone(make_daemon, sink):
    daemon = make_daemon(flush_probe_messages=3)
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"u{n}@{DOMAIN}",) for n in range(10)])

    flush = finished(daemon.flush(DOMAIN), deferred_again=3, unreleased=7)
    assert "refused" in flush["last_reason"]
    assert daemon.waiting(DOMAIN) == 10

    sink.start()
    finished(daemon.flush(DOMAIN), delivered=10)


def test_one_message_can_be_asked_for(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"a@{DOMAIN}",), (f"b@{DOMAIN}",)])
    sink.start()
    wanted = next(row for row in daemon.messages(DOMAIN) if row["recipients"][0]["address"] == f"b@{DOMAIN}")

    answer = daemon.post(f"/messages/{wanted['queue_id']}/flush", wait=30)

    assert answer.status == 200, answer
    flush = finished(answer.json(), delivered=1)
    assert flush["queue_id"] == wanted["queue_id"] and flush["domain"] is None
    assert [message.recipients for message in sink.snapshot()] == [[f"b@{DOMAIN}"]]
    assert daemon.get(f"/messages/{wanted['queue_id']}").status == 404


def test_a_message_can_be_removed(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"a@{DOMAIN}",)])
    row = daemon.messages(DOMAIN)[0]

    assert daemon.delete(f"/messages/{row['queue_id']}").status == 204
    assert daemon.delete(f"/messages/{row['queue_id']}").status == 404
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 10, "an empty record")
    sink.start()
    finished(daemon.flush(DOMAIN))
    assert sink.connections == 0


def test_dry_run_touches_nothing(daemon, sink):
    daemon.relay(DOMAIN, sink.next_hop)
    send_all(daemon, [(f"a@{DOMAIN}",)])
    sink.start()

    answer = daemon.post(f"/etrn/{DOMAIN}", dry_run="true", note="what if?")

    assert answer.status == 200, answer
    flush = answer.json()
    assert flush["dry_run"] and flush["matched"] == 1 and flush["note"] == "what if?"
    assert daemon.get("/flushes").json()["flushes"] == []
    assert daemon.waiting(DOMAIN) == 1 and sink.connections == 0
