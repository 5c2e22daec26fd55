"""The two queues: each takes mail for a site that is away, and delivers it when it is there."""
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from daemon_process import Daemon, die_with_parent, wait_until
from figures import OURS
from postfix_instance import PostfixInstance
from processes import free_port
from script import STEP_LIMIT

POSTFIX = "Postfix"
DOMAIN = "cust.test"
START_LIMIT = 30.0  # seconds


class Site:
    """smtp-sink(1): takes every message and forgets it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen | None = None

    @property
    def next_hop(self) -> str:
        return f"[127.0.0.1]:{self.port}"

    def __enter__(self) -> "Site":
        command = [shutil.which("smtp-sink"), "-u", "postfix", f"127.0.0.1:{self.port}", "1024"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
        try:
            wait_until(self._is_up, START_LIMIT, "smtp-sink")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _is_up(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


class Ours:
    """etrnd with the spool engine."""

    name = OURS

    def __init__(self, program: Path, site: Site) -> None:
        self.program = program
        self.site = site

    def start(self, connections: int) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="etrnd-benchmark-")
        settings = {"log_level": "warning", "delivery_concurrency": str(connections), "smtpd_client_connection_count_limit": "100"}
        self.daemon = Daemon(self.program, Path(self.directory.name), settings)
        try:
            self.daemon.start()
            self.daemon.relay(DOMAIN, self.site.next_hop)
        except BaseException:
            self.stop()
            raise
        self.port = self.daemon.smtp[1]

    def stop(self) -> None:
        self.daemon.kill()
        self.directory.cleanup()

    def wait_taken(self, count: int) -> None:
        wait_until(lambda: self.daemon.waiting(DOMAIN) == count, STEP_LIMIT, f"{count} messages recorded")

    def deliver(self, count: int) -> float:
        """Seconds from the request until the last is delivered."""
        begin = time.monotonic()
        answer = self.daemon.post(f"/etrn/{DOMAIN}")
        assert answer.status == 202, answer
        flush = answer.json()["id"]

        def ended():
            now = self.daemon.get(f"/flushes/{flush}", wait=30).json()
            return now if now["state"] != "running" else None

        end = wait_until(ended, STEP_LIMIT, "the flush's end")
        assert end["delivered"] == count, end
        return time.monotonic() - begin


class Theirs:
    """A Postfix of its own."""

    name = POSTFIX

    def __init__(self, site: Site) -> None:
        self.site = site

    def start(self, connections: int) -> None:
        limits = {"default_destination_concurrency_limit": str(connections), "initial_destination_concurrency": str(min(5, connections))}
        # Waiting until it is asked for, as ours does: no attempt before.
        settings = {"defer_transports": "smtp", "flush_service_name": "flush", "smtpd_client_connection_count_limit": "100"}
        self.postfix = PostfixInstance({DOMAIN: self.site.next_hop}, **settings, **limits)
        self.port = self.postfix.port

    def stop(self) -> None:
        self.postfix.close()

    def wait_taken(self, count: int) -> None:
        wait_until(lambda: len(self.postfix.ids("deferred")) == count, STEP_LIMIT, f"{count} messages deferred", step=0.2)

    def deliver(self, count: int) -> float:
        """Seconds from the request until the last is logged as sent. The transport is let go before that."""
        assert self.postfix.run("postconf", "-e", "defer_transports=").returncode == 0
        self.postfix.reload()
        with open(self.postfix.log.path, "rb") as log:
            log.seek(0, os.SEEK_END)
            begin = time.monotonic()
            # Everything in the queue is for the site.
            done = self.postfix.run("postqueue", "-f")
            assert done.returncode == 0, done
            sent = 0

            def all_sent() -> bool:
                nonlocal sent
                sent += log.read().count(b" status=sent ")
                return sent >= count

            wait_until(all_sent, STEP_LIMIT, f"{count} messages delivered")
            return time.monotonic() - begin
