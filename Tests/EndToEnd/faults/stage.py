"""Where a fault's story plays: its daemons and customers' servers, and what can be seen of a daemon from outside."""
import contextlib
import os
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent.parent / "Tools"))

from customer_server import CustomerServer  # noqa: E402
from daemon_process import Daemon, wait_until  # noqa: E402
from peers import HOST, read_until  # noqa: E402

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
QUIET_WAIT = 30.0  # seconds for what takes moments when all is well
# What a stop leaves in a state directory.
STATE_FILES = {"etrnd.db", "etrnd.db-wal", "etrnd.db-shm", "flush", "spool"}


class Stage:
    """Makes daemons and sites, and ends them with the story. `program` is the built etrnd, `seed` makes a story's chance."""

    def __init__(self, program: Path, seed: int) -> None:
        self.program = program
        self.seed = seed
        self.daemons: list[Daemon] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Stage":
        # A short path: a UNIX socket's address has room for 107 bytes.
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="etrnd-fault-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def daemon(self, start: bool = True, environment: dict[str, str] | None = None, **parameters) -> Daemon:
        own = self.directory / f"d{len(self.daemons)}"
        own.mkdir()
        daemon = Daemon(self.program, own, {name: str(value) for name, value in parameters.items()})
        daemon.environment |= environment or {}
        self.daemons.append(daemon)
        self._stack.callback(daemon.kill)
        return daemon.start() if start else daemon

    def site(self) -> CustomerServer:
        """A customer's server that is not up yet."""
        site = CustomerServer()
        self._stack.callback(site.__exit__)
        return site

    def at_the_end(self, function, *arguments) -> None:
        """Called when the story is over, before what was made earlier is ended."""
        self._stack.callback(function, *arguments)

    def logs(self) -> str:
        return "\n".join(f"--- log of {daemon.directory.name}\n{daemon.log_tail(60)}" for daemon in self.daemons)


# What can be seen of a daemon.


def processor_seconds(daemon: Daemon) -> float:
    """What it has used of the processors since its start."""
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def processor_share(daemon: Daemon, seconds: float) -> float:
    """The share of one processor that it uses for so long from now: the measurement is the wait."""
    used, began = processor_seconds(daemon), time.monotonic()
    time.sleep(seconds)
    return (processor_seconds(daemon) - used) / (time.monotonic() - began)


def open_descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def quiet(daemon: Daemon, descriptors: int, what: str, seconds: float = QUIET_WAIT) -> None:
    """It is as it was: no descriptor more than before, and it does nothing."""
    wait_until(lambda: open_descriptors(daemon) <= descriptors, seconds, f"the descriptors of {what} to be closed", step=0.1)
    wait_until(lambda: processor_share(daemon, 0.5) < 0.1, seconds, f"rest after {what}")


def impediments(daemon: Daemon) -> str | None:
    """What it says is in its way; None when it is ready."""
    answer = daemon.get("/readyz")
    assert answer.status in (200, 503), answer
    return answer.body.decode() if answer.status == 503 else None


def last_reconcile(daemon: Daemon) -> dict:
    return daemon.get("/status").json()["last_reconcile"] or {}


def spool_counts(daemon: Daemon) -> dict[str, int]:
    """How many files are in each of the spool's directories that has any, `defer` apart, which has notes about messages."""
    counts = {}
    for folder in (daemon.state / "spool").iterdir():
        if folder.is_dir() and folder.name != "defer" and (count := sum(len(names) for _, _, names in os.walk(folder))):
            counts[folder.name] = count
    return counts


def reconciled(daemon: Daemon, seconds: float = QUIET_WAIT) -> None:
    """Two comparisons with the disk, both begun from now on, end well, and the second has nothing to correct.

    The daemon must have a short `reconcile_interval`, and nobody may be sending.
    """
    seen = [last_reconcile(daemon).get("at")]

    def another():
        last = last_reconcile(daemon)
        if last.get("at") not in seen:
            seen.append(last["at"])
        return len(seen) > 3 and last

    last = wait_until(another, seconds, "two comparisons with the disk", step=0.1)
    assert last["failure"] is None and last["missing"] == last["stale"] == last["changed"] == 0, last


def tidy(daemon: Daemon) -> None:
    """Stops it; with no mail left, nothing else may be left either."""
    assert daemon.stop() == 0, daemon.log_tail()
    left = {path.name for path in daemon.state.iterdir()}
    assert left <= STATE_FILES, f"left in the state directory: {sorted(left - STATE_FILES)}"
    files = [str(path.relative_to(daemon.state)) for path in daemon.state.glob("spool/*/**/*") if path.is_file()]
    assert not files, f"left in the spool: {files[:10]}"
    logs = [path.name for path in (daemon.state / "flush").iterdir()]
    assert not logs, f"left below flush: {logs[:10]}"


# Asking by hand, over a connection that stays.


class Asker:
    """One keep-alive HTTP connection: a request, its answer, the next."""

    def __init__(self, address, source: str | None = None, timeout: float = 45.0) -> None:
        self.socket = socket.create_connection(address, timeout, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, method: str, target: str) -> None:
        self.socket.sendall(f"{method} {target} HTTP/1.1\r\n".encode() + HOST + b"\r\n")

    def receive(self) -> tuple[int, bytes]:
        head, _, body = read_until(self.socket, b"\r\n\r\n").partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(body) < length:
            part = self.socket.recv(65536)
            assert part, f"the answer ended after {len(body)} of {length} bytes"
            body += part
        return status, body

    def ask(self, method: str, target: str) -> tuple[int, bytes]:
        self.send(method, target)
        return self.receive()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def descriptors_for(count: int):
    """This process may have so many sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise AssertionError(f"this machine allows {hard} open files, and {count} are needed: raise the hard limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count) if soft != resource.RLIM_INFINITY else soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

