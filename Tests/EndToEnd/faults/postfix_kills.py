"""kill -9 of the service of a real Postfix, at random moments, starts included: Postfix loses nothing, and the record follows."""
import random
import threading
import time

import postfix_instance
from peers import index_is_complete
from postfix_instance import PostfixDaemon, PostfixInstance
from postfix_story import CUSTOMER, OTHER, record_equals_queue

from .stage import Stage, wait_until

obstacle = postfix_instance.obstacle
LIMIT = 120.0
STARTS_CUT_SHORT = 0.25
COUNTED_EVERY = 15  # kills between two looks at the record without load
SMTP_PIECE = 5  # messages of a connection


class Load:
    """Mail into Postfix and ETRN by its smtpd, whether the service lives or not."""

    def __init__(self, postfix: PostfixInstance, seed: int) -> None:
        self.postfix = postfix
        self.choice = random.Random(seed)
        self.sent: list[str] = []
        self.asked = self.refused = 0
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self.failures: list[str] = []

    def start(self) -> None:
        self._stopped.clear()
        self._threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in (self._send, self._ask)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(90)
            assert not thread.is_alive(), "a client of the load hangs"
        assert not self.failures, self.failures

    def _guarded(self, work) -> None:
        try:
            while not self._stopped.is_set():
                work()
        except Exception as error:  # told by whoever stops the load
            self.failures.append(f"{work.__name__}: {error!r}")

    def _send(self) -> None:
        ids = [f"{len(self.sent) + n}" for n in range(SMTP_PIECE)]
        domains = [self.choice.choice([CUSTOMER, OTHER]) for _ in ids]
        # Without the service too: Postfix takes and defers mail by itself.
        self.postfix.send_all([(f"user@{domain}",) for domain in domains], ids)
        self.sent += ids
        self._stopped.wait(0.1)

    def _ask(self) -> None:
        code, text = self.postfix.etrn(self.choice.choice([CUSTOMER, OTHER]))
        assert code in (250, 458), (code, text)
        self.asked += code == 250
        self.refused += code == 458
        self._stopped.wait(0.05)


def service_of_postfix_is_killed(stage: Stage, kills: int) -> str:
    choice = random.Random(stage.seed)
    sites = {CUSTOMER: stage.site(), OTHER: stage.site()}
    postfix = PostfixInstance({domain: site.next_hop for domain, site in sites.items()})
    stage.at_the_end(postfix.close)
    daemon = PostfixDaemon(stage.program, postfix, reconcile_interval="2s")
    stage.daemons.append(daemon)
    stage.at_the_end(daemon.kill)
    daemon.start()
    for domain, site in sites.items():
        daemon.relay(domain, site.next_hop, delivery="normal")
    load = Load(postfix, stage.seed)
    done = cut_short = waiting = 0
    while done < kills:
        goal = min(kills, done + COUNTED_EVERY)
        load.start()
        try:
            while done < goal:
                # The random moment is the test; everything else waits for events.
                time.sleep(choice.uniform(0.05, 1.0))
                site = choice.choice(list(sites.values()))
                site.start() if choice.random() < 0.4 else site.stop()
                daemon.kill()
                done += 1
                while choice.random() < STARTS_CUT_SHORT:
                    daemon.launch()
                    time.sleep(choice.uniform(0, 0.2))
                    daemon.kill()
                    done += 1
                    cut_short += 1
                daemon.start()
        finally:
            load.stop()
        for site in sites.values():
            site.stop()
        wait_until(lambda: index_is_complete(daemon), LIMIT, "a complete index")
        wait_until(lambda: not postfix.ids("incoming", "active"), LIMIT, "the queue manager to be done")
        waiting += sum(map(len, record_equals_queue(postfix, daemon).values()))

    for site in sites.values():
        site.start()

    def is_empty() -> bool:
        for domain in sites:
            assert postfix.etrn(domain) == (250, "Queuing started")
        return not postfix.ids()

    wait_until(is_empty, LIMIT, "everything to be delivered", step=0.5)
    assert record_equals_queue(postfix, daemon) == {}
    received = [message.header("X-Test-ID") for site in sites.values() for message in site.snapshot() if message.acknowledged]
    # Breaking a site's connections cuts off deliveries of Postfix's own; what it had taken by then may come again.
    lost = set(load.sent) - set(received)
    assert not lost, f"{len(lost)} messages are gone: {sorted(lost)[:10]}"
    assert load.asked > 0 and waiting > 0, f"{load.asked} flushes asked for, {waiting} waiting when counted"
    return (
        f"{done} kills ({cut_short} during a start), {len(load.sent)} messages, {load.asked} ETRN answered 250 and {load.refused} 458, "
        f"{waiting} waiting when counted, record and queue equal, {len(received) - len(set(received))} delivered again"
    )
