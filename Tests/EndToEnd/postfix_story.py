"""What the tests with a real Postfix have in common: mail that waits, the ways to ask for it, and what must be true afterwards."""
import collections

from daemon_process import wait_until

CUSTOMER, OTHER = "customer.example", "other.example"
STRANGER = "not.ours.example"


# The ways to ask, by the name of the test's case. Each gives whether the service said yes.


def by_etrn(postfix, daemon, domain) -> bool:
    return postfix.etrn(domain) == (250, "Queuing started")


def by_postqueue(postfix, daemon, domain) -> bool:
    return postfix.run("postqueue", "-s", domain).returncode == 0


def by_sendmail(postfix, daemon, domain) -> bool:
    return postfix.run("sendmail", f"-qR{domain}").returncode == 0


def by_http(postfix, daemon, domain) -> bool:
    return daemon.post(f"/etrn/{domain}").status in (200, 202)


WAYS = {"ETRN": by_etrn, "postqueue": by_postqueue, "sendmail": by_sendmail, "POST": by_http}


# Mail.


def defer(postfix, daemon, domain: str, count: int) -> set[str]:
    """Sends mail for a site that is down; returns its IDs when Postfix has given up for now and the service has them all."""
    before = daemon.recorded(domain)
    ids = set(postfix.send_all([(f"user{n}@{domain}",) for n in range(count)], [f"{domain}-{n}" for n in range(count)]))
    assert len(ids) == count
    postfix.wait_deferred(ids)
    wait_until(lambda: daemon.recorded(domain) == before | ids, 20, f"{count} messages recorded for {domain}")
    return ids


def with_mail(postfix, daemon, customer: int = 3, other: int = 2) -> tuple[set[str], set[str]]:
    """Mail for both customers."""
    return defer(postfix, daemon, CUSTOMER, customer), defer(postfix, daemon, OTHER, other)


def received(site) -> list[str]:
    return sorted(message.header("X-Test-ID") for message in site.snapshot())


def test_ids(domain: str, count: int) -> list[str]:
    return sorted(f"{domain}-{n}" for n in range(count))


test_ids.__test__ = False


# What must be true.


def active(postfix, mark: int) -> list[str]:
    """What the queue manager took up since then, everything that was asked for included."""
    postfix.settle()
    return sorted(queue_id for _, queue_id in postfix.log.active(mark))


def record_equals_queue(postfix, daemon, seconds: float = 60.0) -> dict[str, set[str]]:
    """The record, the service's counts, postqueue's list and the disk tell the same. Returns the messages of each domain."""

    def on_disk():
        waiting = collections.defaultdict(set)
        for queue_id, row in postfix.listed().items():
            for recipient in row["recipients"]:
                waiting[recipient["address"].rpartition("@")[2]].add(queue_id)
        return dict(waiting)

    def counted():
        rows = daemon.get("/domains", limit=1000, waiting="true").json()["domains"]
        return {row["domain"]: row["messages"] for row in rows}

    expected = on_disk()
    everything = set().union(*expected.values())
    assert everything == postfix.ids()
    counts = {domain: len(ids) for domain, ids in expected.items()}
    wait_until(lambda: counted() == counts, seconds, f"the record to have {counts}", step=0.1)
    for domain, ids in expected.items():
        recorded = daemon.recorded(domain)
        assert recorded == ids, f"{domain}: missing {sorted(ids - recorded)[:5]}, stale {sorted(recorded - ids)[:5]}"
    assert daemon.get("/status").json()["messages"] == len(everything)
    return expected
