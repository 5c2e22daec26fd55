"""Fills a Postfix's deferred queue with messages that it could have put there itself, made from one real one."""
import os
import pwd
import random
import time
from pathlib import Path

DAY = 86_400
MICROSECONDS = 1_000_000


class SyntheticQueue:
    """The deferred queue of an instance with short queue IDs and one level of hash directories.

    Copies differ from the model in their recipient only, whose length stays the same, so that every offset in the file stays right.
    """

    def __init__(self, spool: Path, model_id: str, model_address: str, seed: int = 1) -> None:
        self.spool = spool
        self.owner = pwd.getpwnam("postfix")
        self.random = random.Random(seed)
        self.model_address = model_address.encode()
        self.model = self._path("deferred", model_id).read_bytes()
        self.model_log = self._path("defer", model_id).read_bytes()
        assert self.model.count(b"R" + bytes([len(model_address)]) + self.model_address) == 1, "the model has one plain recipient"

    def _path(self, folder: str, queue_id: str) -> Path:
        return self.spool / folder / queue_id[0] / queue_id

    def fill(self, domains: list[str]) -> dict[str, list[str]]:
        """One message for each element of `domains`, in random order. Returns the queue IDs by domain."""
        for folder in ("deferred", "defer"):
            for digit in "0123456789ABCDEF":
                directory = self.spool / folder / digit
                if not directory.exists():
                    directory.mkdir(mode=0o700)
                    os.chown(directory, self.owner.pw_uid, self.owner.pw_gid)
        order = list(domains)
        self.random.shuffle(order)
        made: dict[str, list[str]] = {}
        for number, domain in enumerate(order):
            made.setdefault(domain, []).append(self._add(number, domain))
        return made

    def link(self, domain: str, count: int, names: int) -> None:
        """So many messages for one domain, `names` of them one file: as much to read, much less to make."""
        made = self.fill([domain] * -(-count // names))[domain]
        for number in range(count - len(made)):
            queue_id = f"{number % MICROSECONDS:05X}{0xFFFF_FFFF + number:X}"
            os.link(self._path("deferred", made[number % len(made)]), self._path("deferred", queue_id))

    def _add(self, number: int, domain: str) -> str:
        address = f"user{number % 10_000:04d}@{domain}".encode()
        assert len(address) == len(self.model_address), f"{domain}: all domains are as long as the model's"
        draft = str(self.spool / "deferred" / f"draft{os.getpid()}")
        inode = self._write(draft, self.model.replace(self.model_address, address), 0o700)
        queue_id = f"{self.random.randrange(MICROSECONDS):05X}{inode:X}"
        path = str(self._path("deferred", queue_id))
        os.rename(draft, path)
        self.postpone(path)
        self._write(str(self._path("defer", queue_id)), self.model_log.replace(self.model_address, address), 0o600)
        return queue_id

    def _write(self, path: str, content: bytes, mode: int) -> int:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(descriptor, content)
            os.fchown(descriptor, self.owner.pw_uid, self.owner.pw_gid)
            os.fchmod(descriptor, mode)
            return os.fstat(descriptor).st_ino
        finally:
            os.close(descriptor)

    @staticmethod
    def postpone(path: str) -> None:
        """A time stamp in the future is how Postfix keeps a message waiting."""
        ahead = time.time() + DAY
        os.utime(path, (ahead, ahead))

    def put_back(self) -> int:
        """Moves what was released, and that a stopped queue manager has not taken, back to `deferred`. Returns how many."""
        names = os.listdir(self.spool / "incoming")
        for name in names:
            source = str(self.spool / "incoming" / name)
            os.chmod(source, 0o700)
            self.postpone(source)
            os.rename(source, self._path("deferred", name))
        return len(names)

    def write_native_log(self, site: str, queue_ids: list[str]) -> None:
        """What native flush(8) would have recorded for a site by now."""
        path = self.spool / "flush" / "".join(c if c.isalnum() else "_" for c in site)
        path.write_text("".join(f"{queue_id}\n" for queue_id in queue_ids))
        os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        path.chmod(0o600)
