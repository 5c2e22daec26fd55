"""What must be true of every answer, whatever the test is about."""


def adds_up(flush: dict) -> dict:
    """The two sums of the counts (docs: `Flush` in openapi.yaml)."""
    assert flush["matched"] == sum(flush[name] for name in ("released", "in_delivery", "held", "vanished", "unreleased")), flush
    assert flush["released"] == sum(flush[name] for name in ("delivered", "deferred_again", "bounced", "departed", "open")), flush
    return flush


def finished(flush: dict, **counts: int) -> dict:
    """It has ended with nothing open, and with these counts; outcomes that are not named are 0."""
    adds_up(flush)
    assert flush["state"] == "finished" and flush["open"] == 0, flush
    outcomes = ("delivered", "deferred_again", "bounced", "departed", "unreleased", "vanished", "held", "in_delivery")
    seen = {name: flush[name] for name in outcomes}
    assert seen == dict.fromkeys(outcomes, 0) | counts, flush
    return flush


def problem(answer, status: int, *pointers: str) -> dict:
    """An RFC 9457 problem with this status that points at these places."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"].split(";")[0] == "application/problem+json", answer.headers
    body = answer.json()
    assert body["status"] == status and body["type"] and body["title"] and body["detail"], body
    if pointers:
        assert {error["pointer"] for error in body.get("errors", [])} == set(pointers), body
    return body
