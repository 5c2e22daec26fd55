"""A message is on disk, synced with its directory, before the client reads 250: asserted on the daemon's system calls."""
import re
import shutil
import subprocess

import pytest

from daemon_process import wait_until

CALLS = "openat,creat,write,writev,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,sendto,sendmsg,io_uring_enter"
LINE = re.compile(r"^(?P<pid>\d+)\s+(?:(?P<call>\w+)\((?P<rest>.*)|<\.\.\. (?P<resumed>\w+) resumed>(?P<end>.*))$")


class Trace:
    """The system calls in the order in which they began; a call that was interrupted counts as ended where it was resumed."""

    def __init__(self, text: str) -> None:
        self.calls: list[tuple[int, int, str, str]] = []  # began, ended, name, the text of the whole call
        pending: dict[str, tuple[int, str, str]] = {}
        for number, line in enumerate(text.splitlines()):
            match = LINE.match(line)
            if not match:
                continue
            if match["call"]:
                if "<unfinished" in match["rest"]:
                    pending[match["pid"]] = (number, match["call"], match["rest"])
                else:
                    self.calls.append((number, number, match["call"], match["rest"]))
            elif match["pid"] in pending:
                began, call, rest = pending.pop(match["pid"])
                self.calls.append((began, number, call, rest + match["end"]))
        self.calls.sort()

    def find(self, names: set[str], *patterns: str, after: int = -1, before: int | None = None):
        """Those that began after one line and ended before another, with all patterns in their text, and succeeded."""
        return [
            (began, ended, name, rest)
            for began, ended, name, rest in self.calls
            if name in names and began > after and (before is None or ended < before)
            and all(re.search(pattern, rest) for pattern in patterns) and not re.search(r"= -1 ", rest)
        ]


@pytest.fixture
def traced(make_daemon, directory):
    """Starts a daemon under strace; the function that comes with it ends the daemon and reads the trace."""
    strace = shutil.which("strace")
    assert strace, "strace is not installed (apt.txt)"
    may = subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    assert may.returncode == 0, f"this test must be allowed to trace its own child: {may.stderr}"
    file = directory / "trace"
    # -D: the tracer is the grandchild, so that the process that we started is the daemon.
    daemon = make_daemon(wrapper=[strace, "-D", "-f", "-yy", "-s", "256", "-e", f"trace={CALLS}", "-o", str(file)])

    def read() -> Trace:
        assert daemon.stop() == 0
        wait_until(lambda: "+++ exited with 0 +++" in file.read_text(errors="replace"), 20, "the end of the trace")
        return Trace(file.read_text(errors="replace"))

    return daemon, read


@pytest.mark.parametrize("size", [200, 2_000_000], ids=["small", "large"])
def test_file_and_directory_are_synced_before_250(traced, sink, size):
    daemon, read = traced
    daemon.relay("customer.example", sink.next_hop)
    daemon.send("user@customer.example", size=size)
    wait_until(lambda: daemon.waiting("customer.example") == 1, 30, "the message's record")
    trace = read()

    spool = re.escape(str(daemon.state / "spool"))
    replies = trace.find({"sendto", "sendmsg", "write", "writev"}, r"<TCP", r'"354 ')
    assert len(replies) == 1, replies
    go_on = replies[0][1]
    taken = trace.find({"sendto", "sendmsg", "write", "writev"}, r"<TCP", r'"250 2\.', after=go_on)
    assert taken, "no 250 after 354"
    answered = taken[0][0]

    # Written, synced, renamed to its place, and the place synced: in this order, all ended before the 250 began.
    renames = trace.find({"rename", "renameat", "renameat2"}, spool, r"/(incoming|deferred|active)\b", after=go_on, before=answered)
    assert renames, "the message was not moved to its place before the 250"
    first_rename = renames[0]
    writes = trace.find({"write", "writev", "pwrite64"}, spool, before=first_rename[0])
    syncs = trace.find({"fsync", "fdatasync"}, spool + r"/tmp/", after=writes[-1][1] if writes else 0, before=first_rename[0])
    assert writes and syncs, "the file was not synced between its last write and its rename"
    target = re.findall(r"/(incoming|deferred|active)\b", first_rename[3])[-1]
    synced = trace.find({"fsync"}, spool + rf"/{target}/?>", after=first_rename[1], before=answered)
    assert synced, f"the directory {target} was not synced between the rename and the 250"


def test_what_became_of_a_recipient_is_written_and_synced(traced, sink):
    daemon, read = traced
    daemon.relay("customer.example", sink.next_hop)
    daemon.send("a@customer.example", "b@customer.example")
    wait_until(lambda: daemon.waiting("customer.example") == 1, 30, "the message's record")
    sink.behaviour.recipients["b@customer.example"] = "450 later"
    sink.start()
    flush = daemon.flush("customer.example")
    assert flush["deferred_again"] == 1
    trace = read()

    spool = re.escape(str(daemon.state / "spool"))
    status = trace.find({"pwrite64"}, spool + r"/active/")
    assert status, "no status byte was written"
    assert trace.find({"fsync", "fdatasync"}, spool + r"/active/", after=status[-1][1]), "the status byte was not synced"
