"""The three servers: each serves the same three paths with bodies of the same lengths, on one CPU."""
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import synthetic_spool
from daemon_process import Daemon, die_with_parent, wait_until
from figures import OURS
from processes import cpu_seconds, free_port, memory, wait_for_rest
from script import say

NGINX, HUMMINGBIRD = "nginx", "Hummingbird"
START_LIMIT = 60.0  # seconds
DOMAINS = 100_000
# For this many connections there is room on each side.
CONNECTIONS = 16_384
# A word of nginx's configuration is not longer.
WORD = 4_000


class Lengths(NamedTuple):
    """Bytes of our bodies, which the peers imitate."""

    status: int
    flush: int
    page: int


class Server:
    """One of them, from start to end."""

    name = ""

    def __init__(self, cpu: int) -> None:
        self.cpu = cpu
        self.port = 0

    def processes(self) -> list[int]:
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.processes())

    def memory(self) -> int:
        """Bytes of its own in memory: the program's pages, which come in as they are first needed, are no connection's."""
        return memory(self.processes(), "RssAnon")


class Ours(Server):
    """etrnd with the spool engine, all limits as they are by default."""

    name = OURS

    def __init__(self, program: Path, cpu: int, domains: int) -> None:
        super().__init__(cpu)
        self.directory = tempfile.TemporaryDirectory(prefix="etrnd-benchmark-")
        directory = Path(self.directory.name)
        settings = {"fast_flush_domains": "bench.test", "log_level": "warning", "smtp_listen": ""}
        self.daemon = Daemon(program, directory, settings, wrapper=["taskset", "-c", str(cpu)])
        if domains:
            say(f"making a spool with {domains:,} domains")
            synthetic_spool.fill(self.daemon.state, (f"d{number:06}.bench.test" for number in range(domains)))

    def __enter__(self) -> "Ours":
        try:
            self.daemon.start()
            wait_until(lambda: self.daemon.get("/status").json()["index_complete"], START_LIMIT, "the first scan")
            wait_for_rest(self.daemon.pid)
        except BaseException:
            self.__exit__()
            raise
        self.port = self.daemon.http[1]
        return self

    def __exit__(self, *_) -> None:
        self.daemon.kill()
        self.directory.cleanup()

    def processes(self) -> list[int]:
        return [self.daemon.pid]

    def lengths(self) -> Lengths:
        answers = [self.daemon.get("/status"), self.daemon.post("/etrn/empty.bench.test"), self.daemon.get("/domains", limit=100)]
        assert all(answer.status == 200 for answer in answers), answers
        return Lengths(*(len(answer.body) for answer in answers))


class Peer(Server):
    """A server that is told its port and its answers."""

    def __init__(self, cpu: int, lengths: Lengths) -> None:
        super().__init__(cpu)
        self.lengths = lengths
        self.directory = tempfile.TemporaryDirectory(prefix="etrnd-benchmark-")
        self.process: subprocess.Popen | None = None

    def command(self, directory: Path) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> "Peer":
        self.port = free_port()
        try:
            command = ["taskset", "-c", str(self.cpu), *self.command(Path(self.directory.name))]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
            wait_until(self._answers, START_LIMIT, f"{self.name} to listen")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.directory.cleanup()


class Nginx(Peer):
    """One worker that does nothing but `return 200`."""

    name = NGINX

    def command(self, directory: Path) -> list[str]:
        path = directory / "nginx.conf"
        temporary = "".join(f"    {kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path.write_text(
            f"daemon off;\nworker_processes 1;\nworker_rlimit_nofile {CONNECTIONS + 100};\npid {directory}/pid;\nerror_log stderr error;\n"
            f"events {{ worker_connections {CONNECTIONS}; }}\n"
            f"http {{\n    access_log off;\n    default_type application/json;\n    keepalive_requests 1000000000;\n{temporary}"
            f"    server {{\n        listen 127.0.0.1:{self.port} backlog=1024;\n"
            f"        location = /status {{ {self._answer(self.lengths.status)} }}\n"
            f"        location /etrn/ {{ {self._answer(self.lengths.flush)} }}\n"
            f"        location = /domains {{ {self._answer(self.lengths.page)} }}\n    }}\n}}\n"
        )
        return ["nginx", "-c", str(path)]

    @staticmethod
    def _answer(length: int) -> str:
        if length <= WORD:
            return f"return 200 {'x' * length};"
        whole, rest = divmod(length, WORD)
        return f"set $page {'x' * WORD}; return 200 \"{'${page}' * whole}{'x' * rest}\";"

    def processes(self) -> list[int]:
        master = self.process.pid
        return [master, *map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())]


class Hummingbird(Peer):
    """The Swift package beside this script."""

    name = HUMMINGBIRD

    def __init__(self, program: Path, cpu: int, lengths: Lengths) -> None:
        super().__init__(cpu, lengths)
        self.program = program

    def command(self, directory: Path) -> list[str]:
        return [str(self.program), str(self.port), *map(str, self.lengths)]

    def processes(self) -> list[int]:
        return [self.process.pid]
