"""The service shows of every message in a real queue what postqueue(1) and postcat(1) show of it; `make differential` tries more."""
import os
from dataclasses import replace

import pytest

import differential_queue
import postfix_instance
from differential_queue import SETTINGS, Cat, SyntheticFiles

SEED = int(os.environ.get("DIFFERENTIAL_SEED", "1"))
MESSAGES, FILES = 30, 60


@pytest.mark.parametrize("which", SETTINGS)
def test_random_mail_is_shown_as_postfix_shows_it(which, program):
    if why := postfix_instance.obstacle():
        pytest.skip(why)

    outcome = differential_queue.run(program, which, SEED, MESSAGES, FILES)

    assert not outcome.differences, "\n".join(outcome.differences[:40])
    assert outcome.messages > MESSAGES + FILES // 2
    # Every shape occurs.
    assert min(outcome.shapes.values()) > 0, outcome.shapes


def test_a_seed_makes_the_same_files_again():
    first, second = SyntheticFiles(3), SyntheticFiles(3)
    assert [first.file() for _ in range(20)] == [second.file() for _ in range(20)]
    assert SyntheticFiles(4).file() != SyntheticFiles(3).file()


ROW = {
    "queue_name": "hold", "arrival_time": 1_700_000_000, "message_size": 10, "sender": "MAILER-DAEMON",
    "recipients": [{"address": '"a?b"@one.example', "delay_reason": "away"}, {"address": "c@one.example"}],
}  # fmt: skip
CAT = Cat(size=10, arrival=1_700_000_000, pending=[b"a\tb@one.example", b"c@one.example"], done=[b"d@one.example"])
MESSAGE = {
    "place": "held", "arrival": "2023-11-14T22:13:20.5Z", "size": 10, "sender": "",
    "recipients": [
        {"address": '"a\tb"@one.example', "state": "pending", "reason": "away"},
        {"address": "c@one.example", "state": "pending", "reason": None},
        {"address": "d@one.example", "state": "delivered", "reason": None},
    ],
}  # fmt: skip


def test_every_kind_of_difference_is_told():
    assert list(differential_queue.differences(MESSAGE, ROW, CAT)) == []

    one, two, three = MESSAGE["recipients"]
    for changed, begins in [
        ({"place": "deferred"}, "place: "),
        ({"arrival": "2023-11-14T22:13:21Z"}, "arrival: "),
        ({"size": 11}, "size: "),
        ({"sender": "a@one.example"}, "sender: "),
        ({"recipients": [one, two]}, "done recipients: "),
        ({"recipients": [one, three]}, "pending recipients: "),
        ({"recipients": [one, two | {"address": "C@one.example"}, three]}, "pending: only etrnd ['C@one.example']"),
        ({"recipients": [one | {"reason": None}, two, three]}, "reason: "),
    ]:
        told = list(differential_queue.differences(MESSAGE | changed, ROW, CAT))
        assert told and told[0].startswith(begins), (changed, told)
    assert list(differential_queue.differences(MESSAGE, ROW, replace(CAT, size=9))) == ["size: etrnd 10, postcat 9"]
