"""Runs the built etrnd as a child process, and speaks HTTP and SMTP to it. For the demo and the end-to-end tests."""
import ctypes
import http.client
import json
import os
import signal
import smtplib
import socket
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT = 30.0  # seconds until "ready"
STOP_LIMIT = 20.0  # seconds for a graceful stop
LOG_LIMIT = 5000  # lines of the daemon's log that are kept


def built_program() -> Path:
    """The etrnd that `swift build` made; E2E_PROGRAM overrides it."""
    if "E2E_PROGRAM" in os.environ:
        program = Path(os.environ["E2E_PROGRAM"])
    else:
        made = subprocess.run(
            ["swift", "build", "--show-bin-path"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
        )
        if made.returncode != 0:
            raise RuntimeError(f"swift build --show-bin-path: {made.stderr.strip()}")
        program = Path(made.stdout.strip().splitlines()[-1]) / "etrnd"
    if not program.exists():
        raise RuntimeError(f"{program} is not there; run `swift build` first (`make test` does)")
    return program


def wait_until(condition, seconds: float, what: str, step: float = 0.02):
    """Polls `condition` until it gives something true, and returns that; an AssertionError names `what` when the time is up."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}; last seen: {result!r}")
        time.sleep(step)


def die_with_parent() -> None:
    """In the child before exec: the kernel ends it when the parent dies, so that an aborted run leaves nothing behind."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Answer:
    """An HTTP answer, read whole."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:600]!r}>"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Daemon:
    """One etrnd with a state directory of its own. `start` again after `stop` or `kill` keeps the state."""

    def __init__(self, program: Path, directory: Path, parameters: dict[str, str] | None = None, wrapper: list[str] | None = None) -> None:
        self.program = program
        self.directory = directory
        self.state = directory / "state"
        self.configuration = directory / "etrnd.cf"
        self.wrapper = wrapper or []
        self.parameters = {
            "queue_engine": "spool",
            "state_directory": str(self.state),
            "http_listen": f"unix:{directory}/etrnd.sock, 127.0.0.1:0",
            "smtp_listen": "127.0.0.1:0",
            "http_trusted_networks": "127.0.0.0/8",
            "myhostname": "relay.provider.example",
        } | (parameters or {})
        # Whatever the person who runs this has set for a daemon of their own stays out.
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ETRND_")}
        self.process: subprocess.Popen | None = None
        self.http: tuple[str, int] | None = None
        self.smtp: tuple[str, int] | None = None
        self.socket_path: str | None = None
        self.log: list[str] = []
        self._ready = threading.Event()
        self._reader: threading.Thread | None = None

    # Life and death.

    def start(self, *options: str) -> "Daemon":
        self.launch(*options)
        deadline = time.monotonic() + START_LIMIT
        while not self._ready.wait(0.02):
            if self.process.poll() is not None:
                self._reader.join(5)
                self.process.stderr.close()
                raise RuntimeError(f"etrnd ended at start with {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"etrnd was not ready after {START_LIMIT} s:\n{self.log_tail()}")
        return self

    def launch(self, *options: str) -> None:
        """The start of a start: does not wait for "ready"."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text("".join(f"{name} = {value}\n" for name, value in self.parameters.items()))
        self._ready.clear()
        self.http = self.smtp = self.socket_path = None
        self.process = subprocess.Popen(
            [*self.wrapper, str(self.program), "--config", str(self.configuration), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self.directory,
            env=self.environment,
            preexec_fn=die_with_parent,
        )
        self._reader = threading.Thread(target=self._read_log, args=(self.process,), daemon=True)
        self._reader.start()

    def _read_log(self, process: subprocess.Popen) -> None:
        for raw in process.stderr:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            self.log.append(line)
            del self.log[:-LOG_LIMIT]
            words = line.split(" ", 2)
            if words[0] == "listening" and len(words) == 3:
                self._listening(words[1], words[2].strip())
            elif line == "ready":
                self._ready.set()

    def _listening(self, what: str, address: str) -> None:
        if address.startswith("unix:"):
            if what == "http":
                self.socket_path = address.removeprefix("unix:")
            return
        host, _, port = address.rpartition(":")
        setattr(self, what, (host.strip("[]"), int(port)))

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log[-lines:])

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int:
        """Asks it to end, and returns its exit code; one that does not end is killed, which is an error."""
        if not self.is_running:
            return self.process.returncode if self.process else 0
        self.process.terminate()
        return self.ended()

    def ended(self, limit: float = STOP_LIMIT) -> int:
        """Its exit code, after a signal that was sent already; one that does not end is killed, which is an error."""
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"etrnd did not end within {limit} s of the signal:\n{self.log_tail()}") from None
        self._finish()
        return code

    def kill(self) -> None:
        """kill -9."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._finish()

    def _finish(self) -> None:
        if self._reader:
            self._reader.join(5)
        if self.process and self.process.stderr:
            self.process.stderr.close()

    # HTTP.

    def request(self, method: str, path: str, query: dict | None = None, body=None, headers: dict | None = None, unix=False, timeout=45.0) -> Answer:
        if query:
            path += "?" + urlencode(query)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if unix:
            connection = _UnixConnection(self.socket_path, timeout)
        else:
            connection = http.client.HTTPConnection(*self.http, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **query) -> Answer:
        return self.request("GET", path, query)

    def post(self, path: str, **query) -> Answer:
        return self.request("POST", path, query)

    def delete(self, path: str, **query) -> Answer:
        return self.request("DELETE", path, query)

    def put(self, path: str, body, **query) -> Answer:
        return self.request("PUT", path, query, body)

    def relay(self, domain: str, next_hop: str, delivery: str = "etrn-only", **more) -> None:
        """Provisions a relay domain."""
        answer = self.put(f"/relay-domains/{domain}", {"next_hop": next_hop, "delivery": delivery, **more})
        assert answer.status in (200, 201), answer

    def flush(self, domain: str, wait: int = 30, **query) -> dict:
        """Asks for a domain's mail and follows the flush until it has ended."""
        answer = self.post(f"/etrn/{domain}", wait=wait, **query)
        assert answer.status in (200, 202), answer
        flush = answer.json()
        deadline = time.monotonic() + 60
        while flush["state"] == "running" and time.monotonic() < deadline:
            answer = self.get(f"/flushes/{flush['id']}", wait=30)
            assert answer.status == 200, answer
            flush = answer.json()
        return flush

    def waiting(self, domain: str) -> int:
        """How many messages are recorded for a domain."""
        answer = self.get(f"/domains/{domain}")
        if answer.status == 404:
            return 0
        assert answer.status == 200, answer
        return answer.json()["messages"]

    def messages(self, domain: str) -> list[dict]:
        """All messages recorded for a domain, page by page."""
        rows, query = [], {"limit": 1000}
        while True:
            answer = self.get(f"/domains/{domain}/messages", **query)
            assert answer.status == 200, answer
            page = answer.json()
            rows += page["messages"]
            if page["next_cursor"] is None:
                return rows
            query["cursor"] = page["next_cursor"]

    # SMTP.

    def send(self, *recipients: str, sender: str = "alice@sender.example", test_id: str = "", size: int = 0, body: str = "hello") -> str:
        """Sends one message and returns the reply to its end; raises smtplib's errors when it is refused."""
        text = f"From: {sender}\r\nTo: {', '.join(recipients)}\r\nSubject: {test_id or 'a message'}\r\nX-Test-ID: {test_id}\r\n\r\n{body}\r\n"
        if size > len(text):
            line = "x" * 70 + "\r\n"
            text += line * ((size - len(text)) // len(line))
        with smtplib.SMTP(*self.smtp, local_hostname="sender.example", timeout=30) as client:
            return submit(client, sender, recipients, text.encode())


def submit(client: smtplib.SMTP, sender: str, recipients, content: bytes) -> str:
    """One mail transaction; unlike smtplib's own, a single refused recipient is an error, and the last reply is returned."""
    client.ehlo_or_helo_if_needed()
    code, text = client.mail(sender, [f"size={len(content)}"] if client.has_extn("size") else [])
    if code != 250:
        client.rset()
        raise smtplib.SMTPSenderRefused(code, text, sender)
    for recipient in recipients:
        code, text = client.rcpt(recipient)
        if code not in (250, 251):
            client.rset()
            raise smtplib.SMTPRecipientsRefused({recipient: (code, text)})
    code, text = client.data(content)
    if code != 250:
        raise smtplib.SMTPDataError(code, text)
    return text.decode("utf-8", "replace")
