"""What the kernel tells of the processes that are measured."""
import os
import socket
import time
from pathlib import Path

REST = 2.0  # seconds without work
REST_LIMIT = 300.0  # seconds until there is rest
# Ten seconds after a start the daemon compares its index with the queue again.
SECOND_SCAN = 12.0


def cpu_seconds(pids: list[int]) -> float:
    """User and system time with all threads, in steps of 10 ms."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pids: list[int], field: str = "VmRSS") -> int:
    """Bytes in memory: all, or with `RssAnon` without the pages of files."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                total += int(line.split()[1]) * 1024
    return total


def wait_for_rest(pid: int) -> None:
    """After a start, until next to nothing is done any more: what it writes behind is not to be measured with what follows."""
    deadline = time.monotonic() + REST_LIMIT
    time.sleep(SECOND_SCAN)
    before = cpu_seconds([pid])
    while time.monotonic() < deadline:
        time.sleep(REST)
        now = cpu_seconds([pid])
        if now - before <= 0.02 * REST:
            return
        before = now
    raise RuntimeError(f"process {pid} did not come to rest in {REST_LIMIT} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
