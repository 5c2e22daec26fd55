"""A milter that edits what passes, so that Postfix writes queue files with jumps, cancelled recipients and new senders."""
import random
import socketserver
import struct
import threading

# What it may do (SMFIF_*) and what it need not see (SMFIP_*) of the milter protocol.
ADD_HEADER, CHANGE_BODY, ADD_RECIPIENT, DELETE_RECIPIENT, CHANGE_HEADER, QUARANTINE, CHANGE_SENDER = (1 << n for n in range(7))
ACTIONS = ADD_HEADER | CHANGE_BODY | ADD_RECIPIENT | DELETE_RECIPIENT | CHANGE_HEADER | QUARANTINE | CHANGE_SENDER
NO_CONNECT, NO_HELO, NO_BODY, NO_HEADERS, NO_END_OF_HEADERS, NO_UNKNOWN, NO_DATA = 0x01, 0x02, 0x10, 0x20, 0x40, 0x100, 0x200
SKIPPED = NO_CONNECT | NO_HELO | NO_BODY | NO_HEADERS | NO_END_OF_HEADERS | NO_UNKNOWN | NO_DATA
VERSION = 6
MAXIMUM_PACKET = 1 << 20
MAXIMUM_EDITS = 8


class _Session(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        recipients: list[bytes] = []
        while (packet := self.packet()) is not None:
            command, data = packet[:1], packet[1:]
            if command == b"O":
                offered = struct.unpack("!III", data[:12])
                self.reply(b"O" + struct.pack("!III", min(VERSION, offered[0]), ACTIONS & offered[1], SKIPPED & offered[2]))
            elif command == b"R":
                recipients.append(data.split(b"\0")[0])
                self.reply(b"c")
            elif command == b"E":
                for edit in self.server.edits(recipients):
                    self.reply(edit)
                recipients = []
                self.reply(b"c")
            elif command == b"A":
                recipients = []
            elif command in (b"Q", b"K"):
                if command == b"Q":
                    return
            elif command != b"D":
                self.reply(b"c")

    def packet(self) -> bytes | None:
        head = self.exactly(4)
        if head is None:
            return None
        (length,) = struct.unpack("!I", head)
        if not 0 < length <= MAXIMUM_PACKET:
            raise ValueError(f"a packet of {length} bytes")
        return self.exactly(length)

    def exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            chunk = self.request.recv(count - len(data))
            if not chunk:
                return None
            data += chunk
        return data

    def reply(self, packet: bytes) -> None:
        self.request.sendall(struct.pack("!I", len(packet)) + packet)


class EditingMilter(socketserver.ThreadingTCPServer):
    """Listens on loopback; `address` is what `smtpd_milters` takes."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, seed: int, domains: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.random = random.Random(f"milter/{seed}")
        self.domains = domains
        self.made = 0  # edits
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"inet:127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def edits(self, recipients: list[bytes]) -> list[bytes]:
        with self._lock:
            left = list(recipients)
            edits = [self._edit(left) for _ in range(self.random.randint(0, MAXIMUM_EDITS))]
            self.made += len(edits)
            # Postfix wants the pieces of a new body in one go.
            return sorted(edits, key=lambda edit: edit[:1] == b"b")

    def _edit(self, left: list[bytes]) -> bytes:
        pick = self.random
        text = b"x" * pick.choice([0, 1, 20, 300])
        kind = pick.choice("++++----hhmmieb" if len(left) > 1 else "+++hhmmieb")
        if kind == "+":
            address = f"<added{pick.randrange(1000)}@{pick.choice(self.domains)}>".encode()
            left.append(address)
            return b"+" + address + b"\0"
        if kind == "-":
            return b"-" + left.pop(pick.randrange(len(left))) + b"\0"
        if kind == "h":
            return b"hX-Added\0" + text + b"\0"
        if kind == "i":
            return b"i" + struct.pack("!I", pick.randrange(4)) + b"X-Inserted\0" + text + b"\0"
        if kind == "m":
            # An empty value takes the header away.
            return b"m" + struct.pack("!I", 1) + pick.choice([b"Subject", b"X-Long", b"X-Added"]) + b"\0" + text + b"\0"
        if kind == "b":
            return b"b" + b"a new body\r\n" * pick.choice([1, 10, 1000])
        return b"e<changed" + str(pick.randrange(1000)).encode() + b"@sender.example>\0"
