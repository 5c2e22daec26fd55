"""Both sides come and go: Postfix is reloaded, stopped and started, the service is restarted and killed, its socket is taken away."""
import os
import random
import socket
import threading
import time

import pytest

from daemon_process import wait_until
from expectations import adds_up, finished, problem
from postfix_story import CUSTOMER, OTHER, STRANGER, active, defer, received, record_equals_queue, test_ids, with_mail

MANY = 10_000
LIMIT = 60  # seconds for a single event on a slow machine


def public_socket(postfix):
    return postfix.spool / "public/etrnd"


def adds(daemon) -> int:
    return daemon.get("/status").json()["adds"]


def is_complete(daemon) -> bool:
    return daemon.get("/status").json()["index_complete"]


# Postfix.


def test_reload_stop_and_start_of_postfix_leave_us_where_we_are(postfix, etrnd, customer):
    mark = postfix.log.mark()
    first = defer(postfix, etrnd, CUSTOMER, 2)
    before = public_socket(postfix).stat()

    postfix.reload()
    second = defer(postfix, etrnd, CUSTOMER, 2)
    assert adds(etrnd) == 4
    postfix.stop()
    assert etrnd.recorded(CUSTOMER) == first | second
    postfix.start()
    third = defer(postfix, etrnd, CUSTOMER, 2)
    assert adds(etrnd) == 6

    now = public_socket(postfix).stat()
    assert (now.st_ino, now.st_ctime_ns) == (before.st_ino, before.st_ctime_ns), "the socket was made again"
    customer.start()
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    assert finished(etrnd.newest_flush(), delivered=6)["matched"] == 6
    assert record_equals_queue(postfix, etrnd) == {}
    assert not [line for line in postfix.log.since(mark) if "service failure" in line]
    assert len(first | second | third) == 6


def test_with_postfix_stopped_a_flush_is_refused_and_nothing_is_lost(postfix, etrnd, customer):
    mine, theirs = with_mail(postfix, etrnd)
    postfix.stop()

    refused = problem(etrnd.post(f"/etrn/{CUSTOMER}"), 503)
    assert "queue manager" in refused["detail"] and "running" in refused["detail"], refused
    asked = postfix.run("postqueue", "-s", CUSTOMER)
    assert asked.returncode == 69, asked
    assert problem(etrnd.post(f"/etrn/{STRANGER}"), 503)
    assert problem(etrnd.post(f"/messages/{min(mine)}/flush"), 503)
    assert postfix.ids("deferred") == etrnd.recorded(CUSTOMER) | etrnd.recorded(OTHER) == mine | theirs

    customer.start()
    postfix.start()
    wait_until(lambda: etrnd.post(f"/etrn/{CUSTOMER}").status in (200, 202), LIMIT, "flushes to be taken again", step=0.2)
    assert etrnd.newest_flush()["matched"] == 3
    customer.wait_for(lambda site: len(site.messages) == 3, LIMIT)
    assert received(customer) == test_ids(CUSTOMER, 3)
    wait_until(lambda: etrnd.recorded(CUSTOMER) == set(), LIMIT, "an empty record")
    assert etrnd.recorded(OTHER) == theirs


def test_with_the_queue_manager_out_of_reach_etrn_is_458(postfix, etrnd, customer):
    """smtpd lives and qmgr does not: as it is for moments during a reload, or when qmgr dies again and again."""
    mine = defer(postfix, etrnd, CUSTOMER, 2)
    path, away = postfix.spool / "public/qmgr", postfix.spool / "public/qmgr-away"
    path.rename(away)
    try:
        wait_until(lambda: postfix.etrn(CUSTOMER) == (458, "Unable to queue messages"), LIMIT, "458 for ETRN", step=0.2)
        assert problem(etrnd.post(f"/etrn/{CUSTOMER}"), 503)
        assert etrnd.recorded(CUSTOMER) == postfix.ids("deferred") == mine
    finally:
        away.rename(path)

    customer.start()
    wait_until(lambda: postfix.etrn(CUSTOMER) == (250, "Queuing started"), LIMIT, "250 for ETRN", step=0.2)
    finished(etrnd.newest_flush(), delivered=2)


def test_a_flush_that_postfix_is_stopped_under_ends_when_postfix_is_back(postfix, make_etrnd, customer):
    etrnd = make_etrnd(flush_probe_messages=0)
    mine = defer(postfix, etrnd, CUSTOMER, 5)
    customer.behaviour.hold_greeting = hold = threading.Event()
    customer.start()
    answer = etrnd.post(f"/etrn/{CUSTOMER}")
    assert answer.status == 202, answer
    customer.wait_for(lambda site: site.open_connections > 0, LIMIT)
    wait_until(lambda: etrnd.get(answer.headers["Location"]).json()["released"] == 5, LIMIT, "the messages to be released")

    postfix.stop()
    assert postfix.ids("incoming", "active") == etrnd.recorded(CUSTOMER) == mine
    flush = adds_up(etrnd.get(answer.headers["Location"]).json())
    assert flush["state"] == "running" and flush["open"] == 5, flush
    hold.set()
    postfix.start()

    finished(etrnd.followed(flush), delivered=5)
    assert received(customer) == test_ids(CUSTOMER, 5)
    assert record_equals_queue(postfix, etrnd) == {}


# We.


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_deferred_while_we_were_down_is_recorded_when_we_are_back(end, postfix, etrnd, customer):
    before, _ = with_mail(postfix, etrnd, other=0)
    getattr(etrnd, end)()
    mark = postfix.log.mark()

    during = set(postfix.send_all([(f"late{n}@{CUSTOMER}",) for n in range(4)]))
    postfix.wait_deferred(during)
    # Postfix has said so, and has not waited for us: four messages, one recipient each.
    failures = [line for line in postfix.log.since(mark) if "etrnd service failure" in line]
    assert len(failures) == 4, failures
    assert postfix.etrn(CUSTOMER)[0] == 458
    assert postfix.run("postqueue", "-s", CUSTOMER).returncode == 69
    gone = min(before)
    postfix.postsuper("-d", gone)

    etrnd.start()
    wait_until(lambda: is_complete(etrnd), LIMIT, "a complete index")
    assert etrnd.recorded(CUSTOMER) == before - {gone} | during
    customer.start()
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=6)
    assert record_equals_queue(postfix, etrnd) == {}


def test_restarts_with_ten_thousand_messages_lose_none(postfix, make_etrnd, customer):
    made = postfix.synthesise(MANY, CUSTOMER)
    etrnd = make_etrnd()
    theirs = defer(postfix, etrnd, OTHER, 3)
    assert len(made) == MANY
    wait_until(lambda: etrnd.waiting(CUSTOMER) == MANY, LIMIT, f"{MANY} messages recorded")

    for end in (etrnd.stop, etrnd.kill):
        end()
        etrnd.start()
        wait_until(lambda: is_complete(etrnd), LIMIT, "a complete index")
        assert record_equals_queue(postfix, etrnd) == {CUSTOMER: set(made), OTHER: theirs}
        last = etrnd.get("/status").json()["last_reconcile"]
        assert last["failure"] is None and last["stale"] == 0, last

    # It is a record that can be worked with.
    wanted = random.choice(sorted(made))
    customer.start()
    assert postfix.run("postqueue", "-i", wanted).returncode == 0
    finished(etrnd.newest_flush(), delivered=1)
    assert [message.recipients for message in customer.snapshot()] == [[made[wanted]]]
    assert etrnd.recorded(CUSTOMER) == set(made) - {wanted}


def test_a_kill_while_probes_are_in_delivery_loses_nothing(postfix, make_etrnd, customer):
    etrnd = make_etrnd(flush_probe_messages=5)
    made = postfix.synthesise(50, CUSTOMER)
    wait_until(lambda: etrnd.recorded(CUSTOMER) == set(made), LIMIT, "50 messages recorded")
    # The site takes mail and does not say so: nothing has an outcome until it does.
    customer.behaviour.hold_end = hold = threading.Event()
    customer.start()

    answer = etrnd.post(f"/etrn/{CUSTOMER}")
    assert answer.status == 202, answer
    customer.wait_for(lambda site: site.open_connections > 0, LIMIT)
    wait_until(lambda: etrnd.get(answer.headers["Location"]).json()["released"] == 5, LIMIT, "the probes to be released")
    # The history on disk may be a second behind.
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() > begun + 3, LIMIT, "the flush to be on disk")
    etrnd.kill()
    hold.set()
    customer.wait_for(lambda site: len(site.messages) == 5, LIMIT)
    etrnd.start()

    wait_until(lambda: is_complete(etrnd), LIMIT, "a complete index")
    assert len(record_equals_queue(postfix, etrnd)[CUSTOMER]) == 45
    interrupted = adds_up(etrnd.get(answer.headers["Location"]).json())
    assert interrupted["state"] == "interrupted" and interrupted["matched"] == 50 and interrupted["released"] == 5, interrupted
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=45)
    assert sorted(message.recipients[0] for message in customer.snapshot()) == sorted(made.values())
    assert record_equals_queue(postfix, etrnd) == {}


def test_kills_at_random_moments_of_a_flush_lose_and_repeat_nothing(postfix, etrnd, customer):
    seed = int(os.environ.get("E2E_SEED", random.SystemRandom().randrange(1_000_000)))
    print(f"seed {seed}; run again with E2E_SEED={seed}")
    choice = random.Random(seed)

    def kills_during_one_flush(count: int) -> list[int]:
        """What was left to be moved when the kills came."""
        left = [count]
        while left[-1] and len(left) <= 4:
            assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
            # The random moment is the test: somewhere in the middle of what this flush moves, with time left to strike.
            goal = choice.randrange(left[-1] // 4, left[-1])
            wait_until(lambda: len(postfix.ids("deferred")) <= goal, LIMIT, "messages to be moved", step=0)
            etrnd.kill()
            left.append(len(postfix.ids("deferred")))
            etrnd.start()
            wait_until(lambda: is_complete(etrnd), LIMIT, "a complete index")
        print("left in deferred at the kills:", left)
        return left[1:]

    def is_empty():
        assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
        etrnd.newest_flush()
        return not postfix.ids()

    made: dict[str, str] = {}
    for _ in range(3):  # a busy machine can let a whole flush pass between two looks: then new mail comes
        customer.stop()
        made |= (new := postfix.synthesise(2_000, CUSTOMER))
        wait_until(lambda: etrnd.waiting(CUSTOMER) == len(new), LIMIT, "all recorded")
        customer.start()
        left = kills_during_one_flush(len(new))
        wait_until(is_empty, 120, "everything to be delivered", step=0.5)
        assert sorted(message.recipients[0] for message in customer.snapshot()) == sorted(made.values())
        assert record_equals_queue(postfix, etrnd) == {}
        if any(left):
            return
    raise AssertionError("no kill came before everything was moved")


# The socket.


def test_our_socket_is_made_again_when_it_is_removed(postfix, etrnd, customer):
    first = defer(postfix, etrnd, CUSTOMER, 1)
    path = public_socket(postfix)
    path.unlink()

    wait_until(path.is_socket, LIMIT, "the socket to be there again")

    second = defer(postfix, etrnd, CUSTOMER, 1)
    assert adds(etrnd) == 2
    customer.start()
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=len(first | second))


def test_our_socket_is_taken_back_from_one_that_nobody_answers(postfix, etrnd):
    path = public_socket(postfix)
    with socket.socket(socket.AF_UNIX) as dead:
        path.unlink()
        dead.bind(str(path))
        path.chmod(0o666)
        inode = path.stat().st_ino

        def is_ours():
            try:
                return path.stat().st_ino != inode
            except FileNotFoundError:
                return False

        wait_until(is_ours, LIMIT, "the socket to be ours again")
    defer(postfix, etrnd, CUSTOMER, 2)
    assert adds(etrnd) == 2


def test_a_socket_that_somebody_else_serves_is_an_alarm_until_it_is_ours_again(postfix, etrnd):
    path = public_socket(postfix)
    with socket.socket(socket.AF_UNIX) as thief:
        path.unlink()
        thief.bind(str(path))
        path.chmod(0o666)
        thief.listen(8)

        def alarm():
            answer = etrnd.get("/readyz")
            return answer if answer.status == 503 else None

        answer = wait_until(alarm, LIMIT, "an alarm")
        assert b"Postfix" in answer.body and str(path).encode() in answer.body, answer
    wait_until(lambda: etrnd.get("/readyz").status == 200, LIMIT, "the socket to be ours again", step=0.2)
    defer(postfix, etrnd, CUSTOMER, 2)
    assert adds(etrnd) == 2


def test_we_take_our_socket_with_us_and_native_flush_is_untouched(postfix, etrnd):
    native = (postfix.spool / "public/flush").stat().st_ino
    assert public_socket(postfix).is_socket()

    assert etrnd.stop() == 0

    assert not public_socket(postfix).exists()
    assert (postfix.spool / "public/flush").stat().st_ino == native


# The log.


@pytest.fixture
def log_path(postfix):
    """The log that a test may do away with."""
    yield postfix.log.path
    postfix.log.path.touch()
    postfix.log.path.chmod(0o644)
    postfix.reload()


def renamed_and_made_anew(path) -> None:
    path.rename(path.with_suffix(".log.1"))
    path.touch(mode=0o644)


def copied_and_emptied(path) -> None:
    path.with_suffix(".log.1").write_bytes(path.read_bytes())
    os.truncate(path, 0)


@pytest.mark.parametrize("rotate", [renamed_and_made_anew, copied_and_emptied])
def test_outcomes_are_known_across_a_rotation_of_the_log(rotate, postfix, etrnd, customer, log_path):
    with_mail(postfix, etrnd, other=0)
    customer.behaviour.recipients[f"user0@{CUSTOMER}"] = "550 5.1.1 no such user"
    customer.behaviour.recipients[f"user1@{CUSTOMER}"] = "450 4.2.1 mailbox busy"
    customer.start()

    # Until Postfix is told it goes on with the file that it has open.
    rotate(log_path)
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=1, deferred_again=1, bounced=1)

    postfix.reload()
    customer.behaviour.recipients.clear()
    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")
    finished(etrnd.newest_flush(), delivered=1)
    wait_until(lambda: "status=sent" in postfix.log.tail(), LIMIT, "the outcome in the new log")


def test_a_log_that_we_may_not_read_any_more_is_told_and_outcomes_become_unknown(postfix, etrnd, customer, log_path):
    """As after `postfix logrotate`, which makes the new file for root alone."""
    with_mail(postfix, etrnd, other=0)
    log_path.rename(log_path.with_suffix(".log.1"))
    log_path.touch(mode=0o600)
    postfix.reload()
    customer.start()

    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")

    finished(etrnd.newest_flush(), departed=3)
    assert received(customer) == test_ids(CUSTOMER, 3)
    wait_until(lambda: any("mail log" in line and str(log_path) in line for line in etrnd.log), LIMIT, "a warning")


def test_without_a_log_what_left_has_departed(postfix, make_etrnd, customer):
    etrnd = make_etrnd(postfix_log="")
    with_mail(postfix, etrnd, other=0)
    customer.start()

    assert postfix.etrn(CUSTOMER) == (250, "Queuing started")

    finished(etrnd.newest_flush(), departed=3)
    assert received(customer) == test_ids(CUSTOMER, 3)
