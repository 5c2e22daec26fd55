"""Postfix's queue in all its shapes: long IDs, hash depths, mail on hold, mail for two, dead sites, and ten thousand at once."""
import pytest

from daemon_process import wait_until
from expectations import adds_up, finished
from postfix_story import CUSTOMER, OTHER, WAYS, active, defer, received, record_equals_queue, test_ids, with_mail

LIMIT = 60  # seconds for a single event on a slow machine
MANY = 10_000

LAYOUTS = {
    "long IDs": {"enable_long_queue_ids": "yes"},
    "depth 2": {"hash_queue_depth": "2"},
    "long IDs, depth 2, incoming and active too": {
        "enable_long_queue_ids": "yes", "hash_queue_depth": "2", "hash_queue_names": "incoming, active, deferred, defer, hold",
    },
}  # fmt: skip


@pytest.mark.parametrize("running_postfix", LAYOUTS.values(), ids=LAYOUTS.keys(), indirect=True)
def test_a_queue_of_another_layout_is_read_followed_and_flushed(running_postfix, postfix, etrnd, customer, other):
    mine, theirs = with_mail(postfix, etrnd, customer=3, other=2)
    made = postfix.synthesise(40, OTHER)
    depths = {len(postfix.path(queue_id).relative_to(postfix.spool).parts) - 2 for queue_id in mine | theirs | set(made)}
    assert depths == {int(postfix.setting("hash_queue_depth"))}
    assert {len(queue_id) > 12 and "z" in queue_id[10:] for queue_id in mine | set(made)} == {postfix.setting("enable_long_queue_ids") == "yes"}
    assert record_equals_queue(postfix, etrnd) == {CUSTOMER: mine, OTHER: theirs | set(made)}

    # Read at a start as well as followed.
    etrnd.kill()
    etrnd.start()
    assert record_equals_queue(postfix, etrnd) == {CUSTOMER: mine, OTHER: theirs | set(made)}

    held = min(mine)
    postfix.postsuper("-h", held)
    wait_until(lambda: places(etrnd)[held] == "held", LIMIT, "the message to be known as held")
    customer.start()
    mark = postfix.log.mark()
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=2, held=1)
    assert active(postfix, mark) == sorted(mine - {held})

    # With the site down the IDs are back in their hash directories.
    assert postfix.etrn(OTHER) == (250, "Queuing started")
    flush = finished(etrnd.newest_flush(), deferred_again=20, unreleased=22)
    assert flush["matched"] == 42
    assert record_equals_queue(postfix, etrnd) == {CUSTOMER: {held}, OTHER: theirs | set(made)}
    other.start()
    assert postfix.etrn(OTHER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=42)
    assert record_equals_queue(postfix, etrnd) == {CUSTOMER: {held}}


def places(daemon) -> dict[str, str]:
    return {row["queue_id"]: row["place"] for row in daemon.messages(CUSTOMER)}


# On hold.


@pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS.keys())
def test_a_held_message_stays_recorded_through_an_etrn_and_is_flushed_after_its_release(ask, postfix, etrnd, customer):
    mine = defer(postfix, etrnd, CUSTOMER, 3)
    held = min(mine)
    postfix.postsuper("-h", held)
    wait_until(lambda: places(etrnd)[held] == "held", LIMIT, "the message to be known as held")
    customer.start()
    mark = postfix.log.mark()

    assert ask(postfix, etrnd, CUSTOMER)
    finished(etrnd.newest_flush(), delivered=2, held=1)
    assert active(postfix, mark) == sorted(mine - {held})
    assert postfix.ids("hold") == postfix.ids() == etrnd.recorded(CUSTOMER) == {held}
    # Nor by asking for it alone, or again.
    assert postfix.run("postqueue", "-i", held).returncode == 0
    finished(etrnd.newest_flush(), held=1)
    assert ask(postfix, etrnd, CUSTOMER)
    finished(etrnd.newest_flush(), held=1)
    assert len(customer.snapshot()) == 2

    # It goes to `deferred`, due as it was before.
    customer.stop()
    postfix.postsuper("-H", held)
    wait_until(lambda: places(etrnd)[held] == "deferred", LIMIT, "the message to be known as released")
    customer.start()
    assert ask(postfix, etrnd, CUSTOMER)
    finished(etrnd.newest_flush(), delivered=1)
    assert record_equals_queue(postfix, etrnd) == {}


def test_messages_that_an_operator_deletes_or_requeues_are_followed(postfix, etrnd):
    mine = defer(postfix, etrnd, CUSTOMER, 4)
    deleted, requeued = sorted(mine)[:2]

    postfix.postsuper("-d", deleted)
    postfix.postsuper("-r", requeued)

    wait_until(lambda: len(postfix.ids("deferred")) == 3 and requeued not in postfix.ids(), LIMIT, "the message under its new ID")
    recorded = record_equals_queue(postfix, etrnd)[CUSTOMER]
    assert len(recorded) == 3 and recorded > mine - {deleted, requeued}


# Mail for two.


def test_a_message_for_two_domains_is_judged_by_the_flushed_one(postfix, etrnd, customer, other):
    both = postfix.send(f"a@{CUSTOMER}", f"b@{OTHER}", test_id="both")
    postfix.wait_deferred({both})
    mine, theirs = with_mail(postfix, etrnd, customer=1, other=1)
    assert record_equals_queue(postfix, etrnd) == {CUSTOMER: mine | {both}, OTHER: theirs | {both}}
    customer.start()
    mark = postfix.log.mark()

    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")

    flush = finished(etrnd.newest_flush(), delivered=2)
    assert flush["matched"] == 2
    assert active(postfix, mark) == sorted(mine | {both})
    assert sorted(message.recipients[0] for message in customer.snapshot()) == [f"a@{CUSTOMER}", f"user0@{CUSTOMER}"]
    assert record_equals_queue(postfix, etrnd) == {OTHER: theirs | {both}}
    rows = {row["queue_id"]: row for row in etrnd.messages(OTHER)}
    states = {recipient["address"]: recipient["state"] for recipient in rows[both]["recipients"]}
    assert states[f"b@{OTHER}"] == "pending" and states.get(f"a@{CUSTOMER}") != "pending"

    other.start()
    assert postfix.etrn(OTHER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=2)
    assert [m.recipients for m in other.snapshot() if m.header("X-Test-ID") == "both"] == [[f"b@{OTHER}"]]
    assert len(customer.snapshot()) == 2
    assert postfix.ids() == set()


# Dead sites.


@pytest.mark.parametrize("count", [60, 60, 60], ids=["first", "second", "third"])
def test_a_site_that_was_dead_and_is_up_again_gets_all_sixty_by_one_etrn(count, postfix, etrnd, customer):
    """Postfix still holds it for dead: messages that are released beside the first ones come back "temporarily suspended"."""
    mine = defer(postfix, etrnd, CUSTOMER, count)
    customer.start()
    mark = postfix.log.mark()

    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")

    finished(etrnd.newest_flush(), delivered=count)
    assert active(postfix, mark) == sorted(mine)
    assert not [line for line in postfix.log.since(mark) if "status=deferred" in line]
    assert received(customer) == test_ids(CUSTOMER, count)
    assert record_equals_queue(postfix, etrnd) == {}


def test_a_dead_site_with_a_thousand_messages_costs_only_the_probes(postfix, etrnd, customer):
    made = postfix.synthesise(1_000, CUSTOMER)
    theirs = defer(postfix, etrnd, OTHER, 2)
    wait_until(lambda: etrnd.waiting(CUSTOMER) == 1_000, LIMIT, "a thousand messages recorded")
    mark = postfix.log.mark()

    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")

    flush = finished(etrnd.newest_flush(), deferred_again=20, unreleased=980)
    assert "refused" in flush["last_reason"]
    tried = active(postfix, mark)
    assert len(tried) == len(set(tried)) == 20 and set(tried) < set(made)
    assert record_equals_queue(postfix, etrnd) == {CUSTOMER: set(made), OTHER: theirs}

    # And when it is up, everything comes.
    customer.start()
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=1_000)
    assert sorted(message.recipients[0] for message in customer.snapshot()) == sorted(made.values())
    assert record_equals_queue(postfix, etrnd) == {OTHER: theirs}


# Ten thousand at once.


def test_a_burst_of_ten_thousand_through_deferred_leaves_no_drift(postfix, make_etrnd, customer):
    made = postfix.synthesise(MANY, CUSTOMER)
    etrnd = make_etrnd(flush_probe_messages=0)
    theirs = defer(postfix, etrnd, OTHER, 2)
    wait_until(lambda: etrnd.waiting(CUSTOMER) == MANY, LIMIT, f"{MANY} messages recorded")
    mark = postfix.log.mark()

    answer = etrnd.post(f"/etrn/{CUSTOMER}")
    assert answer.status == 202, answer
    flush = etrnd.followed(adds_up(answer.json()))

    finished(flush, deferred_again=MANY)
    assert flush["matched"] == MANY
    assert active(postfix, mark) == sorted(made)
    assert record_equals_queue(postfix, etrnd) == {CUSTOMER: set(made), OTHER: theirs}
    assert set(places(etrnd).values()) == {"deferred"}
    assert etrnd.get("/status").json()["adds"] == 2 + MANY, "every deferral was told to us"


def test_scans_find_nothing_to_correct(postfix, make_etrnd, customer):
    etrnd = make_etrnd(reconcile_interval="1s")
    made = postfix.synthesise(200, CUSTOMER)
    wait_until(lambda: etrnd.waiting(CUSTOMER) == 200, LIMIT, "200 messages recorded")
    customer.behaviour.recipients = {address: "450 4.2.1 later" for address in sorted(made.values())[:100]}
    customer.start()
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=100, deferred_again=100)
    postfix.settle()

    def next_scan():
        before = etrnd.get("/status").json()["last_reconcile"]["at"]
        return wait_until(lambda: (scan := etrnd.get("/status").json()["last_reconcile"])["at"] != before and scan, LIMIT, "a scan")

    next_scan()  # may have begun before the end
    for scan in (next_scan(), next_scan()):
        assert (scan["missing"], scan["stale"], scan["changed"], scan["failure"]) == (0, 0, 0, None), scan
    assert len(record_equals_queue(postfix, etrnd)[CUSTOMER]) == 100
