"""What is measured, and on what."""
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from daemon_process import wait_until
from figures import OURS, Figures
from postfix_instance import PostfixInstance
from processes import free_port
from report import NATIVE
from script import STEP_LIMIT, compiled, say
from sides import NativeSide, OurSide
from synthetic_queue import SyntheticQueue

HERE = Path(__file__).resolve().parent
MODEL_ADDRESS = "user0000@d00000.cust.test"
# The rest of the queue is spread over as many domains.
OTHER_DOMAINS = 2_000
ADD_DOMAINS = 200
# Between two adds of the one client that looks for long ones: it shall not be a load of its own.
WATCH_PAUSE_US = 500
QUEUE_FOLDERS = ("incoming", "active", "deferred", "hold")


class Size(NamedTuple):
    """How much of everything."""

    messages: int
    releases: tuple[int, ...]
    flush: int
    adds: int
    rounds: int
    repetitions: int


def domain_of(count: int) -> str:
    """The domain with so many messages."""
    return f"d{count:05d}.cust.test"


class Benchmark:
    parts = ("adds", "release", "delivery", "scan")

    def __init__(self, program: Path, size: Size, figures: Figures, parts: set[str]) -> None:
        self.program = program
        self.size = size
        self.figures = figures
        self.wanted = parts
        self.stack = contextlib.ExitStack()

    def __enter__(self) -> "Benchmark":
        with self.stack:
            self.sink = f"127.0.0.1:{free_port()}"
            hop = "[{}]:{}".format(*self.sink.split(":"))
            self.postfix = self.stack.enter_context(PostfixInstance({"cust.test": hop}, transport_maps=f"static:smtp:{hop}"))
            # Within the instance, which takes everything with it when it goes, whatever becomes of us.
            self.directory = self.postfix.directory / "benchmark"
            self.directory.mkdir()
            self.client = compiled(HERE / "flush_client.c", self.directory)
            self.scanner = compiled(HERE / "scan_files.c", self.directory)
            self.native = NativeSide(self.postfix)
            self.ours = self.stack.enter_context(OurSide(self.postfix, self.program))
            # What was opened until here is closed by `__exit__`.
            self.stack = self.stack.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self.stack.close()

    def _start(self, command: list[str], **options) -> subprocess.Popen:
        """A process that the instance takes with it should we be killed: it knows its own by a command line that names its directory."""
        link = self.directory / Path(command[0]).name
        if not link.exists():
            link.symlink_to(shutil.which(command[0]))
        return subprocess.Popen([str(link), *command[1:]], **options)

    def _client(self, *arguments) -> dict:
        done = subprocess.run([self.client, *map(str, arguments)], capture_output=True, text=True, timeout=STEP_LIMIT, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"flush_client {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    # The order of things.

    def run(self) -> None:
        if "scan" in self.wanted:
            self.ours.start()
            self.empty = (self.ours.seconds_to_complete, self.ours.memory())
            self.ours.stop()
        self._fill()
        for number in range(1, self.size.rounds + 1):
            # Who comes first changes, in case that matters.
            sides = [self.ours, self.native] if number % 2 else [self.native, self.ours]
            if "scan" in self.wanted:
                say(f"round {number}: scan")
                self._scan()
            for side in sides:
                if "release" in self.wanted or "adds" in self.wanted:
                    side.start(flush_probe_messages=0)
                    if "release" in self.wanted:
                        say(f"round {number}: {side.name}: release")
                        self._release(side)
                    if "adds" in self.wanted:
                        say(f"round {number}: {side.name}: adds")
                        self._adds(side)
                    side.stop()
            if "delivery" in self.wanted:
                for side in sides:
                    say(f"round {number}: {side.name}: delivery")
                    self._delivery(side, watched=False)
                    self._delivery(side, watched=True)

    def _fill(self) -> None:
        say(f"making a queue of {self.size.messages:,} messages")
        model = self._model()
        self.queue = SyntheticQueue(self.postfix.spool, model, MODEL_ADDRESS)
        domains = [domain_of(count) for count in sorted({*self.size.releases, self.size.flush}) for _ in range(count)]
        domains += [domain_of(90_000 + number % OTHER_DOMAINS) for number in range(self.size.messages - len(domains))]
        self.ids = self.queue.fill(domains)

    def _model(self) -> str:
        """One real message that Postfix has deferred, as its next hop is not there yet."""
        command = ["smtp-source", "-c", "-m", "1", "-l", "600", "-f", "sender@bench.test", "-t", MODEL_ADDRESS, f"127.0.0.1:{self.postfix.port}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=STEP_LIMIT)

        def deferred():
            found = [path.name for path in (self.postfix.spool / "deferred").glob("?/*")]
            return found if found and (self.postfix.spool / "defer" / found[0][0] / found[0]).exists() else None

        return wait_until(deferred, 60, "one deferred message")[0]

    # Adds.

    def _adds(self, side) -> None:
        for clients in (1, 8):
            each = self.size.adds // clients
            done = self._client("add", side.socket, clients, each, ADD_DOMAINS)
            assert done["failed"] == 0, done
            self.figures.add(f"adds a second, {clients} client{'s' * (clients > 1)}", side.name, done["a_second"])

    # Release, while no queue manager does anything: it is the flush service alone that is measured.

    def _release(self, side) -> None:
        with self._manager_stopped():
            for count in self.size.releases:
                for _ in range(self.size.repetitions):
                    done = self._release_once(side, count)
                    # Native flush(8) answers when it has moved everything, we before.
                    figure = done["reply_ms"] if side is self.native else max(done["reply_ms"], done["moved_ms"])
                    self.figures.add(f"release of {count:,} of {self.size.messages:,}, probing off", side.name, figure)
                    self.figures.add(f"  until the answer, {count:,}", side.name, done["reply_ms"])
            with self._watched(side, "release"):
                time.sleep(0.2)
                self._release_once(side, self.size.flush)
                time.sleep(0.2)

    def _release_once(self, side, count: int) -> dict:
        site = domain_of(count)
        side.prepare(self.queue, site, self.ids[site])
        done = self._client("release", side.socket, site, self.postfix.spool / "incoming", count)
        assert done["good"] and done["moved"] == count, done
        assert self.queue.put_back() == count
        side.settle()
        return done

    @contextlib.contextmanager
    def _manager_stopped(self):
        """In the queue manager's place is one that takes every trigger and touches nothing."""
        path = self.postfix.spool / "public" / "qmgr"
        aside = path.with_name("qmgr.aside")
        # After a reload it starts when it is next needed; it must have had its look at the queue.
        trigger(path)
        real = wait_until(lambda: process_of(self.postfix.master, "qmgr"), 30, "the queue manager's process")
        wait_until(lambda: not any((self.postfix.spool / "incoming").iterdir()), 30, "an empty incoming queue")
        os.kill(real, signal.SIGSTOP)
        path.rename(aside)
        double = self._start([self.client, "manager", str(path)])
        try:
            wait_until(path.exists, 10, "the queue manager's double")
            yield
        finally:
            self.queue.put_back()
            double.terminate()
            double.wait()
            aside.rename(path)
            os.kill(real, signal.SIGCONT)

    # Delivery to a site that is up.

    def _delivery(self, side, watched: bool) -> None:
        count, site = self.size.flush, domain_of(self.size.flush)
        log = self.postfix.log.path
        side.start(flush_probe_messages=20)
        side.prepare(self.queue, site, self.ids[site])
        sink = self._start(["smtp-sink", "-u", "postfix", self.sink, "1024"], stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.3)
            with open(log, "rb") as lines, self._watched(side, "delivery") if watched else contextlib.nullcontext():
                lines.seek(0, os.SEEK_END)
                start = time.monotonic()
                answer = self._client("send", side.socket, site)
                assert answer["good"], answer
                delivered = 0
                while delivered < count:
                    delivered += lines.read().count(b" status=sent ")
                    if time.monotonic() - start > STEP_LIMIT:
                        raise RuntimeError(f"{delivered} of {count} messages delivered in {STEP_LIMIT} s")
                    time.sleep(0.01)
                seconds = time.monotonic() - start
            if not watched:
                self.figures.add(f"last of {count:,} delivered, probing on", side.name, seconds)
            side.settle()
        finally:
            sink.terminate()
            sink.wait()
        side.stop()
        self.ids[site] = self.queue.fill([site] * count)[site]

    @contextlib.contextmanager
    def _watched(self, side, what: str):
        """Adds all the while, to see how long the longest takes; and the same with a server that does nothing, which is the machine's own share."""
        idle = str(self.directory / "idle")
        server = self._start([self.client, "answer", idle])
        count = f"{self.size.flush:,}"
        watches = {
            f"longest add to the same domain during the {what} of {count}": (side.socket, domain_of(self.size.flush)),
            f"longest add to another domain during the {what} of {count}": (side.socket, "other.bench.test"),
            f"  the machine's own (a server that does nothing), {what}": (idle, "other.bench.test"),
        }
        clients = {}
        try:
            wait_until(lambda: os.path.exists(idle), 10, "the idle server")
            for measure, (path, domain) in watches.items():
                command = [self.client, "watch", str(path), domain, str(WATCH_PAUSE_US)]
                clients[measure] = self._start(command, stdout=subprocess.PIPE, text=True)
            yield
            for measure, client in clients.items():
                client.terminate()
                figures = json.loads(client.communicate(timeout=STEP_LIMIT)[0])
                assert figures["count"] > 0 and figures["failed"] == 0, (measure, figures)
                self.figures.add(measure, side.name, figures["max_ms"])
                self.figures.add(f"p99.9 of {measure.strip()}", side.name, figures["p999_ms"])
        finally:
            for process in [*clients.values(), server]:
                if process.poll() is None:
                    process.kill()
                process.wait()

    # Scan and memory.

    def _scan(self) -> None:
        folders = [str(self.postfix.spool / name) for name in QUEUE_FOLDERS]
        self.ours.start()
        seconds, memory = self.ours.seconds_to_complete, self.ours.memory()
        self.ours.stop()
        measure = f"scan of {self.size.messages:,} files (peer: C)"
        # Its start without a queue is not a scan.
        self.figures.add(measure, OURS, (seconds - self.empty[0]) * 1e3)
        self.figures.add("memory a recorded message", OURS, (memory - self.empty[1]) / self.size.messages)
        times = []
        for _ in range(3):
            done = json.loads(subprocess.run([self.scanner, *folders], capture_output=True, text=True, check=True, timeout=STEP_LIMIT).stdout)
            assert done["files"] >= self.size.messages, done
            times.append(done["ms"])
        self.figures.add(measure, NATIVE, statistics.median(times))


def trigger(manager: Path) -> None:
    """Has the queue manager look for new mail."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(manager))
        client.sendall(b"I\0")
        client.recv(1)


def process_of(parent: int, name: str) -> int | None:
    """The child of `parent` with this name."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            command, _, rest = (entry / "stat").read_text().rpartition(")")
            if command.partition("(")[2] == name and int(rest.split()[1]) == parent:
                return int(entry.name)
    return None
