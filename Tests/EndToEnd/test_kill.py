"""kill -9 at random moments under load: nothing that was accepted is lost, and only what was in transmission comes twice."""
import pytest

from faults import kills

KILLS = 10


@pytest.mark.timeout(600)
def test_kills_lose_nothing_and_duplicate_only_what_was_in_transmission(stage):
    print(kills.spool_is_killed(stage, KILLS))
