"""`fast_flush_domains` against Postfix's own flush(8): random lists and domains, asked of both through their front doors.

Postfix is asked by the flush protocol, of a flush(8) that is started for the one question; the built daemon by `POST
/etrn/{domain}?dry_run=true` with `slow_flush = reject`, which is 200 for an eligible domain, 403 for another one and 503 when the list
cannot tell. A seed and a number make the same list on every machine.

Not compared, because they differ on purpose: U-labels in a list (here they are their A-labels), files that include each other
(Postfix overflows its stack), `static:` and `!` without more (Postfix does not run with them), braces that do not match in etrnd.cf
(etrnd does not start with them).
"""
import contextlib
import http.client
import random
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from daemon_process import Daemon
from postfix_instance import PostfixInstance

DOMAINS_A_LIST = 20
ANSWER_LIMIT = 30.0  # seconds for one answer
YES, NO, FAIL = "yes", "no", "fail"

LABELS = ["a", "b", "ab", "x-1", "a_b", "7", "mail", "xn--bcher-kva", "c" * 63]
TOPS = ["test", "example", "b", "1x"]
# What looks like a pattern and is an odd one: names that no domain has, addresses, braces, tables that are not there.
ODD = [
    "*", "*.test", ".", "..", "a..b", "-a.test", "a.test.", ".a.test.", "[192.0.2.1]", "[::1]:25", "a;b", "a!b.test", "1.2", ".1.2", "{a.test}",
    "{a.test b.test}", "=", "a=b", "test#", "a/b", "'a.test'", '"test"', "a$$b.test", "\\", "~",
]
# Only in files: etrnd does not start with these in its configuration.
UNBALANCED = ["a.test}", "}", "{a.test"]
TABLES = ["static:all", "static:x", "static:{a, b}", "static:a:b"]
BROKEN = ["hash:/no/such", "nosuch:table", "2001:db8::1", "fail:x", "/no/such/file", "texthash:/no/such", "a:b", ".a.test:25"]
SEPARATORS = [" ", ",", ", ", "\t", " ,, ", "  ", ",\t,"]
# Only in the configuration: a value goes on in the lines that begin with white space, and a comment does not end it.
BREAKS = ["\n  ", ",\n\t", "\n# a comment, a.test\n ", "\n\n b.test\n ", "\n \n a.test "]
STORE, FILES = "@STORE@", "@FILES@"


@dataclass
class ListCase:
    """A list, and what it refers to; `STORE` and `FILES` stand for what each side calls the provisioned domains and the files."""

    number: int
    text: str
    relay: str
    parents: bool
    files: dict[str, str]
    provisioned: list[str]
    domains: list[str]

    def rendered(self, text: str, store: str, files: Path) -> str:
        return text.replace(STORE, store).replace(FILES, str(files))

    def told(self) -> str:
        lines = [f"list {self.number}: fast_flush_domains = {self.text!r}"]
        if "$relay" in self.text or "{relay" in self.text:
            lines.append(f"  relay_domains = {self.relay!r}")
        lines.append(f"  parent_domain_matches_subdomains {'contains' if self.parents else 'lacks'} it; provisioned: {self.provisioned}")
        lines += [f"  {FILES}/{name}: {content!r}" for name, content in self.files.items()]
        return "\n".join(lines)


class Lists:
    """Makes the case of a number."""

    def __init__(self, seed: int, number: int) -> None:
        self.random = random.Random(f"lists/{seed}/{number}")
        self.number = number
        self.files: dict[str, str] = {}
        self.named: list[str] = []

    def case(self) -> ListCase:
        pick = self.random
        # A few plain lists, more mixed ones, and some long ones.
        size = pick.choice([0, 1, 1, 2, 2, 3, 4, 6, 10, 40])
        text = self.patterns(size, depth=0, breaks=pick.random() < 0.3)
        relay = self.patterns(pick.randint(0, 3), depth=0, breaks=False)
        if pick.random() < 0.12:
            text = self.joined([text, pick.choice(["$relay_domains", "${relay_domains}", "$(relay_domains)"])], False)
        provisioned = [self.domain() for _ in range(pick.randint(1, 3))]
        self.named += provisioned
        return ListCase(
            self.number, text, relay, pick.random() < 0.5, self.files, provisioned, [self.asked() for _ in range(DOMAINS_A_LIST)])

    def domain(self) -> str:
        labels = [self.random.choice(LABELS) for _ in range(self.random.choice([0, 0, 1, 1, 1, 2, 3]))]
        return ".".join([*labels, self.random.choice(TOPS)])

    def asked(self) -> str:
        """Mostly something that the list is about."""
        pick = self.random
        name = pick.choice(self.named) if self.named and pick.random() < 0.7 else self.domain()
        for _ in range(pick.choice([0, 0, 0, 1, 2])):
            name = f"{pick.choice(LABELS)}.{name}" if pick.random() < 0.6 else name.partition(".")[2] or name
        if pick.random() < 0.05:
            name = "x" + name[1:]
        return self.cased(name)[-253:].lstrip(".-")

    def cased(self, text: str) -> str:
        kind = self.random.random()
        return text.upper() if kind < 0.08 else text.title() if kind < 0.14 else text

    def joined(self, tokens: list[str], breaks: bool) -> str:
        text = ""
        for n, token in enumerate(tokens):
            if n:
                text += self.random.choice(BREAKS if breaks and self.random.random() < 0.5 else SEPARATORS)
            text += token
        return text + self.random.choice(["", "", "", " ", ","])

    def patterns(self, count: int, depth: int, breaks: bool) -> str:
        return self.joined([self.pattern(depth) for _ in range(count)], breaks)

    def pattern(self, depth: int) -> str:
        pick = self.random
        kind = pick.random()
        if kind < 0.48:
            name = self.domain()
            self.named.append(name)
            text = self.cased(name)
        elif kind < 0.66:
            name = self.domain()
            self.named.append(name)
            text = "." + self.cased(name)
        elif kind < 0.76:
            text = pick.choice(ODD + UNBALANCED if depth else ODD)
        elif kind < 0.80:
            text = pick.choice(TABLES)
        elif kind < 0.84:
            text = pick.choice(BROKEN)
        elif kind < 0.92:
            text = STORE
        elif kind < 0.93:
            # Ends the list, which is told in a warning.
            return "# a.test"
        else:
            text = f"{FILES}/{self.file(depth + 1)}" if depth < 3 else self.domain()
        return "!" * pick.choice([0, 0, 0, 0, 0, 1, 1, 2, 3]) + text

    def file(self, depth: int) -> str:
        """A new file: nothing includes what is being read."""
        pick = self.random
        name = f"list{len(self.files)}"
        self.files[name] = ""
        lines = []
        for _ in range(pick.choice([0, 1, 2, 4, 8])):
            lines.append(pick.choice(["", "", "", "", " ", "\t", "#"]) + self.patterns(pick.choice([0, 1, 1, 1, 2, 3]), depth, False))
        end = pick.choice(["\n", "\n", "\n", "\r\n"])
        self.files[name] = end.join(lines) + pick.choice([end, end, ""])
        return name


@dataclass
class Outcome:
    """What a run of cases came to."""

    lists: int = 0
    verdicts: Counter = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.verdicts.total()

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(self.lists + other.lists, self.verdicts + other.verdicts, self.differences + other.differences)

    def line(self, seed: int) -> str:
        counts = ", ".join(f"{self.verdicts[verdict]} {verdict}" for verdict in (YES, NO, FAIL))
        return f"lists: seed {seed}: {self.cases} cases in {self.lists} lists ({counts}), {len(self.differences)} differences"


class Side:
    """Where a side's files and configuration are."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True)

    def put_files(self, case: ListCase, store: str) -> Path:
        files = self.directory / "files"
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
        for name, content in case.files.items():
            (files / name).write_bytes(case.rendered(content, store, files).encode())
        return files


class FlushOfPostfix(Side):
    """flush(8) itself, started for each question as `flush -S`: it serves one client on its standard input and output."""

    ANSWERS = {b"0": YES, b"4": NO, b"4294967295": FAIL}

    def __init__(self, instance: PostfixInstance, directory: Path) -> None:
        super().__init__(directory)
        self.program = Path(instance.setting("daemon_directory")) / "flush"
        self.base = (instance.configuration / "main.cf").read_text()
        (directory / "master.cf").write_text("")

    def verdicts(self, case: ListCase) -> list[str]:
        store = "inline:{" + ", ".join(f"{name}=1" for name in case.provisioned) + "}"
        files = self.put_files(case, store)
        (self.directory / "main.cf").write_text(
            self.base
            + f"relay_domains = {case.rendered(case.relay, store, files)}\n"
            + f"fast_flush_domains = {case.rendered(case.text, store, files)}\n"
            + f"parent_domain_matches_subdomains = {'fast_flush_domains' if case.parents else ''}\n")
        return [self.verdict(domain) for domain in case.domains]

    def verdict(self, domain: str) -> str:
        # One socket for both, as a real client is: flush(8) polls its standard output for input.
        ours, its = socket.socketpair()
        with ours, its:
            ours.settimeout(ANSWER_LIMIT)
            flush = subprocess.Popen(
                [self.program, "-S"], stdin=its, stdout=its, stderr=subprocess.DEVNULL,
                env={"MAIL_CONFIG": str(self.directory), "PATH": "/usr/bin:/bin"},
            )
            its.close()
            answer = b""
            try:
                # It reads its configuration first, and may not live to read this.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    ours.sendall(b"request\0send_site\0site\0" + domain.encode() + b"\0\0")
                    while chunk := ours.recv(4096):
                        answer += chunk
            finally:
                flush.kill()
                flush.wait()
        status = answer.partition(b"status\0")[2].partition(b"\0")[0]
        return self.ANSWERS.get(status, f"none: {answer!r}")


class DaemonOfOurs(Side):
    """The built etrnd, started for each list."""

    ANSWERS = {200: YES, 403: NO, 503: FAIL}

    def __init__(self, program: Path, directory: Path) -> None:
        super().__init__(directory)
        self.program = program

    def verdicts(self, case: ListCase) -> list[str]:
        files = self.put_files(case, "store:")
        place = self.directory / "daemon"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        daemon = Daemon(
            self.program, place,
            {
                "slow_flush": "reject",
                "relay_domains": case.rendered(case.relay, "store:", files),
                "fast_flush_domains": case.rendered(case.text, "store:", files),
                "parent_domain_matches_subdomains": "fast_flush_domains" if case.parents else "",
            },
        )
        try:
            daemon.start()
            for domain in case.provisioned:
                daemon.relay(domain, "[127.0.0.1]:25")
            return list(self.asked(daemon, case.domains))
        finally:
            daemon.kill()

    def asked(self, daemon: Daemon, domains: list[str]) -> Iterator[str]:
        connection = http.client.HTTPConnection(*daemon.http, timeout=ANSWER_LIMIT)
        with contextlib.closing(connection):
            for domain in domains:
                connection.request("POST", f"/etrn/{quote(domain)}?dry_run=true")
                answer = connection.getresponse()
                body = answer.read()
                yield self.ANSWERS.get(answer.status, f"{answer.status} {body[:200]!r}")


def compare(case: ListCase, seed: int, ours: DaemonOfOurs, theirs: FlushOfPostfix) -> Outcome:
    outcome = Outcome(lists=1)
    for domain, mine, right in zip(case.domains, ours.verdicts(case), theirs.verdicts(case), strict=True):
        outcome.verdicts[right] += 1
        if mine != right:
            outcome.differences.append(f"seed {seed}, {case.told()}\n  asked for {domain!r}: Postfix {right}, etrnd {mine}")
    return outcome


def run(
    program: Path, instance: PostfixInstance, directory: Path, seed: int, numbers: Iterable[int], jobs: int = 2,
    progress=lambda outcome: None,
) -> Outcome:
    """Compares the lists of these numbers, so many at a time; `progress` is told of each, from any thread."""
    numbers = list(numbers)

    def share(index: int) -> Outcome:
        ours = DaemonOfOurs(program, directory / f"ours{index}")
        theirs = FlushOfPostfix(instance, instance.directory / f"lists{index}")
        total = Outcome()
        for number in numbers[index::jobs]:
            outcome = compare(Lists(seed, number).case(), seed, ours, theirs)
            progress(outcome)
            total += outcome
        return total

    with ThreadPoolExecutor(jobs) as pool:
        return sum(pool.map(share, range(jobs)), Outcome())
