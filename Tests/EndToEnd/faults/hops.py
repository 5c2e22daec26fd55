"""Next hops that accept a connection and never say a word: others' mail goes on, and nothing is waited for without an end."""
import socket
import time

from .stage import Stage, open_descriptors, quiet, reconciled, wait_until

PROMPT = 20.0  # seconds for the mail of a site that answers, on a slow machine
STOP_LIMIT = 15.0


class MuteHop:
    """The kernel takes its connections; nobody ever answers."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(512)
        self.next_hop = f"[127.0.0.1]:{self.socket.getsockname()[1]}"

    def close(self) -> None:
        self.socket.close()


def mute_hops_hold_nobody_up(stage: Stage, hops: int, messages: int, concurrency: int) -> str:
    """A hop that nobody has answered at gets a tenth of the slots: with fewer than ten of them, others get theirs at once."""
    site = stage.site().start()
    daemon = stage.daemon(
        delivery_concurrency=concurrency, flush_probe_messages=0, minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s",
        reconcile_interval="1s", shutdown_timeout="2s")
    before = open_descriptors(daemon)
    mute = [MuteHop() for _ in range(hops)]
    for hop in mute:
        stage.at_the_end(hop.close)
    for number, hop in enumerate(mute):
        daemon.relay(f"mute{number}.example", hop.next_hop)
    daemon.relay("answers.example", site.next_hop)
    for number in range(hops):
        for _ in range(messages):
            daemon.send(f"user@mute{number}.example")
    waiting = hops * messages
    wait_until(lambda: daemon.get("/status").json()["messages"] == waiting, 30, "all records")

    flushes = [daemon.post(f"/etrn/mute{number}.example").json() for number in range(hops)]
    assert all(flush["state"] == "running" and flush["matched"] == messages for flush in flushes), flushes
    began = time.monotonic()
    slowest = 0.0
    for number in range(5):
        daemon.send("user@answers.example")
        wait_until(lambda: daemon.waiting("answers.example") == 1, 30, "the message's record")
        asked = time.monotonic()
        flush = daemon.flush("answers.example")
        assert flush["delivered"] == 1, flush
        slowest = max(slowest, time.monotonic() - asked)
    assert slowest < PROMPT, f"mail for a site that answers took {slowest:.1f} s"
    # The mute ones go on being waited for, and can be given up.
    for flush in flushes:
        now = daemon.get(f"/flushes/{flush['id']}").json()
        assert now["state"] == "running" and now["open"] > 0, now
        cancelled = daemon.delete(f"/flushes/{flush['id']}").json()
        assert cancelled["state"] != "running", cancelled
    reconciled(daemon)
    assert daemon.get("/status").json()["messages"] == waiting
    asked = time.monotonic()
    assert daemon.stop() == 0, daemon.log_tail()
    stopped = time.monotonic() - asked
    assert stopped < STOP_LIMIT, f"the stop took {stopped:.1f} s"
    # The mail is where it was, and is tried when the sites answer.
    for number, hop in enumerate(mute):
        hop.close()
    daemon.start()
    for number in range(hops):
        daemon.relay(f"mute{number}.example", site.next_hop)
    for number in range(hops):
        wait_until(lambda number=number: daemon.flush(f"mute{number}.example") and not daemon.waiting(f"mute{number}.example"), 60, "the mail")
    received = [message.recipients[0] for message in site.snapshot()]
    assert len(received) == waiting + 5, f"{len(received)} of {waiting + 5} delivered"
    quiet(daemon, before + 5 + concurrency, "mute hops")
    return (
        f"{hops} mute next hops with {messages} messages each on {concurrency} slots: mail for another in at most {slowest:.2f} s "
        f"while they were waited for ({time.monotonic() - began:.0f} s), stopped in {stopped:.1f} s, none lost"
    )
