"""What is measured of flushing: the core alone, the daemon on its spool, and its start on a large queue."""
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import daemon_process
import script
import synthetic_spool
from daemon_process import Daemon, wait_until
from figures import OURS, Figures
from postfix_instance import PostfixDaemon, PostfixInstance, obstacle
from processes import free_port, memory, wait_for_rest
from script import say
from synthetic_queue import SyntheticQueue

WITHOUT_LOGS = "without log files"
SITE, OTHERS = "site.bench.test", 2_000
WANTED = 10
COMPLETE_LIMIT = 600.0  # seconds until a queue has been read
# ext4 takes 65,000 names for a file.
LINKS = 60_000
# How long a start takes is what is measured here.
daemon_process.START_LIMIT = COMPLETE_LIMIT


class Size(NamedTuple):
    """How much of everything."""

    recorded: tuple[int, ...]  # messages, ascending
    domains: int
    flushes: int
    rounds: int


class Core:
    """The core by itself, in the program beside this script."""

    def __init__(self, program: Path, size: Size, figures: Figures) -> None:
        self.program = program
        self.size = size
        self.figures = figures

    def run(self) -> None:
        most = self.size.recorded[-1]
        for number in range(self.size.rounds):
            say(f"round {number + 1} of {self.size.rounds}: adds")
            for domains in (1, self.size.domains):
                done = self._core("adds", most, domains)
                self.figures.add(f"adds a second, {domains:,} domains", OURS, most / done["cpu"])
                self.figures.add(f"bytes a message, {domains:,} domains", OURS, done["bytes_a_message"])
                if domains == 1:
                    self.figures.add("adds with log files", WITHOUT_LOGS, done["process_cpu"] / most * 1e6)
            with tempfile.TemporaryDirectory(prefix="etrnd-benchmark-") as directory:
                done = self._core("adds", most, 1, directory)
                self.figures.add("adds with log files", OURS, done["process_cpu"] / most * 1e6)
                self.figures.add("adds a second, log files written", OURS, most / done["cpu"])
            say(f"round {number + 1} of {self.size.rounds}: releases")
            for recorded in self.size.recorded:
                done = self._core("releases", recorded, self.size.flushes)
                self.figures.add(f"release, {recorded:,} recorded", OURS, done["median_us"])

    def _core(self, *words) -> dict:
        command = [str(self.program), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=script.STEP_LIMIT, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return json.loads(done.stdout)


class OnSpool:
    """The daemon with its own spool: its start, and flushes whose ten messages fail again at once."""

    def __init__(self, program: Path, size: Size, figures: Figures) -> None:
        self.program = program
        self.size = size
        self.figures = figures

    def run(self) -> None:
        for recorded in (0, self.size.recorded[0], self.size.recorded[-1]):
            with tempfile.TemporaryDirectory(prefix="etrnd-benchmark-") as directory:
                self._measure(Path(directory), recorded)

    def _measure(self, directory: Path, recorded: int) -> None:
        settings = {"fast_flush_domains": "bench.test", "log_level": "warning", "smtp_listen": ""}
        daemon = Daemon(self.program, directory, settings)
        if recorded:
            say(f"making a spool with {recorded:,} messages")
            synthetic_spool.fill(daemon.state, self._domains(recorded))
        for number in range(self.size.rounds):
            say(f"start with {recorded:,} messages in the spool, {number + 1} of {self.size.rounds}")
            ready, complete = start(daemon)
            try:
                self.figures.add(f"ready, {recorded:,} in the spool", OURS, ready * 1e3)
                self.figures.add(f"complete, {recorded:,} in the spool", OURS, complete)
                wait_for_rest(daemon.pid)
                self.figures.add(f"memory, {recorded:,} in the spool", OURS, memory([daemon.pid]))
                if recorded:
                    self._flush(daemon, recorded)
            finally:
                daemon.stop()

    @staticmethod
    def _domains(recorded: int):
        """The wanted ones in the midst of all."""
        for number in range(recorded):
            is_wanted = number % (recorded // WANTED) == 0 and number // (recorded // WANTED) < WANTED
            yield SITE if is_wanted else f"d{number % OTHERS}.bench.test"

    def _flush(self, daemon: Daemon, recorded: int) -> None:
        # Nobody is there: every attempt ends at once, and the next flush finds the same ten.
        daemon.relay(SITE, f"[127.0.0.1]:{free_port()}")
        wait_until(lambda: daemon.waiting(SITE) == WANTED, 30, "ten messages")
        times = []
        for _ in range(self.size.flushes // 10):
            begin = time.monotonic()
            flush = daemon.post(f"/etrn/{SITE}", wait=30).json()
            times.append(time.monotonic() - begin)
            assert flush["state"] == "finished" and flush["deferred_again"] == WANTED, flush
        self.figures.add(f"flush by the spool, {recorded:,} recorded", OURS, statistics.median(times) * 1e3)


class OnPostfix:
    """The daemon's start beside a Postfix whose queue is as large: many names of a few files, which are read as often."""

    def __init__(self, program: Path, size: Size, figures: Figures) -> None:
        self.program = program
        self.size = size
        self.figures = figures

    def run(self) -> None:
        if reason := obstacle():
            return say(f"left out: {reason}")
        recorded = self.size.recorded[-1]
        hop = f"[127.0.0.1]:{free_port()}"
        with PostfixInstance({"cust.test": hop}, transport_maps=f"static:smtp:{hop}") as postfix:
            model = postfix.send("user0000@d00000.cust.test")
            postfix.wait_deferred({model}, 60)
            say(f"making a Postfix queue with {recorded:,} messages")
            queue = SyntheticQueue(postfix.spool, model, "user0000@d00000.cust.test")
            queue.link("d00001.cust.test", recorded, LINKS)
            daemon = PostfixDaemon(self.program, postfix, fast_flush_domains="cust.test", log_level="warning")
            for number in range(self.size.rounds):
                say(f"start with {recorded:,} messages in Postfix's queue, {number + 1} of {self.size.rounds}")
                ready, complete = start(daemon)
                try:
                    self.figures.add(f"ready, {recorded:,} in Postfix's queue", OURS, ready * 1e3)
                    self.figures.add(f"complete, {recorded:,} in Postfix's queue", OURS, complete)
                    wait_for_rest(daemon.pid)
                    self.figures.add(f"memory, {recorded:,} in Postfix's queue", OURS, memory([daemon.pid]))
                finally:
                    daemon.stop()


def start(daemon: Daemon) -> tuple[float, float]:
    """Seconds until it is ready, and until it knows its whole queue."""
    begin = time.monotonic()
    daemon.start()
    ready = time.monotonic() - begin
    wait_until(lambda: daemon.get("/status").json()["index_complete"], COMPLETE_LIMIT, "the first scan", step=0.01)
    return ready, time.monotonic() - begin

