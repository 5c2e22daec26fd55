"""Mail that cannot be delivered comes back as a report, or is kept where there is no way back."""
import email
import email.policy

from daemon_process import wait_until
from expectations import finished

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


def check_report(raw: bytes | str) -> None:
    """RFC 3464: text, delivery status, and the original's headers."""
    data = raw.encode() if isinstance(raw, str) else raw
    report = email.message_from_bytes(data, policy=email.policy.default)
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    assert report["To"] and "alice@sender.example" in report["To"] and report["From"] and report["Date"] and report["Message-ID"]
    assert report["Auto-Submitted"], report.items()
    text, status, original = report.iter_parts()
    assert text.get_content_type() == "text/plain" and "no such user" in text.get_content()
    assert status.get_content_type() == "message/delivery-status"
    _, recipient = status.get_payload()
    assert recipient["Final-Recipient"].replace(" ", "") == f"rfc822;nobody@{DOMAIN}"
    assert recipient["Action"] == "failed" and recipient["Status"] == "5.1.1"
    assert "550 5.1.1 no such user" in recipient["Diagnostic-Code"]
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
