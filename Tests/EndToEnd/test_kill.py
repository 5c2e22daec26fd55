"""kill -9 at random moments under load: nothing that was accepted is lost, and only what was in transmission comes twice."""
import collections
import http.client
import os
import random
import smtplib
import threading
import time

import pytest

from daemon_process import submit, wait_until

KILLS = 20
SENDERS = 4
DOMAINS = {"waits.example": "etrn-only", "goes.example": "normal"}
DRAIN_LIMIT = 90.0  # seconds for the last mail to arrive


class Load:
    """Sends mail and asks for flushes until it is told to stop; remembers what was accepted."""

    def __init__(self, daemon, seed: int) -> None:
        self.daemon = daemon
        self.seed = seed
        self.accepted: set[str] = set()
        self.flushes = 0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(SENDERS)]
        self._threads.append(threading.Thread(target=self._ask, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _send(self, number: int) -> None:
        choice = random.Random(self.seed * 100 + number)
        count = 0
        while not self._stopped.is_set():
            try:
                with smtplib.SMTP(*self.daemon.smtp, local_hostname="sender.example", timeout=10) as client:
                    for _ in range(50):
                        if self._stopped.is_set():
                            break
                        count += 1
                        test_id = f"{number}-{count}"
                        domain = choice.choice(list(DOMAINS))
                        size = choice.choice([0, 2_000, 40_000, 400_000] if count % 8 == 0 else [0, 2_000])
                        content = f"Subject: load\r\nX-Test-ID: {test_id}\r\n\r\n".encode() + (b"y" * 70 + b"\r\n") * (size // 72)
                        submit(client, "alice@sender.example", [f"user@{domain}"], content)
                        with self._lock:
                            self.accepted.add(test_id)  # only after the 250 was read
            except (OSError, smtplib.SMTPException, TypeError):
                time.sleep(0.01)  # the daemon is down: `smtp` is None, refused or cut off

    def _ask(self) -> None:
        while not self._stopped.is_set():
            try:
                # Without `wait`: a flush that outlives the daemon has no answer, and would not be counted.
                answer = self.daemon.post("/etrn/waits.example")
                self.flushes += answer.status in (200, 202)
                self._stopped.wait(0.02)
            except (OSError, TypeError, ValueError, http.client.HTTPException):
                time.sleep(0.01)


def ids_in(directory) -> set[str]:
    """The X-Test-IDs of the messages below a directory of the spool."""
    found = set()
    for folder, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                for line in file.read(65536).split(b"\r\n"):
                    if line.startswith(b"X-Test-ID: "):
                        found.add(line[11:].decode())
                        break
    return found


@pytest.mark.timeout(600)
def test_twenty_kills_lose_nothing_and_duplicate_only_what_was_in_transmission(make_daemon, make_sink):
    seed = int(os.environ.get("E2E_SEED", random.SystemRandom().randrange(1_000_000)))
    print(f"seed {seed}; run again with E2E_SEED={seed}")
    choice = random.Random(seed)
    site = make_sink().start()
    daemon = make_daemon(minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s")
    for domain, delivery in DOMAINS.items():
        daemon.relay(domain, site.next_hop, delivery=delivery)
    load = Load(daemon, seed)
    may_come_again = collections.Counter()  # test ID -> kills at which it was in transmission
    load.start()
    try:
        for _ in range(KILLS):
            # The random moment is the test; everything else waits for events.
            time.sleep(choice.uniform(0.05, 0.8))
            daemon.kill()
            may_come_again.update(ids_in(daemon.state / "spool" / "active"))
            daemon.start()
    finally:
        load.stop()

    def drained():
        daemon.post("/etrn/waits.example", wait=5)
        return sum(daemon.waiting(domain) for domain in DOMAINS) == 0

    wait_until(drained, DRAIN_LIMIT, "all mail to arrive", step=0.2)
    wait_until(lambda: not ids_in(daemon.state / "spool"), 20, "an empty spool", step=0.2)

    received = collections.Counter(message.header("X-Test-ID") for message in site.snapshot())
    print(f"{len(load.accepted)} accepted, {load.flushes} flushes, {sum(received.values())} received, {sum(may_come_again.values())} in transmission at a kill")
    assert len(load.accepted) > 10 * KILLS, "too little load to tell anything"
    assert load.flushes > KILLS and sum(may_come_again.values()) > 0, "no delivery was running at any kill"
    lost = load.accepted - received.keys()
    assert not lost, f"{len(lost)} accepted messages are gone: {sorted(lost)[:10]}"
    twice = {test_id: count for test_id, count in received.items() if count > 1 + may_come_again[test_id]}
    assert not twice, f"came again although not in transmission at a kill: {twice}"
