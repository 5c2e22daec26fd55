"""Random values of `fast_flush_domains` mean to the built daemon what they mean to Postfix's flush(8); `make differential` tries more."""
import os

import pytest

import differential_lists
import postfix_instance
from differential_lists import DOMAINS_A_LIST, FAIL, NO, YES, DaemonOfOurs, FlushOfPostfix, ListCase, Lists
from postfix_instance import PostfixInstance

CASES = 500
SEED = int(os.environ.get("DIFFERENTIAL_SEED", "1"))


@pytest.fixture(scope="module")
def instance():
    if why := postfix_instance.obstacle():
        pytest.skip(why)
    with PostfixInstance({}) as instance:
        yield instance


def test_five_hundred_random_cases_have_the_verdicts_of_postfix(program, instance, directory):
    outcome = differential_lists.run(program, instance, directory, SEED, range(CASES // DOMAINS_A_LIST))

    assert not outcome.differences, "\n".join(outcome.differences)
    assert outcome.cases == CASES
    # All verdicts occur, or the lists would be about nothing.
    assert min(outcome.verdicts[verdict] for verdict in (YES, NO, FAIL)) > CASES // 20, outcome.verdicts


def test_a_difference_is_seen_and_told(program, instance, directory):
    """U-labels are one on purpose: to us a name has one form."""
    case = ListCase(
        7, "b\u00fccher.test, a.test !@STORE@ static:all", "", True, {}, ["c.test"],
        ["a.test", "c.test", "d.test", "xn--bcher-kva.test"])
    ours, theirs = DaemonOfOurs(program, directory / "ours"), FlushOfPostfix(instance, instance.directory / "theirs")

    assert differential_lists.compare(case, 1, ours, theirs).differences == []

    case.text = "b\u00fccher.test"
    (difference,) = differential_lists.compare(case, 1, ours, theirs).differences
    assert difference.splitlines()[0] == "seed 1, list 7: fast_flush_domains = 'b\u00fccher.test'"
    assert difference.splitlines()[-1] == "  asked for 'xn--bcher-kva.test': Postfix no, etrnd yes"


def test_a_number_makes_the_same_list_again():
    assert Lists(5, 17).case() == Lists(5, 17).case()
    assert Lists(5, 17).case() != Lists(6, 17).case() != Lists(6, 18).case()
