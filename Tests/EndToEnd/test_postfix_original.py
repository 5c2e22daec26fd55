"""The original's three tests with a real Postfix, asked by every way that Postfix has, and over HTTP.

"Within a second" is judged by Postfix's own log, which tells whole seconds.
"""
import math
import time

import pytest

from daemon_process import wait_until
from expectations import finished, problem
from postfix_story import CUSTOMER, OTHER, STRANGER, WAYS, active, received, test_ids, with_mail

ON_TIME = 1  # second
SLOW_MACHINE = 4  # seconds more that a machine may need that does ten other things
LIMIT = 60  # seconds for a single event on a slow machine

every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS.keys())


# Test 1.


@every_way
def test_a_customer_gets_exactly_its_messages_within_a_second(ask, postfix, etrnd, customer, other):
    mine, theirs = with_mail(postfix, etrnd)
    customer.start()
    other.start()
    mark, asked = postfix.log.mark(), time.time()

    assert ask(postfix, etrnd, CUSTOMER)

    flush = finished(etrnd.newest_flush(), delivered=3)
    assert flush["mode"] == "fast" and flush["domain"] == CUSTOMER
    assert flush["via"] == ("http" if ask is WAYS["POST"] else "postfix")
    assert active(postfix, mark) == sorted(mine)
    stamps = [stamp for stamp, _ in postfix.log.active(mark)]
    assert math.floor(asked) <= min(stamps) and max(stamps) <= asked + ON_TIME + SLOW_MACHINE
    assert received(customer) == test_ids(CUSTOMER, 3)
    assert other.connections == 0
    assert etrnd.recorded(CUSTOMER) == set() and etrnd.recorded(OTHER) == theirs
    assert postfix.ids() == theirs


@every_way
def test_when_the_site_cannot_be_reached_its_ids_are_in_the_record_again(ask, postfix, etrnd):
    mine, theirs = with_mail(postfix, etrnd)
    adds = etrnd.get("/status").json()["adds"]
    assert adds == 5, "each deferral of a recipient is told to the service once"
    mark = postfix.log.mark()

    assert ask(postfix, etrnd, CUSTOMER)

    flush = finished(etrnd.newest_flush(), deferred_again=3)
    assert "refused" in flush["last_reason"], flush
    assert active(postfix, mark) == sorted(mine)
    rows = etrnd.messages(CUSTOMER)
    assert {row["queue_id"] for row in rows} == mine and len(rows) == 3
    assert all("refused" in row["reason"] and row["place"] == "deferred" for row in rows), rows
    domain = etrnd.get(f"/domains/{CUSTOMER}").json()
    assert domain["messages"] == 3 and "refused" in domain["last_reason"], domain
    log = etrnd.state / "flush" / CUSTOMER
    wait_until(lambda: log.exists() and set(log.read_text().split()) == mine, LIMIT, f"the three IDs in {log.name}")
    assert etrnd.recorded(OTHER) == theirs
    assert etrnd.get("/status").json()["adds"] == adds + 3
    assert postfix.ids("deferred") == mine | theirs


# Test 2.


@every_way
def test_a_relay_domain_without_mail_causes_nothing_in_the_log(ask, postfix, etrnd, customer, other):
    _, theirs = with_mail(postfix, etrnd, customer=0)
    customer.start()
    other.start()
    mark = postfix.log.mark()

    assert ask(postfix, etrnd, CUSTOMER)

    assert active(postfix, mark) == []
    assert customer.connections == other.connections == 0
    assert postfix.ids("deferred") == theirs
    assert etrnd.get("/status").json()["messages_released"] == 0
    # The same way of asking does move mail when there is some.
    assert ask(postfix, etrnd, OTHER)
    assert active(postfix, mark) == sorted(theirs)


# Test 3.


@every_way
def test_a_domain_that_is_no_customer_causes_an_attempt_at_everything(ask, postfix, etrnd, customer, other):
    mine, theirs = with_mail(postfix, etrnd)
    # Postfix has found both dead a moment ago: only who tries all the same delivers.
    customer.start()
    other.start()
    mark = postfix.log.mark()

    assert ask(postfix, etrnd, STRANGER)

    flush = finished(etrnd.newest_flush(), delivered=5)
    assert flush["mode"] == "slow" and flush["domain"] == STRANGER
    assert active(postfix, mark) == sorted(mine | theirs)
    assert received(customer) == test_ids(CUSTOMER, 3) and received(other) == test_ids(OTHER, 2)
    assert postfix.ids() == set()


def test_a_domain_that_is_no_customer_can_be_refused_instead(postfix, make_etrnd, customer, other):
    etrnd = make_etrnd(slow_flush="reject")
    mine, theirs = with_mail(postfix, etrnd)
    customer.start()
    other.start()
    mark = postfix.log.mark()

    assert postfix.etrn(STRANGER) == (459, f"<{STRANGER}>: service unavailable")
    for refused in (postfix.run("postqueue", "-s", STRANGER), postfix.run("sendmail", f"-qR{STRANGER}")):
        assert refused.returncode != 0 and "Flush service is not configured" in refused.stderr, refused
    assert "fast_flush_domains" in problem(etrnd.post(f"/etrn/{STRANGER}"), 403)["detail"]

    assert active(postfix, mark) == []
    assert postfix.ids("deferred") == mine | theirs
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=3)
    assert other.connections == 0


@every_way
def test_with_an_empty_list_every_request_is_for_everything(ask, postfix, make_etrnd, customer, other):
    etrnd = make_etrnd(fast_flush_domains="")
    mine, theirs = with_mail(postfix, etrnd)
    customer.start()
    other.start()
    mark = postfix.log.mark()

    assert ask(postfix, etrnd, CUSTOMER)

    flush = finished(etrnd.newest_flush(), delivered=5)
    assert flush["mode"] == "slow"
    assert active(postfix, mark) == sorted(mine | theirs)
    assert postfix.ids() == set()


# One message.


def by_postqueue(postfix, daemon, queue_id) -> bool:
    return postfix.run("postqueue", "-i", queue_id).returncode == 0


def by_sendmail(postfix, daemon, queue_id) -> bool:
    return postfix.run("sendmail", f"-qI{queue_id}").returncode == 0


def by_http(postfix, daemon, queue_id) -> bool:
    return daemon.post(f"/messages/{queue_id}/flush").status in (200, 202)


@pytest.mark.parametrize("ask", [by_postqueue, by_sendmail, by_http], ids=["postqueue", "sendmail", "POST"])
def test_one_message_can_be_asked_for(ask, postfix, etrnd, customer):
    mine, theirs = with_mail(postfix, etrnd)
    customer.start()
    wanted = next(row for row in etrnd.messages(CUSTOMER) if row["recipients"][0]["address"] == f"user1@{CUSTOMER}")["queue_id"]
    mark = postfix.log.mark()

    assert ask(postfix, etrnd, wanted)

    flush = finished(etrnd.newest_flush(), delivered=1)
    assert flush["queue_id"] == wanted and flush["domain"] is None
    assert active(postfix, mark) == [wanted]
    assert received(customer) == [f"{CUSTOMER}-1"]
    assert etrnd.recorded(CUSTOMER) == postfix.ids() - theirs == mine - {wanted}


def test_a_site_that_refuses_for_good_gets_a_bounce_counted(postfix, etrnd, customer):
    with_mail(postfix, etrnd, other=0)
    customer.behaviour.recipients[f"user0@{CUSTOMER}"] = "550 5.1.1 no such user"
    customer.behaviour.recipients[f"user1@{CUSTOMER}"] = "450 4.2.1 mailbox busy"
    customer.start()

    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")

    finished(etrnd.newest_flush(), delivered=1, deferred_again=1, bounced=1)
    assert received(customer) == [f"{CUSTOMER}-2"]
    rows = etrnd.messages(CUSTOMER)
    assert [row["recipients"][0]["address"] for row in rows] == [f"user1@{CUSTOMER}"]
    assert "450 4.2.1 mailbox busy" in rows[0]["reason"]
