"""The wall clock jumps, by minutes and by months, forwards and back: mail and flushes keep their pace and their order.

The daemon's clock is shifted by a library that is compiled here and preloaded into it; the machine's stays as it is.
"""
import calendar
import random
import shutil
import struct
import subprocess
import time
from pathlib import Path

from .stage import Stage, reconciled, tidy, wait_until

SHIM = Path(__file__).parent / "clock_shim.c"
WAITS, GOES, STRANGER = "waits.example", "goes.example", "stranger.example"
MINUTE, HOUR, DAY = 60, 3600, 86400
# These first; a long version adds jumps of its own.
JUMPS = [HOUR, -HOUR, 40 * DAY, -41 * DAY, 3 * MINUTE, -90, -400 * DAY, 400 * DAY]
# Everything here is due within three seconds of the daemon's own timers, by whatever clock.
SOON = 20.0


def obstacle() -> str | None:
    """Why clocks cannot be shifted on this machine; None when they can."""
    return None if shutil.which("cc") else "there is no C compiler (cc)"


class Clock:
    """The offset between the daemon's clock and the machine's, in seconds."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "clock"
        self.library = directory / "clock.so"
        self.offset = 0
        self.file.write_bytes(struct.pack("q", 0))
        made = subprocess.run(
            ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(self.library), str(SHIM), "-ldl"],
            capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "FAULT_CLOCK": str(self.file)}

    def jump(self, seconds: int) -> None:
        self.offset += seconds
        with open(self.file, "r+b") as file:
            file.write(struct.pack("q", self.offset * 1_000_000))

    def reads(self, stamp: str) -> bool:
        """Whether a time that the daemon has just told is this clock's."""
        parsed = time.strptime(stamp.split(".")[0].rstrip("Z") + " UTC", "%Y-%m-%dT%H:%M:%S %Z")
        return abs(calendar.timegm(parsed) - (time.time() + self.offset)) < MINUTE


class Story:
    def __init__(self, stage: Stage) -> None:
        self.clock = Clock(stage.directory)
        self.site = stage.site()
        self.daemon = stage.daemon(
            environment=self.clock.environment, minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s",
            reconcile_interval="1s", slow_flush_interval="2s", maximal_queue_lifetime="3000d", fast_flush_purge_time="3000d")
        self.daemon.relay(WAITS, self.site.next_hop)
        self.daemon.relay(GOES, self.site.next_hop, delivery="normal")
        self.flushes: list[list[str]] = [[]]  # their IDs, for each life of the daemon: what it had not written yet it cannot count on from
        self.sent = 0

    def send(self, domain: str) -> None:
        self.sent += 1
        waiting = self.daemon.waiting(domain)
        self.daemon.send(f"user@{domain}", test_id=f"{self.sent}")
        wait_until(lambda: self.daemon.waiting(domain) == waiting + 1, SOON, "the message's record")

    def delivered(self) -> int:
        return len(self.site.snapshot())

    def flush(self, domain: str) -> dict:
        """Asks, and follows it as far as it goes soon."""
        answer = self.daemon.post(f"/etrn/{domain}", wait=5)
        assert answer.status in (200, 202), answer
        flush = answer.json()
        self.flushes[-1].append(flush["id"])
        assert self.clock.reads(flush["requested_at"]), f"{flush['requested_at']} is not the clock's time"

        def ended():
            told = self.daemon.get(f"/flushes/{flush['id']}").json()
            return told if told["state"] != "running" else None

        return wait_until(ended, SOON, f"the end of the flush of {domain} (scheduled_at {flush['scheduled_at']})", step=0.1)

    def jump(self, seconds: int, restart: bool) -> None:
        self.site.stop()
        before = self.delivered()
        self.flush(STRANGER)  # slow: the next one has to keep a distance
        self.send(WAITS)
        self.send(GOES)
        self.flush(WAITS)  # finds nobody: the next hop is left alone for a while
        self.clock.jump(seconds)
        if restart:
            self.daemon.kill()
            self.daemon.start()
            self.flushes.append([])
        self.site.start()
        wait_until(lambda: self.daemon.waiting(GOES) == 0, SOON, f"mail to go by itself after a jump of {seconds} s", step=0.1)
        self.send(WAITS)
        told = self.flush(WAITS)
        assert told["delivered"] == told["matched"] > 0, told
        assert self.flush(STRANGER)["state"] == "finished"
        self.send(GOES)
        wait_until(lambda: self.daemon.waiting(GOES) == 0, SOON, "new mail to go at once", step=0.1)
        wait_until(lambda: self.delivered() == before + 4, SOON, "four messages")
        assert self.daemon.get("/readyz").status == 200


def clock_jumps(stage: Stage, count: int) -> str:
    choice = random.Random(stage.seed)
    jumps = JUMPS[:count]
    while len(jumps) < count:
        jumps.append(choice.choice([-1, 1]) * choice.randrange(1, 10 ** choice.randrange(1, 8)))
    story = Story(stage)
    story.send(WAITS)
    story.site.start()
    assert story.flush(WAITS)["delivered"] == 1
    restarts = 0
    for seconds in jumps:
        # What a restart finds must be before the epoch of no clock, and the messages' age below their lifetime.
        if abs(story.clock.offset + seconds) > 1000 * DAY:
            seconds = -seconds
        restart = choice.random() < 0.3
        restarts += restart
        story.jump(seconds, restart)
    for ids in story.flushes:
        assert ids == sorted(ids), "the IDs of flushes are not in the order of the requests"
    listed = [flush["id"] for flush in story.daemon.get("/flushes", limit=1000).json()["flushes"]]
    assert listed == sorted(listed, reverse=True), "the flushes are not listed newest first"
    ids = [message.header("X-Test-ID") for message in story.site.snapshot()]
    assert sorted(ids, key=int) == [str(number + 1) for number in range(story.sent)], f"{story.sent} sent, received {sorted(ids, key=int)}"
    reconciled(story.daemon)
    tidy(story.daemon)
    return f"{len(jumps)} jumps of the clock, {restarts} with a kill, {sum(map(len, story.flushes))} flushes in order, {story.sent} messages once each"
