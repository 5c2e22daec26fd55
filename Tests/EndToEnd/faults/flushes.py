"""A thousand flushes at once, of different domains and of the same: each is answered, each ends, and each message arrives once."""
import collections
import contextlib
import json
import smtplib
import time

from daemon_process import submit

from .stage import Asker, Daemon, Stage, descriptors_for, open_descriptors, quiet, reconciled, tidy, wait_until

SAME = "same.example"
PER_SAME = 50  # messages for the domain that all ask for


def many_flushes_at_once(stage: Stage, count: int) -> str:
    """`count` domains with a message each, all flushed at once; then `count` requests for one domain at once."""
    site = stage.site()
    daemon = stage.daemon(reconcile_interval="1s", http_connection_limit=count + 100, delivery_concurrency=20)
    domains = [f"d{number:05}.example" for number in range(count)]
    rows = [{"domain": domain, "next_hop": site.next_hop, "delivery": "etrn-only"} for domain in [*domains, SAME]]
    answer = daemon.put("/relay-domains", {"relay_domains": rows}, owner="faults")
    assert answer.status == 200, answer
    before = open_descriptors(daemon)
    _send(daemon, [f"user@{domain}" for domain in domains] + [f"user{number}@{SAME}" for number in range(PER_SAME)])
    total = count + PER_SAME
    wait_until(lambda: daemon.get("/status").json()["messages"] == total, 60, "all records")
    site.start()

    with descriptors_for(count + 300):
        different, answered = _ask_all(daemon, [f"/etrn/{domain}" for domain in domains])
        same, answered_same = _ask_all(daemon, [f"/etrn/{SAME}"] * count)
    for flush in different:
        assert flush["matched"] == 1 and not flush["coalesced"], flush
    coalesced = sum(flush["coalesced"] for flush in same)
    ids = {flush["id"] for flush in different} | {flush["id"] for flush in same if flush["matched"]}
    assert len({flush["id"] for flush in different}) == count, "two flushes have one ID"

    site.wait_for(lambda site: len(site.messages) >= total, 120)
    wait_until(lambda: daemon.get("/status").json()["flushes_running"] == 0, 60, "the end of all flushes", step=0.1)
    wait_until(lambda: daemon.get("/status").json()["messages"] == 0, 60, "an empty record", step=0.1)
    ended = [daemon.get(f"/flushes/{identifier}").json() for identifier in ids]
    for flush in ended:
        assert flush["state"] == "finished" and flush["open"] == 0, flush
    delivered = sum(flush["delivered"] for flush in ended)
    assert delivered == total, (
        f"the flushes tell of {delivered} deliveries of {total} messages; not all of theirs: "
        f"{[flush for flush in ended if flush['delivered'] < flush['matched']]}")
    received = collections.Counter(message.recipients[0] for message in site.snapshot())
    assert len(received) == total and set(received.values()) == {1}, received.most_common(3)
    reconciled(daemon)
    quiet(daemon, before + 30, "the flushes")
    tidy(daemon)
    return (
        f"{count} flushes of {count} domains at once answered in {answered:.2f} s, {count} of one domain in {answered_same:.2f} s "
        f"({coalesced} joined), {total} messages once each"
    )


def _send(daemon: Daemon, recipients: list[str]) -> None:
    for start in range(0, len(recipients), 50):
        with smtplib.SMTP(*daemon.smtp, local_hostname="sender.example", timeout=30) as client:
            for recipient in recipients[start : start + 50]:
                submit(client, "alice@sender.example", [recipient], b"Subject: one\r\n\r\nhello\r\n")


def _ask_all(daemon: Daemon, targets: list[str]) -> tuple[list[dict], float]:
    """All requests are on their way before the first answer is read."""
    with contextlib.ExitStack() as stack:
        askers = [stack.enter_context(Asker(daemon.http)) for _ in targets]
        began = time.monotonic()
        for asker, target in zip(askers, targets):
            asker.send("POST", target)
        flushes = []
        for asker in askers:
            status, body = asker.receive()
            assert status in (200, 202), (status, body)
            flushes.append(json.loads(body))
        return flushes, time.monotonic() - began
