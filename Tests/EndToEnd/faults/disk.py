"""A disk that is full, again and again, and one that turns read-only under the daemon: clear answers, and nothing that was promised is lost.

Needs root: the state directory is a small file system of its own.
"""
import collections
import contextlib
import os
import random
import shutil
import smtplib
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from customer_server import Behaviour
from daemon_process import submit

from .kills import ids_in
from .stage import CustomerServer, Daemon, Stage, impediments, reconciled, spool_counts, tidy, wait_until

SIZE_MIB = 24
WAITS, GOES = "waits.example", "goes.example"
DELIVERY = {WAITS: "etrn-only", GOES: "normal"}
NO_ROOM = {452}  # what a full disk is answered with; a broken one with 451 as well
TOLD_LIMIT = 20.0
DRAIN_LIMIT = 90.0
SYNC_LIMIT = 120.0  # a disk in a file, on a disk that others sync too
PARAMETERS = {
    "minimal_backoff_time": "1s", "maximal_backoff_time": "2s", "queue_run_delay": "1s", "reconcile_interval": "1s",
    # What fills up while many are written must still be told from what is full: the last bytes are SQLite's and the logs'.
    "queue_minfree": str(256 * 1024),
}


def obstacle() -> str | None:
    """Why there can be no small file system on this machine; None when there can."""
    if os.geteuid() != 0:
        return "mounting a small file system needs root"
    tried = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"mounting is not allowed here: {tried.stderr.strip()}"


def obstacle_to_breaking() -> str | None:
    """Why no file system can be broken on this machine."""
    if why := obstacle():
        return why
    for program in ("mkfs.ext4", "e2fsck", "losetup", "findmnt"):
        if not shutil.which(program):
            return f"there is no {program}"
    if subprocess.run(["losetup", "--find"], capture_output=True, check=False).returncode != 0:
        return "there are no loop devices"
    if os.statvfs("/sys").f_flag & os.ST_RDONLY:
        return "/sys is read-only: a file system cannot be broken on request"
    return None


def _run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(command)}: {ran.stderr.strip()}"
    return ran.stdout.strip()


@dataclass
class Taken:
    """An acceptance: the reply, and when it was read."""

    reply: str
    at: float


class Load:
    """Senders and an asker on a disk that comes and goes; remembers what was accepted and with what the rest was refused."""

    SENDERS = 3
    SIZES = [0, 2_000, 40_000, 600_000]

    def __init__(self, daemon: Daemon, seed: int, largest: int = SIZES[-1]) -> None:
        self.daemon = daemon
        self.seed = seed
        self.sizes = [size for size in self.SIZES if size <= largest]
        self.accepted: dict[str, Taken] = {}  # by test ID
        self.refusals: collections.Counter[int] = collections.Counter()
        self.broken: list[str] = []
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=(n,), daemon=True) for n in range(self.SENDERS)]
        self._threads.append(threading.Thread(target=self._ask, daemon=True))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self, number: int) -> None:
        choice = random.Random(self.seed * 100 + number)
        count = 0
        while not self._stopped.is_set():
            try:
                with smtplib.SMTP(*self.daemon.smtp, local_hostname="sender.example", timeout=SYNC_LIMIT) as client:
                    for _ in range(40):
                        if self._stopped.is_set():
                            return
                        count += 1
                        self._send_one(client, choice, f"{self.seed}-{number}-{count}")
            except (OSError, smtplib.SMTPException) as error:
                self.broken.append(f"{error}")  # the daemon never went down
                self._stopped.wait(0.1)

    def _send_one(self, client: smtplib.SMTP, choice: random.Random, test_id: str) -> None:
        size = choice.choice(self.sizes)
        content = f"Subject: disk\r\nX-Test-ID: {test_id}\r\n\r\n".encode() + (b"z" * 70 + b"\r\n") * (size // 72)
        try:
            reply = submit(client, "alice@sender.example", [f"user@{choice.choice(list(DELIVERY))}"], content)
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            with self._lock:
                self.refusals[error.smtp_code] += 1
            self._stopped.wait(0.01)
        else:
            with self._lock:
                self.accepted[test_id] = Taken(reply, time.monotonic())

    def _ask(self) -> None:
        while not self._stopped.wait(0.1):
            answer = self.daemon.post(f"/etrn/{WAITS}")
            if answer.status not in (200, 202):
                self.broken.append(f"{answer!r}")


def _provisioned(daemon: Daemon, site: CustomerServer) -> None:
    for domain, delivery in DELIVERY.items():
        daemon.relay(domain, site.next_hop, delivery=delivery)


def _drained(daemon: Daemon) -> bool:
    daemon.post(f"/etrn/{WAITS}", wait=5)
    return sum(daemon.waiting(domain) for domain in DELIVERY) == 0


def _all_arrives(
    daemon: Daemon, site: CustomerServer, accepted: dict[str, Taken], may_come_again: collections.Counter[str] = collections.Counter()
) -> int:
    """How many came again: no others than those that may, and no oftener."""
    wait_until(lambda: _drained(daemon), DRAIN_LIMIT, "all mail to arrive", step=0.2)
    wait_until(lambda: not spool_counts(daemon), DRAIN_LIMIT, "an empty spool", step=0.2)
    received = collections.Counter(message.header("X-Test-ID") for message in site.snapshot())
    lost = {test_id: taken.reply for test_id, taken in accepted.items() if test_id not in received}
    assert not lost, f"{len(lost)} of {len(accepted)} accepted messages are gone: {_told_of(daemon, lost)}"
    again = {test_id: count for test_id, count in received.items() if count > 1 + may_come_again[test_id]}
    assert not again, f"came again: {again}"
    return sum(count - 1 for count in received.values())


def _told_of(daemon: Daemon, lost: dict[str, str]) -> str:
    """What is known of the first of the lost: its reply, where it may lie about, and what the log says of it."""
    test_id, reply = next(iter(lost.items()))
    found = [str(path) for path in daemon.state.glob("**/*") if path.is_file() and f"X-Test-ID: {test_id}\r\n".encode() in path.read_bytes()]
    queue_id = reply.rpartition(" ")[2]
    return f"{sorted(lost)[:10]}; {test_id}: {reply!r}, in the files {found}; log: {[line for line in daemon.log if queue_id in line]}"


def _logs_equal_record(daemon: Daemon) -> None:
    """What is below `flush/` names the messages that wait, once the daemon had a second for it."""

    def equal() -> bool:
        recorded = {row["queue_id"] for row in daemon.messages(WAITS)} if daemon.waiting(WAITS) else set()
        log = daemon.state / "flush" / WAITS
        logged = set(log.read_text().split()) if log.exists() else set()
        return recorded <= logged

    wait_until(equal, TOLD_LIMIT, "the destination's log to have what waits", step=0.1)


def disk_fills_again_and_again(stage: Stage, rounds: int) -> str:
    """Between two rounds there is room: each time all is well again, and at the end everything accepted has arrived once."""
    choice = random.Random(stage.seed)
    site = stage.site().start()
    daemon = stage.daemon(start=False, **PARAMETERS)
    daemon.state.mkdir()
    _unmounted_at_the_end(stage, daemon)
    _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=0700", "etrnd-fault", str(daemon.state))
    daemon.start()
    _provisioned(daemon, site)
    filler = daemon.state / "filler"
    with Load(daemon, stage.seed) as load:
        for number in range(rounds):
            site.behaviour.mail = Behaviour().mail
            time.sleep(choice.uniform(0.2, 0.6))  # somewhere in the middle of what goes on
            if choice.random() < 0.5:
                # What waits stays, and is what fills the disk. A site that breaks connections would get mail twice by rights.
                site.behaviour.mail = "450 4.3.2 later"
            leave = choice.choice([0, 0, 4_096, 60_000])
            _fill(filler, leave)
            refused = load.refusals.total()
            wait_until(lambda: load.refusals.total() > refused, TOLD_LIMIT, "a refusal")
            # What is delivered meanwhile makes room.
            told = wait_until(lambda: _fill(filler, leave) or impediments(daemon), TOLD_LIMIT, "readiness to tell")
            assert str(daemon.state) in told, told
            assert daemon.get("/livez").status == 200 and daemon.get("/status").status == 200
            filler.unlink()
            # Else what waits might fill a disk by itself, for good.
            site.behaviour.mail = Behaviour().mail
            wait_until(lambda: impediments(daemon) is None, TOLD_LIMIT, "readiness")
            accepted = len(load.accepted)
            wait_until(lambda: len(load.accepted) > accepted or load.broken, TOLD_LIMIT, "mail to be taken again")
            assert not load.broken, load.broken[:3]
    site.behaviour.mail = Behaviour().mail
    assert not spool_counts(daemon).get("tmp"), "something half-written is left"
    assert load.refusals.keys() <= NO_ROOM, f"a full disk was answered with {dict(load.refusals)}"
    # A full disk cost delivered messages their marks at most in memory: nothing comes twice while the daemon lives.
    _all_arrives(daemon, site, load.accepted)
    reconciled(daemon)
    assert daemon.get("/flushes", state="running").json()["flushes"] == []
    site.stop()
    daemon.send(f"user@{WAITS}", test_id="last")
    wait_until(lambda: daemon.waiting(WAITS) == 1, TOLD_LIMIT, "the last message's record")
    _logs_equal_record(daemon)
    newest = daemon.flush(WAITS)
    wait_until(lambda: daemon.get(f"/flushes/{newest['id']}").status == 200, TOLD_LIMIT, "the flush")
    time.sleep(2.5)  # two of the seconds that the history on disk may be behind
    daemon.kill()
    _fill(filler, 0)
    daemon.start()  # on a full disk, too: what is there can be delivered, and that makes room
    assert wait_until(lambda: impediments(daemon), TOLD_LIMIT, "readiness to tell") and daemon.waiting(WAITS) == 1
    filler.unlink()
    kept = daemon.get(f"/flushes/{newest['id']}")
    assert kept.status == 200 and kept.json()["matched"] == 1, kept
    site.start()
    _all_arrives(daemon, site, load.accepted | {"last": Taken("", 0)})
    tidy(daemon)
    return f"{rounds} times full, {len(load.accepted)} accepted and delivered once, {load.refusals.total()} refused with 452"


def _fill(filler: Path, leave: int) -> None:
    """Takes all the room but so many bytes, in the race with those who write."""
    with contextlib.suppress(OSError), open(filler, "ab", buffering=0) as file:
        while True:
            facts = os.statvfs(filler.parent)
            free = facts.f_bavail * facts.f_frsize - leave
            if free <= 0:
                break
            file.write(b"\0" * min(free, 1 << 20))


def _unmounted_at_the_end(stage: Stage, daemon: Daemon) -> None:
    """Nothing stays mounted: a shell that reads from us learns of our end also when we are killed."""
    command = 'read -r line; test "$line" = done || umount --lazy -- "$1"'
    reaper = subprocess.Popen(
        ["sh", "-c", command, "reaper", str(daemon.state)], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)

    def unmount() -> None:
        daemon.kill()
        if os.path.ismount(daemon.state):
            _run("umount", str(daemon.state))
        reaper.communicate(b"done\n")

    stage.at_the_end(unmount)


def disk_turns_read_only(stage: Stage, rounds: int) -> str:
    """As ext4 does after an error: nothing can be written any more. After a repair and a start everything accepted is there."""
    choice = random.Random(stage.seed)
    image = stage.directory / "image"
    with open(image, "wb") as file:
        # Nothing is stored where nothing was written. In a round without a site, all that is sent stays here.
        file.truncate(512 << 20)
    _run("mkfs.ext4", "-q", str(image))
    site = stage.site()
    daemon = stage.daemon(start=False, **PARAMETERS)
    daemon.state.mkdir()
    _unmounted_at_the_end(stage, daemon)
    accepted: dict[str, Taken] = {}
    uncertain = 0
    refusals: collections.Counter[int] = collections.Counter()
    may_come_again: collections.Counter[str] = collections.Counter()
    for number in range(rounds):
        _run("mount", "-o", "loop,errors=remount-ro", str(image), str(daemon.state))
        daemon.state.chmod(0o700)
        daemon.start()
        _provisioned(daemon, site)
        if choice.random() < 0.7:
            site.start()
        with Load(daemon, stage.seed + number, largest=40_000) as load:
            time.sleep(choice.uniform(0.3, 2.0))
            began = time.monotonic()
            _break(daemon.state)
            refused = load.refusals.total()
            wait_until(lambda: load.refusals.total() > refused, TOLD_LIMIT, "a refusal")
            told = wait_until(lambda: impediments(daemon), TOLD_LIMIT, "readiness to tell")
            assert str(daemon.state) in told and "ead-only" in told, told
            for path in ("/livez", "/status", f"/domains/{WAITS}", "/relay-domains"):
                assert daemon.get(path).status == 200, path
            changed = daemon.put(f"/relay-domains/n{number}.example", {"next_hop": "[192.0.2.1]:25"})
            assert changed.status == 503, changed
            taken = len(load.accepted)
            time.sleep(0.5)
            assert len(load.accepted) == taken, "mail is taken onto a disk that takes none"
        assert not [text for text in load.broken if "etrn" not in text], load.broken[:3]
        # While an ext4 gives up, for some milliseconds a sync of what is lost succeeds, for any program: what was promised by then is judged.
        certain = {test_id: taken for test_id, taken in load.accepted.items() if taken.at < began}
        accepted |= certain
        uncertain += len(load.accepted) - len(certain)
        refusals += load.refusals
        # What was delivered while its mark could not be written comes again after the start, as after a kill.
        late = {message.header("X-Test-ID") for message in site.snapshot() if message.at > began - 1}
        may_come_again.update(ids_in(daemon.state / "spool/active") | late)
        assert daemon.stop() == 0, daemon.log_tail()
        site.stop()
        _run("umount", str(daemon.state))
        repaired = subprocess.run(["e2fsck", "-fp", str(image)], capture_output=True, text=True, check=False)
        assert repaired.returncode in (0, 1), repaired
    assert refusals.keys() <= {451, 452}, f"a read-only disk was answered with {dict(refusals)}"
    _run("mount", "-o", "loop", str(image), str(daemon.state))
    daemon.start()
    site.start()
    again = _all_arrives(daemon, site, accepted, may_come_again)
    reconciled(daemon)
    (daemon.state / "lost+found").rmdir()
    tidy(daemon)
    return (
        f"{rounds} times read-only, {len(accepted)} accepted, none lost, {again} delivered again, {sum(refusals.values())} refused; "
        f"{uncertain} more were accepted in the moments of breaking"
    )


def _break(mounted: Path) -> None:
    """Makes the kernel find an error in the file system, as a bad disk would."""
    device = os.path.basename(_run("findmnt", "-no", "SOURCE", str(mounted)))
    try:
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("etrnd fault")
    except OSError as error:
        raise AssertionError(f"the file system cannot be broken on request: {error}") from error
