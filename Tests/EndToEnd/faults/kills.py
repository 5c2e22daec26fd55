"""kill -9 of the spool at random moments: of intake, delivery, flushes, provisioning, and of the start itself."""
import collections
import http.client
import os
import random
import smtplib
import threading
import time

from daemon_process import submit

from .stage import Daemon, Stage, reconciled, spool_counts, tidy, wait_until

SENDERS = 4
WAITS, GOES = "waits.example", "goes.example"
DELIVERY = {WAITS: "etrn-only", GOES: "normal"}
# The site puts one of them off now and then, so that mail goes back to wait as well.
USERS = ["ann", "bob", "eve"]
PROVISIONED = [f"p{n}.example" for n in range(12)]
DRAIN_LIMIT = 120.0  # seconds for the last mail to arrive
COUNTED_EVERY = 40  # kills between two looks at the counts without load
STARTS_CUT_SHORT = 0.25  # of all kills, how many come during a start
RESULTS_OF_A_DEAD_DAEMON = (OSError, TypeError, ValueError, http.client.HTTPException)  # `http` is None while it is down


class Load:
    """Sends mail, asks for flushes and provisions until it is told to stop; remembers what was promised."""

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self.daemon = daemon
        self.seed = seed
        self.accepted: set[tuple[str, str]] = set()  # test ID and recipient
        self.flushes = 0
        self.changes = 0
        # Of each provisioned domain: what was promised, and what was asked for without an answer.
        self.promised: dict[str, str | None] = dict.fromkeys(PROVISIONED)
        self.asked: dict[str, str | None] = {}
        self._count = 0
        self._stopped = threading.Event()
        self._resting = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._stopped.clear()
        self._threads = [threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(SENDERS)]
        self._threads += [threading.Thread(target=work, daemon=True) for work in (self._ask, self._provision)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client of the load hangs"

    def _next(self) -> int:
        with self._lock:
            self._count += 1
            return self._count

    def _send(self, number: int) -> None:
        choice = random.Random(self.seed * 100 + number)
        while not self._stopped.is_set():
            try:
                with smtplib.SMTP(*self.daemon.smtp, local_hostname="sender.example", timeout=10) as client:
                    for _ in range(50):
                        if self._stopped.is_set():
                            break
                        self._send_one(client, choice)
            except (*RESULTS_OF_A_DEAD_DAEMON, smtplib.SMTPException):
                time.sleep(0.01)  # refused or cut off

    def _send_one(self, client: smtplib.SMTP, choice: random.Random) -> None:
        count = self._next()
        test_id = f"{count}"
        domains = list(DELIVERY) if count % 5 == 0 else [choice.choice(list(DELIVERY))]
        recipients = [f"{choice.choice(USERS)}@{domain}" for domain in domains]
        size = choice.choice([0, 2_000, 40_000, 400_000] if count % 8 == 0 else [0, 2_000])
        content = f"Subject: load\r\nX-Test-ID: {test_id}\r\n\r\n".encode() + (b"y" * 70 + b"\r\n") * (size // 72)
        submit(client, "alice@sender.example", recipients, content)
        with self._lock:  # only after the 250 was read
            self.accepted.update((test_id, recipient) for recipient in recipients)

    def _ask(self) -> None:
        while not self._stopped.is_set():
            try:
                # Without `wait`: a flush that outlives the daemon has no answer, and would not be counted.
                answer = self.daemon.post(f"/etrn/{WAITS}")
                self.flushes += answer.status in (200, 202)
                self._stopped.wait(0.02)
            except RESULTS_OF_A_DEAD_DAEMON:
                time.sleep(0.01)

    def _provision(self) -> None:
        choice = random.Random(self.seed * 100 + 99)
        while not self._stopped.is_set():
            domain = choice.choice(PROVISIONED)
            wanted = None if choice.random() < 0.3 else f"[192.0.2.1]:{choice.randrange(1000, 2000)}"
            try:
                self.asked[domain] = wanted
                if wanted is None:
                    answer = self.daemon.delete(f"/relay-domains/{domain}")
                else:
                    answer = self.daemon.put(f"/relay-domains/{domain}", {"next_hop": wanted, "delivery": "etrn-only"})
                if answer.status in (200, 201, 204, 404):
                    self.promised[domain] = wanted
                    self.changes += 1
                    del self.asked[domain]
                self._stopped.wait(0.01)
            except RESULTS_OF_A_DEAD_DAEMON:
                # Done or not done: nobody was told. Until somebody looks, one cannot go on with this domain.
                while domain in self.asked and not self._stopped.wait(0.01):
                    self.look(domain)

    def look(self, domain: str) -> None:
        """After a start: a domain is as promised, or as the request that was cut off wanted it."""
        try:
            answer = self.daemon.get(f"/relay-domains/{domain}")
        except RESULTS_OF_A_DEAD_DAEMON:
            return
        if answer.status not in (200, 404):
            return
        found = answer.json()["next_hop"] if answer.status == 200 else None
        allowed = {self.promised[domain], self.asked.get(domain, self.promised[domain])}
        if found not in allowed:
            self.promised[domain] = "lost"  # told at the end: this is one of the load's threads
        else:
            self.promised[domain] = found
        self.asked.pop(domain, None)

    def check_provisioning(self) -> None:
        """Nobody provisions now: every domain is as promised."""
        for domain in list(self.asked):
            self.look(domain)
        rows = {row["domain"]: row["next_hop"] for row in self.daemon.get("/relay-domains", limit=1000).json()["relay_domains"]}
        expected = {domain: hop for domain, hop in self.promised.items() if hop is not None}
        found = {domain: hop for domain, hop in rows.items() if domain in self.promised}
        assert found == expected, f"provisioned: {found}, promised: {expected}"


def in_transmission(daemon: Daemon) -> set[str]:
    """The X-Test-IDs of the messages in `active`."""
    return ids_in(daemon.state / "spool" / "active")


def queued(daemon: Daemon) -> set[str]:
    """The queue IDs of the files of the queue. Twice, as files move between two directories meanwhile."""
    folders = [daemon.state / "spool" / name for name in ("incoming", "active", "deferred")] * 2
    return {name for folder in folders for _, _, names in os.walk(folder) for name in names}


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


class Story:
    def __init__(self, stage: Stage) -> None:
        self.choice = random.Random(stage.seed)
        self.site = stage.site().start()
        self.daemon = stage.daemon(
            minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s", reconcile_interval="1s")
        for domain, delivery in DELIVERY.items():
            self.daemon.relay(domain, self.site.next_hop, delivery=delivery)
        self.load = Load(self.daemon, stage.seed)
        self.may_come_again: collections.Counter[str] = collections.Counter()  # test ID -> kills at which it was in transmission
        self.kills = self.starts_cut_short = self.counted = 0
        self.slowest_start = 0.0

    def kill_once(self) -> None:
        # The random moment is the test; everything else waits for events.
        time.sleep(self.choice.uniform(0.05, 0.8))
        user = self.choice.choice(USERS)
        self.site.behaviour.recipients = {f"{user}@{domain}": "450 4.2.1 later" for domain in DELIVERY} if self.choice.random() < 0.4 else {}
        self.kill()
        while self.choice.random() < STARTS_CUT_SHORT:
            self.daemon.launch()
            time.sleep(self.choice.uniform(0, 0.15))
            self.starts_cut_short += 1
            self.kill()
        began = time.monotonic()
        self.daemon.start()
        self.slowest_start = max(self.slowest_start, time.monotonic() - began)

    def kill(self) -> None:
        self.daemon.kill()
        self.kills += 1
        self.may_come_again.update(in_transmission(self.daemon))

    def drained(self) -> bool:
        self.daemon.post(f"/etrn/{WAITS}", wait=5)
        return sum(self.daemon.waiting(domain) for domain in DELIVERY) == 0

    def count(self) -> None:
        """Without load: the record is what is on the disk, nothing is half-written, and what was provisioned is."""
        self.load.check_provisioning()
        # All that is left waits, some of it tried again and again.
        self.site.behaviour.recipients = {f"{user}@{domain}": "450 4.2.1 later" for user in USERS for domain in DELIVERY}
        wait_until(lambda: not spool_counts(self.daemon).get("tmp"), DRAIN_LIMIT, "nothing half-written")
        reconciled(self.daemon)
        on_disk = queued(self.daemon)
        recorded = {row["queue_id"] for domain in DELIVERY for row in self.daemon.messages(domain)}
        assert recorded == on_disk, f"missing {sorted(on_disk - recorded)[:5]}, stale {sorted(recorded - on_disk)[:5]}"
        assert self.daemon.get("/status").json()["messages"] == len(on_disk)
        self.counted += len(on_disk)

        self.site.behaviour.recipients = {}
        wait_until(self.drained, DRAIN_LIMIT, "all mail to arrive", step=0.2)
        wait_until(lambda: not spool_counts(self.daemon), DRAIN_LIMIT, "an empty spool", step=0.2)
        reconciled(self.daemon)
        assert self.daemon.get("/status").json()["messages"] == 0
        running = self.daemon.get("/flushes", state="running").json()["flushes"]
        assert not running, f"flushes without an end: {running[:3]}"

    def judge(self) -> str:
        received = collections.Counter(
            (message.header("X-Test-ID"), recipient) for message in self.site.snapshot() for recipient in message.recipients)
        counts = (
            f"{self.kills} kills ({self.starts_cut_short} during a start), {len(self.load.accepted)} accepted, {self.load.flushes} flushes, "
            f"{self.load.changes} changes of relay domains, {sum(received.values())} received, "
            f"{sum(count - 1 for count in received.values())} of them again, {sum(self.may_come_again.values())} in transmission at a kill, "
            f"{self.counted} waiting when counted, slowest start {self.slowest_start:.2f} s"
        )
        lost = self.load.accepted - received.keys()
        assert not lost, f"{len(lost)} accepted messages are gone: {sorted(lost)[:10]}; {counts}"
        twice = {key: count for key, count in received.items() if count > 1 + self.may_come_again[key[0]]}
        assert not twice, f"came again although not in transmission at a kill: {twice}; {counts}"
        assert len(self.load.accepted) > 5 * self.kills, f"too little load to tell anything: {counts}"
        assert self.load.flushes > self.kills // 2 and sum(self.may_come_again.values()) > 0, f"no delivery ran at any kill: {counts}"
        return counts


def spool_is_killed(stage: Stage, kills: int) -> str:
    """Nothing accepted is lost, only what was in transmission comes twice, counts are right, nothing is left over."""
    story = Story(stage)
    while story.kills < kills:
        goal = min(kills, story.kills + COUNTED_EVERY)
        story.load.start()
        try:
            while story.kills < goal:
                story.kill_once()
        finally:
            story.load.stop()
        story.count()
    told = story.judge()
    tidy(story.daemon)
    return told
