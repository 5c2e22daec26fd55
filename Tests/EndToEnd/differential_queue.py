"""The queue-file reader against postqueue(1) and postcat(1): what the service shows of every message is what these show.

`Mail` brings random messages into a Postfix in all the ways that make different queue files; `SyntheticFiles` writes files that follow
the format in ways that this Postfix would not. `compare` then reads the whole queue with all three.
"""
import contextlib
import http.client
import json
import random
import re
import smtplib
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import idna
from daemon_process import wait_until
from editing_milter import EditingMilter
from postfix_instance import COMMAND_LIMIT, PostfixDaemon, PostfixInstance

# Mail for these waits; for DONE it is thrown away, which finishes a recipient; for BOUNCED it comes back to the sender, when it was
# submitted locally: smtpd(8) refuses it.
WAITING = ["one.example", "two.example", "a.b.c.three.example", "xn--bcher-kva.example", "x_y.example", "1and1.example", "four.example"]
DONE, BOUNCED = "done.example", "bounced.example"
SENDERS = [
    "alice@sender.example", "", "o'hara+tag@sender.example", '"a b"@sender.example', "A@SENDER.Example", "s" * 60 + "@sender.example",
]  # fmt: skip
REASON_LIMIT = 500  # of the service
SETTLE_LIMIT = 120  # seconds until the queue is at rest
COUNT_LIMIT = 30  # until the record has it, too; what is missing then is a difference
ANSWER_LIMIT = 300  # for one answer of the service
BATCH = 50  # messages given to one postcat
JUMP = re.compile(rb"p\x0f( *\d+)(?=[A-Zapw/])")

EDITED_BY_MILTER = "edited by a milter"
# For one Postfix each: what makes its queue files different.
SETTINGS: dict[str, dict[str, str]] = {
    "plain": {},
    "edited by cleanup": {
        "enable_long_queue_ids": "yes",
        "hash_queue_depth": "2",
        "hash_queue_names": "incoming, active, deferred, defer, hold",
        "header_checks": "regexp:{{/^Subject: .*hold/ HOLD for a look} {/^Subject: .*prepend/ PREPEND X-Checked: by the filter}"
        " {/^Subject: .*replace/ REPLACE Subject: another one} {/^Subject: .*ignore/ IGNORE}"
        " {/^Subject: .*redirect/ REDIRECT elsewhere@two.example} {/^Subject: .*copy/ BCC hidden@four.example}"
        " {/^Subject: .*filter/ FILTER retry:the filter is away}}",
        "always_bcc": "archive@one.example",
        "recipient_bcc_maps": "inline:{two.example=copies@four.example}",
        "sender_bcc_maps": "inline:{alice@sender.example=sent@three.example}",
        "virtual_alias_domains": "list.example",
        "virtual_alias_maps": "inline:{{all@list.example = " + ", ".join(f"member{n}@{WAITING[n % 3]}" for n in range(30)) + "}}",
        "content_filter": "retry:the scanner is away",
    },
    EDITED_BY_MILTER: {"hash_queue_depth": "3", "milter_default_action": "tempfail"},
}


def settings(which: str, milter: EditingMilter | None) -> dict[str, str]:
    """Settings with which everything waits, but what is sent to DONE or to BOUNCED."""
    # Nobody listens there.
    away = "smtp:[127.0.0.1]:1"
    return {
        "default_transport": away,
        "relay_transport": away,
        "relay_domains": "static:all",
        "transport_maps": f"inline:{{{{{DONE}=discard:}}, {{{BOUNCED}=error:5.1.1 nobody there}}, {{barrier.example=discard:}}}}",
        "smtpd_recipient_restrictions": "permit_mynetworks",
        "default_destination_recipient_limit": "20",
        "smtpd_recipient_limit": "3000",
        # Some recipients are refused, which is as good.
        "smtpd_soft_error_limit": "10000",
        "smtpd_hard_error_limit": "10000",
        "line_length_limit": "2048",
    } | SETTINGS[which] | ({} if milter is None else {"smtpd_milters": milter.address, "non_smtpd_milters": milter.address})


# Mail.


class Mail:
    """Sends random messages; a seed makes the same ones."""

    def __init__(self, instance: PostfixInstance, seed: int) -> None:
        self.instance = instance
        self.random = random.Random(f"mail/{seed}")
        self.refused = 0

    def send(self, count: int) -> None:
        for n in range(count):
            if self.random.random() < 0.2:
                self._submit_locally(n)
            else:
                self._submit_by_smtp(n)

    def _recipient(self) -> str:
        pick = self.random
        domain = pick.choice(WAITING + [DONE, BOUNCED] if pick.random() < 0.9 else ["list.example"])
        if domain == "list.example":
            return "all@list.example"
        local = pick.choice([
            "user", "user", "user", "User.Name", "a+tag", "o'hara", '"a b"', '"x@y"', '"q\\"uote"', '"back\\\\slash"', '".dot"', '"a..b"',
            "u" * 64, "v" * 200, "!#$&*-/=?^_`{|}~", "a!b", "a%b", '"<>"', '",;:"', '"(c)"', "-dash", "=eq", '"tab\there"',
        ])  # fmt: skip
        if local in ("user", "a+tag"):
            local += str(pick.randrange(10_000))
        kind = pick.random()
        if kind < 0.1:
            domain = domain.upper()
        elif kind < 0.13:
            return f"{local}@[192.0.2.{pick.randrange(256)}]"
        elif kind < 0.15:
            return f"@relay.example:{local}@{domain}"
        return f"{local}@{domain}"

    def _recipients(self) -> list[str]:
        count = self.random.choice([1, 1, 1, 2, 3, 5, 20, 60, 300])
        return [self._recipient() for _ in range(count)]

    def _content(self, n: int, head: str = "") -> bytes:
        pick = self.random
        words = " ".join(pick.sample(["hold", "prepend", "replace", "ignore", "copy", "redirect", "filter", "plain", "other"], 2))
        lines = [f"Subject: {words} {n}", "X-Long: " + "y" * pick.choice([1, 70, 1500, 5000]), *head.splitlines()]
        lines += [f"X-Many-{k}: {k}" for k in range(pick.choice([0, 0, 3, 100]))]
        body = [pick.choice(["", ".", "hello", "z" * 900, "p" * 3000, "E", "8-bit: \xe9"]) for _ in range(pick.choice([0, 1, 5, 50, 2000]))]
        return "\r\n".join([*lines, "", *body, ""]).encode("latin-1")

    def _submit_by_smtp(self, n: int) -> None:
        pick = self.random
        content = self._content(n)
        with smtplib.SMTP("127.0.0.1", self.instance.port, local_hostname="sender.example", timeout=60) as client:
            client.ehlo()
            options = []
            if pick.random() < 0.3:
                options += [f"RET={pick.choice(['HDRS', 'FULL'])}", f"ENVID=id+3D{n}"]
            recipients = self._recipients()
            if pick.random() < 0.2:
                options.append("SMTPUTF8")
                recipients += ["j\u00f6rg@one.example", "\u4f60\u597d@two.example"]
            if pick.random() < 0.3:
                options.append("BODY=8BITMIME")
            code, reply = self._command(client, f"MAIL FROM:<{pick.choice(SENDERS)}> {' '.join(options)}".strip())
            assert code == 250, reply
            taken = 0
            for recipient in recipients:
                options = []
                if pick.random() < 0.3:
                    options.append(f"NOTIFY={pick.choice(['NEVER', 'SUCCESS,FAILURE', 'DELAY'])}")
                if pick.random() < 0.3:
                    options.append(f"ORCPT=rfc822;orig+2B{pick.randrange(100)}@{pick.choice(WAITING)}")
                code, _ = self._command(client, f"RCPT TO:<{recipient}> {' '.join(options)}".strip())
                taken += code == 250
                self.refused += code != 250
            if not taken:
                code, reply = self._command(client, f"RCPT TO:<nobody{n}@one.example>")
                assert code == 250, reply
            code, reply = client.data(content)
            assert code == 250, reply

    @staticmethod
    def _command(client: smtplib.SMTP, line: str) -> tuple[int, bytes]:
        client.send(line.encode() + b"\r\n")
        return client.getreply()

    def _submit_locally(self, n: int) -> None:
        """By sendmail(1): with -t the recipients come from the headers, and stand behind the content in the queue file."""
        pick = self.random
        recipients = [r for r in self._recipients() if r.isascii() and not r.startswith(("-", "@"))][:60] or [f"nobody{n}@one.example"]
        arguments = ["-i", "-f", pick.choice([s for s in SENDERS if s]) if pick.random() < 0.8 else "<>"]
        if pick.random() < 0.3:
            arguments += ["-N", pick.choice(["never", "failure,delay"]), "-V", f"envelope{n}"]
        head = "Bcc: bcc@four.example\nCc: cc@one.example" if pick.random() < 0.5 else ""
        if pick.random() < 0.6:
            arguments += ["-t"]
            head += "\nTo: " + ",\n\t".join(recipients)
        else:
            arguments += ["--", *recipients]
        sent = subprocess.run(
            ["sendmail", "-C", str(self.instance.configuration), *arguments], input=self._content(n, head.strip()).replace(b"\r\n", b"\n"),
            capture_output=True, timeout=COMMAND_LIMIT, check=False,
        )
        assert sent.returncode == 0, sent


def wait_for_rest(instance: PostfixInstance) -> None:
    """Returns when nothing is under way any more; the reports that a bounce makes are mail too."""
    seen: list[set[str]] = [set()]

    def is_at_rest() -> bool:
        seen.append(instance.ids())
        return not instance.ids("maildrop", "incoming", "active") and seen[-1] == seen[-2] != set()

    wait_until(is_at_rest, SETTLE_LIMIT, "the queue to be at rest", step=0.5)


def disturb(instance: PostfixInstance, seed: int) -> None:
    """Some messages go on hold, some come back from there."""
    pick = random.Random(f"disturb/{seed}")
    ids = sorted(instance.ids("deferred"))
    held = pick.sample(ids, len(ids) // 6)
    for option, chosen in (("-h", held), ("-H", held[: len(held) // 3])):
        for queue_id in chosen:
            instance.postsuper(option, queue_id)


# Files that nobody sent.


class SyntheticFiles:
    """Queue files made of random records."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"files/{seed}")

    def file(self) -> bytes:
        pick = self.random
        self.bytes = bytearray()
        self.jumps: list[tuple[int, list[bytes]]] = []  # where a jump stands, and what it leads to
        size_fields = pick.choice([3, 4, 5, 6, 6, 6])
        self.record("C", b" " * (16 * size_fields - 1))
        arrival = 1_700_000_000 + pick.randrange(50_000_000)
        self.record("T", f"{arrival} {pick.randrange(1_000_000)}" if pick.random() < 0.8 else str(arrival))
        self.noise()
        sender = pick.choice(SENDERS).replace('"', "")
        if pick.random() < 0.1:
            # A filter has changed it: the old one is overwritten with a jump to the new one. showq(8) dies of a second sender.
            self.jump([self.encoded("S", "new@sender.example")])
        else:
            self.record("S", sender)
        recipients = self.recipients(pick.choice([0, 1, 1, 2, 3, 10, 100, 400]))
        self.record("M", "")
        data_offset = len(self.bytes)
        for _ in range(pick.choice([0, 1, 3, 30, 300])):
            self.record(pick.choice("NNNL"), b"t" * pick.choice([0, 1, 60, 127, 128, 129, 900, 2048]))
            if pick.random() < 0.05:
                # What is jumped to in the content is no envelope.
                self.jump([self.encoded("N", b"added later")])
        content = len(self.bytes) - data_offset
        self.record("X", "")
        self.noise()
        recipients += self.recipients(pick.choice([0, 0, 0, 1, 5, 50]) or (not recipients))
        self.record("E", "")
        # What jumps lead to is behind the end, in any order.
        pick.shuffle(self.jumps)
        for place, records in self.jumps:
            target = len(self.bytes)
            for record in records:
                self.bytes += record
            self.record("p", f"{place + 17:15d}")
            self.bytes[place + 2 : place + 17] = f"{target:15d}".encode()
        numbers = [content, data_offset, recipients, 0, content, 0][:size_fields]
        self.bytes[2 : 2 + 16 * size_fields - 1] = " ".join(f"{number:15d}" for number in numbers).encode()
        return bytes(self.bytes)

    @staticmethod
    def encoded(kind: str, data: bytes | str) -> bytes:
        data = data.encode() if isinstance(data, str) else data
        length, head = len(data), bytearray(kind.encode())
        while True:
            length, low = divmod(length, 128)
            head.append(low | 0x80 if length else low)
            if not length:
                return bytes(head) + data

    def record(self, kind: str, data: bytes | str) -> None:
        self.bytes += self.encoded(kind, data)

    def jump(self, records: list[bytes]) -> None:
        self.jumps.append((len(self.bytes), records))
        self.record("p", f"{0:15d}")

    def noise(self) -> None:
        """Records that say nothing of the envelope."""
        pick = self.random
        for _ in range(pick.choice([0, 0, 1, 3])):
            kind = pick.randrange(4)
            if kind == 0:
                self.record("A", f"attribute{pick.randrange(9)}=" + "v" * pick.choice([0, 1, 200, 1900]))
            elif kind == 1:
                self.record("w", b"\0" * pick.choice([0, 1, 50]))
            elif kind == 2:
                self.record("p", f"{0:15d}")
            else:
                self.jump([self.encoded("A", "inside=a jump")])

    def recipients(self, count: int) -> int:
        pick = self.random
        for _ in range(count):
            address = self.address()
            if pick.random() < 0.5:
                self.record("A", f"dsn_orig_rcpt=rfc822;{address}")
                self.record("A", f"notify_flags={pick.randrange(16)}")
            if pick.random() < 0.8:
                self.record("O", address)
            kind = pick.choice("RRRRRRDD/")
            if pick.random() < 0.1:
                self.jump([self.encoded(kind, address)])
            else:
                self.record(kind, address)
            if pick.random() < 0.05:
                self.noise()
        return count

    def address(self) -> str:
        pick = self.random
        local = pick.choice(["user", "a b", "x@y", 'q"u', "back\\slash", ".dot", "", "\u00e9t\u00e9", "v" * 900, "tab\there", "<>"])
        if local == "user":
            local += str(pick.randrange(1_000_000))
        domain = pick.choice([*WAITING, "[192.0.2.1]", "ONE.example", "b\u00fccher.example", "not..a.domain", ""])
        return f"{local}@{domain}"


# The comparison.


@dataclass
class Outcome:
    """What the reader and Postfix's programs were compared on."""

    messages: int = 0
    recipients: int = 0
    shapes: Counter = field(default_factory=Counter)  # of messages
    differences: list[str] = field(default_factory=list)

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.messages + other.messages, self.recipients + other.recipients, self.shapes + other.shapes, self.differences + other.differences)

    def line(self, seed: int) -> str:
        shapes = ", ".join(f"{count} {shape}" for shape, count in sorted(self.shapes.items()))
        return f"queue: seed {seed}: {self.messages} messages, {self.recipients} recipients ({shapes}), {len(self.differences)} differences"


@dataclass
class Cat:
    """What postcat(1) says of a message."""

    size: int = -1
    arrival: int = 0
    sender: bytes = b""
    pending: list[bytes] = field(default_factory=list)
    done: list[bytes] = field(default_factory=list)
    redirection: bytes = b""
    jumps: int = 0
    extracted: bool = False  # a recipient stands behind the content


def read_with_postcat(instance: PostfixInstance, ids: list[str]) -> dict[str, Cat]:
    found = {}
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        command = ["postcat", "-c", str(instance.configuration), "-qe", *part]
        shown = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_LIMIT, check=False)
        assert shown.returncode == 0, shown.stderr[-500:]
        found |= _parse(shown.stdout, instance.spool)
    return found


def _parse(text: bytes, spool: Path) -> dict[str, Cat]:
    found: dict[str, Cat] = {}
    cat, is_extracted = Cat(), False
    for line in text.split(b"\n"):
        if match := re.fullmatch(rb"\*\*\* ENVELOPE RECORDS (.*) \*\*\*", line):
            cat, is_extracted = Cat(), False
            path = match[1].decode()
            found[path.rpartition("/")[2]] = cat
            cat.jumps = sum(int(target) > 0 for target in JUMP.findall((spool / path).read_bytes()))
        elif line.startswith(b"*** HEADER EXTRACTED "):
            is_extracted = True
        match = re.match(rb"([a-z_]+): ?(.*)", line, re.DOTALL)
        if not match:
            continue
        name, value = match[1], match[2]
        if name == b"message_size" and cat.size < 0:
            cat.size = int(value.split()[0])
        elif name == b"message_arrival_time":
            cat.arrival = int(datetime.strptime(value.decode(), "%a %b %d %H:%M:%S %Y").timestamp())
        elif name == b"sender":
            cat.sender = value
        elif name == b"recipient":
            cat.pending.append(value)
            cat.extracted |= is_extracted
        elif name == b"redirect_to" and cat.pending:
            # It stands behind the recipients, and for all of them.
            cat.pending.append(value)
            cat.redirection = value
        elif name == b"done_recipient":
            cat.done.append(value)
    return found



def domain_of(address: str) -> str | None:
    """The A-label form of an address's domain; None for what is no domain name."""
    name = address.rpartition("@")[2]
    if not name or "@" not in address:
        return None
    with contextlib.suppress(idna.IDNAError, UnicodeError):
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode()
        labels = name.split(".")
        good = all(re.fullmatch(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", label) for label in labels)
        if good and not re.fullmatch(r"[0-9.]+", name):
            return name
    return None


class Shown:
    """What the service shows, over one connection."""

    def __init__(self, daemon: PostfixDaemon) -> None:
        self.connection = http.client.HTTPConnection(*daemon.http, timeout=ANSWER_LIMIT)

    def get(self, path: str) -> dict | None:
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        return json.loads(body) if answer.status == 200 else None

    def message(self, queue_id: str) -> dict | None:
        return self.get(f"/messages/{quote(queue_id)}")

    def counts(self) -> dict[str, int]:
        """The domains for which something waits, with how many messages that are."""
        rows = self.pages("/domains?limit=1000&waiting=true", "domains")
        return {row["domain"]: row["messages"] for row in rows}

    def ids(self, domain: str) -> set[str]:
        # A message may have hundreds of recipients: small pages.
        return {row["queue_id"] for row in self.pages(f"/domains/{domain}/messages?limit=100", "messages")}

    def pages(self, path: str, name: str) -> Iterator[dict]:
        cursor = ""
        while cursor is not None:
            page = self.get(path + (f"&cursor={quote(cursor)}" if cursor else ""))
            assert page is not None, path
            yield from page[name]
            cursor = page["next_cursor"]


def printable(address: str) -> str:
    """postqueue(1) shows no control characters."""
    return re.sub(r"[\x00-\x1f\x7f]", "?", address)


PLACES = {"deferred": "deferred", "hold": "held", "active": "in_delivery", "incoming": "in_delivery"}


def compare(instance: PostfixInstance, daemon: PostfixDaemon) -> Outcome:
    """Reads the whole queue, which must be at rest, three times."""
    outcome = Outcome()
    listed = instance.listed()
    cats = read_with_postcat(instance, sorted(listed))
    shown = Shown(daemon)
    waiting = defaultdict(set)
    for queue_id, row in listed.items():
        redirection = cats[queue_id].redirection.decode()
        for address in [redirection] if redirection else [recipient["address"] for recipient in row["recipients"]]:
            if domain := domain_of(address):
                waiting[domain].add(queue_id)

    with contextlib.closing(shown.connection):
        # A file that was just put there is told by the kernel, which may take a moment.
        expected = {domain: len(ids) for domain, ids in waiting.items()}
        with contextlib.suppress(AssertionError):
            wait_until(lambda: shown.counts() == expected, COUNT_LIMIT, "the record to have what the queue has", step=0.5)
        for domain in sorted(waiting.keys() | shown.counts().keys()):
            recorded = shown.ids(domain)
            if missing := sorted(waiting[domain] - recorded):
                outcome.differences.append(f"{domain}: missing {missing[:5]}")
            if stale := sorted(recorded - waiting[domain]):
                outcome.differences.append(f"{domain}: stale {stale[:5]}")

        for queue_id, row in listed.items():
            outcome.messages += 1
            outcome.recipients += len(row["recipients"])
            outcome.shapes += shapes(cats[queue_id], row)
            message = shown.message(queue_id)
            told = ["the service does not know it"] if message is None else list(differences(message, row, cats[queue_id]))
            outcome.differences += [f"{queue_id}: {text}" for text in told]
    return outcome


def shapes(cat: Cat, row: dict) -> Counter:
    return Counter({
        "with jumps": cat.jumps > 0, "done in part": bool(cat.done and cat.pending), "on hold": row["queue_name"] == "hold", "redirected": bool(cat.redirection),
        "extracted": cat.extracted, "of the null sender": not cat.sender, "for many": len(cat.pending) > 100,
    })  # fmt: skip


def differences(message: dict, row: dict, cat: Cat) -> Iterator[str]:
    def differs(what: str, ours, theirs, program: str) -> Iterator[str]:
        if ours != theirs:
            yield f"{what}: etrnd {ours!r}, {program} {theirs!r}"

    arrival = datetime.fromisoformat(message["arrival"]).timestamp()
    yield from differs("place", message["place"], PLACES[row["queue_name"]], "postqueue")
    yield from differs("arrival", int(arrival), row["arrival_time"], "postqueue")
    yield from differs("arrival", int(arrival), cat.arrival, "postcat")
    yield from differs("size", message["size"], row["message_size"], "postqueue")
    yield from differs("size", message["size"], cat.size, "postcat")
    yield from differs("sender", message["sender"] or "MAILER-DAEMON", row["sender"], "postqueue")

    pending = [r for r in message["recipients"] if r["state"] == "pending"]
    done = len(message["recipients"]) - len(pending)
    yield from differs("pending recipients", len(pending), len(cat.pending), "postcat")
    yield from differs("done recipients", done, len(cat.done), "postcat")
    ours, theirs = {printable(r["address"]) for r in pending}, {r["address"] for r in row["recipients"]}
    if ours != theirs:
        yield f"pending: only etrnd {sorted(ours - theirs)[:3]}, only postqueue {sorted(theirs - ours)[:3]}"
    reasons = {printable(r["address"]): r["reason"] for r in pending}
    for recipient in row["recipients"]:
        if recipient["address"] in reasons:
            reason = recipient.get("delay_reason")
            yield from differs("reason", reasons[recipient["address"]], reason and reason[:REASON_LIMIT], "postqueue")


# A whole run.


def run(program: Path, which: str, seed: int, messages: int, files: int, told=lambda text: None) -> Outcome:
    """Random mail and files in a Postfix of these settings; read as they come by a service that is up, and all at once by one that starts."""
    with contextlib.ExitStack() as stack:
        milter = stack.enter_context(EditingMilter(seed, WAITING)) if which == EDITED_BY_MILTER else None
        instance = stack.enter_context(PostfixInstance({}, **settings(which, milter)))
        daemon = PostfixDaemon(program, instance)
        stack.callback(daemon.kill)
        daemon.start()
        mail = Mail(instance, seed)
        mail.send(messages)
        synthetic = SyntheticFiles(seed)
        for _ in range(files):
            instance.place(synthetic.file())
        wait_for_rest(instance)
        disturb(instance, seed)
        told(f"{which}: {messages} messages sent ({mail.refused} recipients refused), {files} files made")

        followed = compare(instance, daemon)
        daemon.kill()
        daemon.start()
        scanned = compare(instance, daemon)
        for outcome, how in ((followed, "followed"), (scanned, "scanned")):
            outcome.differences = [f"seed {seed}, {which}, {how}: {text}" for text in outcome.differences]
        followed.differences += scanned.differences
        return followed
