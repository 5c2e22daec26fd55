"""The two flush services: each can be started, asked at its socket, and told what it should know."""
import time
from pathlib import Path

from daemon_process import wait_until
from figures import OURS
from postfix_instance import PostfixDaemon, PostfixInstance
from processes import memory
from report import NATIVE

INDEX_LIMIT = 120.0  # seconds for the first scan


def serve_with(postfix: PostfixInstance, name: str) -> None:
    """Has Postfix's programs ask this flush service."""
    done = postfix.run("postconf", "-e", f"flush_service_name={name}")
    assert done.returncode == 0, done
    postfix.reload()


class NativeSide:
    """flush(8), which master(8) runs when somebody connects."""

    name = NATIVE

    def __init__(self, postfix: PostfixInstance) -> None:
        self.postfix = postfix
        self.socket = postfix.spool / "public" / "flush"

    def start(self, **parameters) -> None:
        # What a turn before this one has left behind.
        for path in (self.postfix.spool / "flush").iterdir():
            path.unlink()
        serve_with(self.postfix, "flush")

    def stop(self) -> None:
        pass

    def prepare(self, queue, site: str, queue_ids: list[str]) -> None:
        """Has it know what it would know, had it been there when the mail was deferred."""
        queue.write_native_log(site, queue_ids)

    def settle(self) -> None:
        pass


class OurSide:
    """etrnd, as a child process with a fresh state directory at every start."""

    name = OURS

    def __init__(self, postfix: PostfixInstance, program: Path) -> None:
        self.postfix = postfix
        self.socket = postfix.spool / "public" / "etrnd"
        self.program = program
        self.daemon: PostfixDaemon | None = None
        self.seconds_to_complete = 0.0

    def __enter__(self) -> "OurSide":
        return self

    def __exit__(self, *_) -> None:
        if self.daemon:
            self.daemon.kill()

    def start(self, **parameters) -> None:
        serve_with(self.postfix, "etrnd")
        settings = {"fast_flush_domains": "cust.test, bench.test", "log_level": "warning"} | parameters
        self.daemon = PostfixDaemon(self.program, self.postfix, **settings)
        began = time.monotonic()
        self.daemon.start()
        wait_until(lambda: self._status()["index_complete"], INDEX_LIMIT, "the first scan", step=0.005)
        self.seconds_to_complete = time.monotonic() - began

    def stop(self) -> None:
        code = self.daemon.stop()
        assert code == 0, f"etrnd ended with {code}:\n{self.daemon.log_tail()}"

    def prepare(self, queue, site: str, queue_ids: list[str]) -> None:
        """It has seen the queue itself; only what was put there a moment ago may still be on its way."""
        wait_until(lambda: self.daemon.waiting(site) >= len(queue_ids), 60, f"{len(queue_ids)} messages recorded for {site}")

    def settle(self) -> None:
        """Waits until it has seen what became of a flush."""
        wait_until(lambda: self._status()["flushes_running"] == 0, 60, "the flush's end")

    def memory(self) -> int:
        """Bytes in memory, after what the scan alone needed has been given back."""
        time.sleep(1)
        return memory([self.daemon.pid])

    def _status(self) -> dict:
        answer = self.daemon.get("/status")
        assert answer.status == 200, answer
        return answer.json()
