"""Mail that cannot be delivered comes back as a report, or is kept where there is no way back."""
import email
import email.policy

from daemon_process import wait_until
from expectations import finished
from peers import files_in_spool, messages_on_disk

DOMAIN = "customer.example"


def bounced(daemon, sink, sender="alice@sender.example", text="550 5.1.1 no such user"):
    """One message that the site refuses for good."""
    daemon.relay(DOMAIN, sink.next_hop)
    daemon.send(f"nobody@{DOMAIN}", sender=sender, test_id="undeliverable")
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
    sink.behaviour.recipients[f"nobody@{DOMAIN}"] = text
    sink.start()
    finished(daemon.flush(DOMAIN), bounced=1)


def kept(daemon) -> list[dict]:
    return daemon.get("/bounces").json()["bounces"]


def check_report(raw: bytes | str, reason="no such user", recipient_status="5.1.1", diagnostic="550 5.1.1 no such user") -> None:
    """RFC 3464: text, delivery status, and the original's headers."""
    data = raw.encode() if isinstance(raw, str) else raw
    report = email.message_from_bytes(data, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    assert report["To"] and "alice@sender.example" in report["To"] and report["From"] and report["Date"] and report["Message-ID"]
    assert report["Auto-Submitted"], report.items()
    text, status, original = report.iter_parts()
    assert text.get_content_type() == "text/plain" and reason in text.get_content()
    assert status.get_content_type() == "message/delivery-status"
    _, recipient = status.get_payload()
    assert recipient["Final-Recipient"].replace(" ", "") == f"rfc822;nobody@{DOMAIN}"
    assert recipient["Action"] == "failed" and recipient["Status"] == recipient_status, recipient.items()
    assert diagnostic in (recipient["Diagnostic-Code"] or ""), recipient.items()
    assert original.get_content_type() in ("text/rfc822-headers", "message/rfc822")
    assert "undeliverable" in str(original.get_payload())


def test_without_a_relayhost_the_report_is_kept_listed_and_can_be_dropped(daemon, sink):
    bounced(daemon, sink)

    rows = wait_until(lambda: kept(daemon), 10, "the kept report")

    assert len(rows) == 1 and rows[0]["sender"] == "alice@sender.example" and rows[0]["recipients"] == [f"nobody@{DOMAIN}"]
    assert "no such user" in rows[0]["reason"]
    one = daemon.get(f"/bounces/{rows[0]['queue_id']}")
    assert one.status == 200, one
    check_report(one.json()["report"])

    daemon.kill()
    daemon.start()
    assert kept(daemon) == rows
    assert daemon.delete(f"/bounces/{rows[0]['queue_id']}").status == 204
    assert daemon.delete(f"/bounces/{rows[0]['queue_id']}").status == 404
    assert kept(daemon) == []


def test_with_a_relayhost_the_report_goes_to_the_sender(make_daemon, sink, make_sink):
    provider = make_sink().start()
    daemon = make_daemon(relayhost=provider.next_hop)
    bounced(daemon, sink)

    provider.wait_for(lambda site: site.messages, what="the report")

    (report,) = provider.snapshot()
    assert report.sender == "" and report.recipients == ["alice@sender.example"]
    check_report(report.content)
    assert kept(daemon) == []


def test_a_report_that_is_itself_undeliverable_is_not_reported(make_daemon, sink, make_sink):
    provider = make_sink().start()
    provider.behaviour.recipients["alice@sender.example"] = "550 5.1.1 nobody here"
    daemon = make_daemon(relayhost=provider.next_hop)
    bounced(daemon, sink)

    wait_until(lambda: kept(daemon), 20, "the report that nobody takes")

    assert len(kept(daemon)) == 1 and provider.snapshot() == []


def test_the_null_sender_gets_no_report(make_daemon, sink, make_sink):
    provider = make_sink().start()
    daemon = make_daemon(relayhost=provider.next_hop)
    bounced(daemon, sink, sender="")

    rows = wait_until(lambda: kept(daemon), 10, "the kept report")

    assert rows[0]["sender"] == "" and provider.connections == 0


def test_mail_that_is_too_old_is_given_back(make_daemon, sink):
    daemon = make_daemon(maximal_queue_lifetime="2s", minimal_backoff_time="1s", maximal_backoff_time="1s", queue_run_delay="1s")
    daemon.relay(DOMAIN, sink.next_hop, delivery="normal")
    daemon.send(f"late@{DOMAIN}")

    rows = wait_until(lambda: kept(daemon), 30, "the kept report")

    assert "expired" in rows[0]["reason"], rows
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 10, "an empty record")


QUICK = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s"}


def test_what_expires_is_reported_through_the_relayhost(make_daemon, sink, make_sink):
    provider = make_sink().start()
    daemon = make_daemon(relayhost=provider.next_hop, maximal_queue_lifetime="2s", **QUICK)
    daemon.relay(DOMAIN, sink.next_hop, delivery="normal")
    daemon.send(f"nobody@{DOMAIN}", test_id="undeliverable")

    provider.wait_for(lambda site: site.messages, what="the report")

    (report,) = provider.snapshot()
    assert report.sender == "" and report.recipients == ["alice@sender.example"]
    check_report(report.content, "expired", "4.4.7", "")
    wait_until(lambda: files_in_spool(daemon) == [], 10, "an empty spool")


def test_mail_that_nobody_asks_for_expires_too(make_daemon, sink):
    daemon = make_daemon(maximal_queue_lifetime="2s", **QUICK)
    daemon.relay(DOMAIN, sink.next_hop, delivery="etrn-only")
    sink.start()
    daemon.send(f"nobody@{DOMAIN}")

    rows = wait_until(lambda: kept(daemon), 20, "the kept report")

    assert "expired" in rows[0]["reason"] and sink.connections == 0
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 10, "an empty record")


def test_a_lifetime_of_nothing_means_one_attempt(make_daemon, sink):
    daemon = make_daemon(maximal_queue_lifetime="0", **QUICK)
    daemon.relay(DOMAIN, sink.next_hop, delivery="normal")
    daemon.send(f"nobody@{DOMAIN}")

    rows = wait_until(lambda: kept(daemon), 20, "the kept report")

    assert "refused" in rows[0]["reason"], rows
    wait_until(lambda: daemon.waiting(DOMAIN) == 0, 10, "an empty record")


def test_a_report_waits_for_a_relayhost_that_is_down_and_survives_a_kill(make_daemon, sink, make_sink, self_signed):
    provider = make_sink(tls=self_signed)
    daemon = make_daemon(relayhost=provider.next_hop, **QUICK)
    bounced(daemon, sink)
    wait_until(lambda: messages_on_disk(daemon), 10, "the report in the spool")
    assert kept(daemon) == []
    daemon.kill()
    daemon.start()
    provider.start()

    provider.wait_for(lambda site: site.messages, what="the report")

    wait_until(lambda: files_in_spool(daemon) == [], 10, "an empty spool")
    (report,) = provider.snapshot()
    check_report(report.content)
    assert report.tls
