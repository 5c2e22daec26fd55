"""A private real Postfix for the tests: queue, port, log and flush service of its own, all below one directory.

Nothing of it outlives its owner. `close` ends every process and removes the directory; when the owner dies without closing, of
whatever signal, a helper process that waits for just that does the same.
"""
import contextlib
import json
import os
import pwd
import random
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "Tools"))

from customer_server import PORTS  # noqa: E402
from daemon_process import Daemon, submit, wait_until  # noqa: E402

FOLDERS = ("incoming", "active", "deferred", "hold")
REAP = "--reap"
COMMAND_LIMIT = 60.0  # seconds for a command of Postfix
STOP_LIMIT = 20.0  # for its stop before it is killed
END_LIMIT = 15.0  # seconds until killed processes are gone
BARRIER = "barrier.example"  # its mail is thrown away: what is logged before that is all that there is
SERVICES = """\
{port} inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def obstacle() -> str | None:
    """Why no private Postfix can be had on this machine; None when it can."""
    if os.geteuid() != 0:
        return "a private Postfix needs root: run the tests as root to have these"
    for program, package in {"postfix": "postfix", "postconf": "postfix", "postsuper": "postfix", "setpriv": "util-linux"}.items():
        if not shutil.which(program):
            return f"there is no {program}: install the package {package} to have these tests"
    return None


# The end of an instance. Also for one that somebody else made: the directory's name says which processes are meant.


def _statuses() -> dict[int, tuple[int, str]]:
    """Every process's session and command line. What needs more rights than root has in a container is not asked for."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            line = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in "ZX" and line:
            found[int(entry.name)] = (int(fields[3]), line.replace(b"\0", b" ").decode("utf-8", "replace").strip())
    return found


def _master_of(directory: Path) -> int | None:
    try:
        return int((directory / "spool/pid/master.pid").read_text())
    except (OSError, ValueError):
        return None


def processes_of(directory: Path) -> dict[int, str]:
    """The processes that belong to the instance, with their command lines: its master's session, and whoever names the directory.

    Postfix's programs have their master's session also when that has died; their command lines do not tell whose they are.
    """
    master = _master_of(directory)
    return {
        pid: line
        for pid, (session, line) in _statuses().items()
        if pid != os.getpid() and REAP not in line and (session == master or f"{directory}/" in line)
    }


def remove(directory: Path) -> None:
    """Ends everything that belongs to the instance, kindly where that helps, and removes its directory."""
    master = _master_of(directory)
    if master in processes_of(directory):
        try:
            subprocess.run(
                ["postfix", "-c", f"{directory}/etc", "stop"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, timeout=STOP_LIMIT, check=False,
            )
        except subprocess.TimeoutExpired:
            pass  # its master does not listen
    deadline = time.monotonic() + END_LIMIT
    while left := processes_of(directory):
        # The master first: it would replace its children.
        for pid in sorted(left, key=lambda pid: pid != master):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"these of {directory} cannot be killed: {left}")
        time.sleep(0.05)
    shutil.rmtree(directory, ignore_errors=True)
    if directory.exists():
        shutil.rmtree(directory)  # tells why


class Reaper:
    """A process that removes the instance when its own standard input ends without a word."""

    def __init__(self, directory: Path) -> None:
        # A session of its own: what ends us, and all of our process group with us, leaves it alone.
        self._process = subprocess.Popen(
            [sys.executable, __file__, REAP, str(directory)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
        )

    def dismiss(self) -> None:
        self._process.communicate(b"done\n", timeout=END_LIMIT)


class MailLog:
    """What Postfix logs, from places that a test has marked."""

    ACTIVE = re.compile(r"^(\w{3} [ \d]\d \d\d:\d\d:\d\d) .*postfix/qmgr\[\d+\]: (\w+): from=<.*\(queue active\)$")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.barriers: set[str] = set()

    def mark(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def since(self, mark: int = 0) -> list[str]:
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(mark)
            return file.read().decode("utf-8", "replace").splitlines()

    def active(self, mark: int) -> list[tuple[float, str]]:
        """The messages that the queue manager took up, each time that it did, with the second in which."""
        found = []
        for line in self.since(mark):
            if (match := self.ACTIVE.match(line)) and match[2] not in self.barriers:
                stamp = time.mktime(time.strptime(f"{time.localtime().tm_year} {match[1]}", "%Y %b %d %H:%M:%S"))
                found.append((stamp, match[2]))
        return found

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.since()[-lines:])


class PostfixInstance:
    """One Postfix. Mail for the domains of `routes` goes to their next hops, all other mail is thrown away; nothing leaves the machine.

    Its own queue runs and second attempts are so far away that every attempt that a test sees was asked for.
    """

    made: list[Path] = []  # the directories of all instances of this process, ended or not

    def __init__(self, routes: dict[str, str], **settings: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="etrnd-postfix-"))
        self.made.append(self.directory)
        self.reaper = Reaper(self.directory)
        self.configuration = self.directory / "etc"
        self.spool = self.directory / "spool"
        self.log = MailLog(self.directory / "log/mail.log")
        self.port = 0
        self.owner = pwd.getpwnam("postfix")
        self._settings: dict[str, str] = {}
        self._directories: set[str] = set()
        try:
            self._configure(routes, settings)
            self.start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        remove(self.directory)
        self.reaper.dismiss()

    def __enter__(self) -> "PostfixInstance":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configure(self, routes: dict[str, str], settings: dict[str, str]) -> None:
        # User postfix comes here, and we too.
        self.directory.chmod(0o755)
        for name in ("etc", "spool", "log", "data"):
            (self.directory / name).mkdir(mode=0o755)
        shutil.chown(self.directory / "data", "postfix")
        transports = {domain: f"smtp:{hop}" for domain, hop in routes.items()} | {BARRIER: "discard:"}
        parameters = {
            "compatibility_level": "3.6",
            "queue_directory": self.spool,
            "data_directory": self.directory / "data",
            "maillog_file": self.log.path,
            "maillog_file_prefixes": self.log.path.parent,
            "myhostname": "mx.provider.example",
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "alias_maps": "",
            "alias_database": "",
            "smtpd_peername_lookup": "no",
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "smtp_connect_timeout": "10s",
            "notify_classes": "",
            "relay_domains": " ".join(routes),
            "default_transport": "discard:",
            "transport_maps": "inline:{" + ", ".join(f"{{{domain}={to}}}" for domain, to in transports.items()) + "}",
            "queue_run_delay": "1000s",
            "minimal_backoff_time": "1000s",
            "maximal_backoff_time": "4000s",
            # What an operator adds for us.
            "flush_service_name": "etrnd",
            "fast_flush_domains": "static:all",
            "smtpd_etrn_restrictions": "permit_mynetworks, reject",
        } | settings
        (self.configuration / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in parameters.items()))

    # Life and commands.

    @property
    def master(self) -> int | None:
        """The master's process ID; None while Postfix is stopped."""
        pid = _master_of(self.directory)
        return pid if pid in processes_of(self.directory) else None

    def start(self) -> None:
        if self.port:
            return self._start()
        for port in random.sample(PORTS, 20):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            (self.configuration / "master.cf").write_text(SERVICES.format(port=f"127.0.0.1:{port}"))
            try:
                self._start()
            except RuntimeError as error:
                if "in use" in self.log.tail() + str(error):
                    continue  # somebody was quicker
                raise
            self.port = port
            return
        raise RuntimeError("no free port for smtpd")

    def _start(self) -> None:
        begun = self.run("postfix", "start")
        if begun.returncode != 0 or not self.master:
            raise RuntimeError(f"postfix start: {begun.returncode} {begun.stdout}{begun.stderr}\n{self.log.tail()}")

    def stop(self) -> None:
        ended = self.run("postfix", "stop")
        assert ended.returncode == 0 and not self.master, ended

    def reload(self) -> None:
        def managers():
            return {pid for pid, line in processes_of(self.directory).items() if line.split()[0] == "qmgr"}

        before = managers()
        done = self.run("postfix", "reload")
        assert done.returncode == 0, done
        wait_until(lambda: managers() - before and not managers() & before, 30, "a new queue manager")

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess:
        """A command of Postfix, for this instance."""
        option = "-C" if program == "sendmail" else "-c"
        path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
        return subprocess.run(
            [program, option, str(self.configuration), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=COMMAND_LIMIT, check=False, env=os.environ | {"PATH": path},
        )

    def postsuper(self, *arguments: str) -> None:
        done = self.run("postsuper", *arguments)
        assert done.returncode == 0, done

    # Mail in.

    def send(self, *recipients: str, test_id: str = "") -> str:
        """One message by SMTP; its queue ID."""
        return self.send_all([recipients], test_ids=[test_id])[0]

    def send_all(self, messages: list, test_ids: list[str] | None = None) -> list[str]:
        """A message for each tuple of recipients, over one connection; their queue IDs."""
        ids = []
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="sender.example", timeout=60) as client:
            for n, recipients in enumerate(messages):
                test_id = test_ids[n] if test_ids else str(n)
                content = f"Subject: test\r\nX-Test-ID: {test_id}\r\n\r\nhello\r\n".encode()
                reply = submit(client, "alice@sender.example", list(recipients), content)
                ids.append(re.fullmatch(r"2\.0\.0 Ok: queued as (\w+)", reply)[1])
        return ids

    def synthesise(self, count: int, domain: str) -> dict[str, str]:
        """So many deferred messages, made as files: one is sent and copied. Their recipients by their queue IDs.

        The site must be down. Queue files hold offsets, so that a copy's recipient has the length of the first one's; an ID ends
        with the file's inode, or Postfix would rename it.
        """
        address = f"copy00000@{domain}"
        first = self.send(address)
        self.wait_deferred({first})
        file, log = self.path(first).read_bytes(), self.path(first, "defer").read_bytes()
        assert address.encode() in file and address.encode() in log
        ids = {first: address}
        for n in range(1, count):
            recipient = f"copy{n:05}@{domain}"
            queue_id = self.place(file.replace(address.encode(), recipient.encode()), log.replace(address.encode(), recipient.encode()))
            ids[queue_id] = recipient
        return ids

    def place(self, file: bytes, log: bytes = b"") -> str:
        """A deferred message made as a file, with its defer log when there is one; its queue ID."""
        staging = str(self.directory / "staging")
        inode = self._write(staging, file, 0o700)
        # No queue run finds it due.
        tomorrow = time.time() + 86400
        os.utime(staging, (tomorrow, tomorrow))
        queue_id, text = self._new_id(inode)
        if log:
            self._write(f"{self._hashed('defer', text)}/{queue_id}", log, 0o600)
        os.rename(staging, f"{self._hashed('deferred', text)}/{queue_id}")
        return queue_id

    def _new_id(self, inode: int) -> tuple[str, str]:
        """A queue ID for a file, and the text by which it is hashed."""
        microseconds = random.randrange(1_000_000)
        text = f"{microseconds:05X}"
        if self.setting("enable_long_queue_ids") == "yes":
            return f"{_base(int(time.time()), 52, 6)}{_base(microseconds, 52, 4)}z{_base(inode, 51, 1)}", text
        return f"{text}{inode:X}", text

    def _write(self, path: str, content: bytes, mode: int) -> int:
        """A new file of Postfix's; its inode."""
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        try:
            os.write(descriptor, content)
            os.fchown(descriptor, self.owner.pw_uid, self.owner.pw_gid)
            os.fchmod(descriptor, mode)
            return os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)

    def _hashed(self, folder: str, text: str) -> str:
        """The directory of a message, hash directories included; they are made when they are needed, as Postfix does."""
        depth = int(self.setting("hash_queue_depth")) if folder in self.setting("hash_queue_names").replace(",", " ").split() else 0
        path = str(self.spool / folder)
        for name in text[:depth]:
            path += f"/{name}"
            if path not in self._directories:
                self._directories.add(path)
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, 0o700)
                    os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        return path

    # The queue on disk.

    def setting(self, name: str) -> str:
        if name not in self._settings:
            self._settings[name] = self.run("postconf", "-h", name).stdout.strip()
        return self._settings[name]

    def path(self, queue_id: str, folder: str = "deferred") -> Path:
        """Where a message's file is, found by its name."""
        return next((self.spool / folder).rglob(queue_id))

    def ids(self, *folders: str) -> set[str]:
        """The messages in these folders, or in all."""
        found = set()
        for folder in folders or FOLDERS:
            for _, _, names in os.walk(self.spool / folder):
                found.update(names)
        return found

    def listed(self) -> dict[str, dict]:
        """The queue as postqueue(1) lists it, by queue ID."""
        listing = self.run("postqueue", "-j")
        assert listing.returncode == 0, listing
        rows = [json.loads(line) for line in listing.stdout.splitlines()]
        return {row["queue_id"]: row for row in rows}

    def wait_deferred(self, ids: set[str], seconds: float = 30.0) -> None:
        """All of these have had their attempt and wait."""
        wait_until(
            lambda: ids <= self.ids("deferred") and not ids & self.ids("incoming", "active"), seconds, f"{len(ids)} messages to be deferred")

    def settle(self) -> None:
        """Returns when the queue manager has done all that it was asked to until now, and has logged it."""
        wait_until(lambda: not self.ids("incoming", "active"), 60, "the queue manager to be done")
        mark = self.log.mark()
        barrier = self.send(f"nobody@{BARRIER}")
        self.log.barriers.add(barrier)
        wait_until(lambda: any(f"{barrier}: removed" in line for line in self.log.since(mark)), 30, "the barrier's message to have left")

    def clear(self) -> None:
        """Back to a Postfix that runs and has no mail."""
        if not self.master:
            self.start()
        # Thousands take postsuper(1) half a minute; nobody but the service looks at these.
        for folder in ("deferred", "defer"):
            for place, _, names in os.walk(self.spool / folder):
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(place, name))

        def is_empty() -> bool:
            self.postsuper("-d", "ALL")
            return not self.ids()

        wait_until(is_empty, 60, "an empty queue", step=0.1)

    # Asking.

    def etrn(self, argument: str) -> tuple[int, str]:
        """ETRN on the SMTP port, on a connection of its own: smtpd counts them."""
        with smtplib.SMTP("127.0.0.1", self.port, local_hostname="customer.example", timeout=60) as client:
            client.ehlo()
            code, text = client.docmd("ETRN", argument)
            return code, text.decode()


class PostfixDaemon(Daemon):
    """The built etrnd as this Postfix's flush service. It runs as Postfix's owner."""

    def __init__(self, program: Path, instance: PostfixInstance, **parameters: str) -> None:
        directory = Path(tempfile.mkdtemp(prefix="etrnd-", dir=instance.directory))
        directory.chmod(0o755)
        self.instance = instance
        # The tree that it was built in may be out of that user's reach.
        copied = instance.directory / "etrnd"
        if not copied.exists():
            shutil.copy(program, copied)
        super().__init__(
            copied, directory,
            {
                "queue_engine": "postfix",
                "postfix_config_directory": str(instance.configuration),
                "postfix_log": str(instance.log.path),
            } | {name: str(value) for name, value in parameters.items()},
            # It clears what the kernel was asked to do when the parent dies, unless it is told to keep it.
            ["setpriv", "--reuid=postfix", "--regid=postfix", "--clear-groups", "--pdeathsig=keep"],
        )
        self.state.mkdir(mode=0o700)
        shutil.chown(self.state, "postfix", "postfix")
        # Where its UNIX socket goes.
        shutil.chown(directory, "postfix", "postfix")

    def recorded(self, domain: str) -> set[str]:
        """The messages recorded for a domain; none for one that it has never heard of."""
        if self.get(f"/domains/{domain}").status == 404:
            return set()
        return {row["queue_id"] for row in self.messages(domain)}

    def newest_flush(self) -> dict:
        """The last flush that was asked for, by whatever way; after its end."""
        flush = self.get("/flushes", limit=1).json()["flushes"][0]
        return self.followed(flush)

    def followed(self, flush: dict, seconds: float = 120.0) -> dict:
        def ended():
            answer = self.get(f"/flushes/{flush['id']}", wait=5)
            assert answer.status == 200, answer
            return answer.json() if answer.json()["state"] != "running" else None

        return wait_until(ended, seconds, f"the end of flush {flush['id']}")


def _base(number: int, base: int, width: int) -> str:
    alphabet = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, base)
        text = alphabet[digit] + text
    return text.rjust(width, "0")


def reap(directory: Path) -> None:
    """Waits for the end of the one who made the instance, and removes what is left of it."""
    if sys.stdin.buffer.read() == b"done\n":
        return
    # It may have been starting.
    deadline = time.monotonic() + 3
    while not _master_of(directory) and time.monotonic() < deadline:
        time.sleep(0.1)
    remove(directory)


if __name__ == "__main__":
    if sys.argv[1:2] != [REAP] or len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} {REAP} DIRECTORY")
    reap(Path(sys.argv[2]))
