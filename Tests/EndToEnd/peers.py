"""Raw peers of the daemon, and what can be seen of it from outside."""
import contextlib
import os
import socket
import time

HOST = b"Host: localhost\r\n"


def clean_environment() -> dict[str, str]:
    """Without what the person who runs this has set for a service of their own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ETRND_") and name != "NO_COLOR"}


def connect(address, timeout=20.0) -> socket.socket:
    return socket.create_connection(address, timeout=timeout)


def read_all(connection: socket.socket, limit: int = 1 << 22) -> bytes:
    """Everything until the peer closes; a reset counts as an end."""
    data = b""
    while len(data) < limit:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            break
        if not part:
            break
        data += part
    return data


def read_until(connection: socket.socket, end: bytes, limit: int = 1 << 20) -> bytes:
    data = b""
    while end not in data:
        part = connection.recv(4096)
        if not part or len(data) > limit:
            raise AssertionError(f"no {end!r} in {data[-300:]!r}")
        data += part
    return data


def exchange(daemon, data: bytes) -> bytes:
    with connect(daemon.http) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)  # it may close before it has read all
        return read_all(connection)


def resident_kib(daemon) -> int:
    with open(f"/proc/{daemon.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def files_in_spool(daemon) -> list[str]:
    """Every file below the spool as folder/name; its lock, which is in no folder, is none."""
    spool = daemon.state / "spool"
    return sorted(str(path.relative_to(spool)) for path in spool.glob("*/**/*") if path.is_file())


def messages_on_disk(daemon) -> list[str]:
    """The messages among them, whole or begun. `defer` has notes about messages."""
    return [name for name in files_in_spool(daemon) if not name.startswith("defer/")]


def is_well(daemon) -> None:
    """It answers, and quickly."""
    begin = time.monotonic()
    assert daemon.get("/readyz").status == 200
    assert time.monotonic() - begin < 5


def transcript(address, *lines: str | bytes) -> str:
    """A dialogue, a command sent after each reply: every line, the server's as it came. Ends early when the server closes."""
    told = []
    with connect(address) as connection:
        file = connection.makefile("rb")

        def reply() -> bool:
            while line := file.readline():
                assert line.endswith(b"\r\n") and b"\r" not in line[:-2], line
                told.append("S: " + line[:-2].decode("ascii"))
                if line[3:4] != b"-":
                    return True
            return False

        goes_on = reply()
        for line in lines:
            if not goes_on:
                break
            data = line.encode("ascii") if isinstance(line, str) else line
            told.append("C: " + data.decode("latin-1"))
            connection.sendall(data + b"\r\n")
            goes_on = reply()
    return "\n".join(told) + "\n"


def etrn(address, argument: str) -> str:
    """The reply to one ETRN, as it came."""
    said = transcript(address, "EHLO client.example", f"ETRN {argument}", "QUIT").splitlines()
    return said[said.index(f"C: ETRN {argument}") + 1].removeprefix("S: ")


def index_is_complete(daemon) -> bool:
    """The daemon has read its whole queue: from then on it tells numbers."""
    return daemon.get("/status").json()["index_complete"]
