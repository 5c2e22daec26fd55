"""The README's story in curl lines works as printed, on free ports; and so does `make demo`'s script."""
import json
import re
import subprocess
import sys

import pytest

from conftest import ROOT

STORY = re.compile(r"^<!-- story -->\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def blocks() -> list[str]:
    found = STORY.findall((ROOT / "README.md").read_text())
    assert len(found) == 7, "the story has seven blocks of commands"
    return found


def documents(text: str) -> list[dict]:
    """The JSON documents in a transcript; what the customer's server prints between them is passed over."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        try:
            document, at = decoder.raw_decode(text, at)
            found.append(document)
        except json.JSONDecodeError:
            at += 1
    return found


def test_the_story_works_as_printed(daemon, make_sink, blocks):
    customer = make_sink()  # only for its free port
    customer.__exit__()
    ports = {"8025": daemon.http[1], "2525": daemon.smtp[1], "2626": customer.port}
    lines = ["set -eu -o pipefail", "set -m", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for number, block in enumerate(blocks):
        for port, ours in ports.items():
            block = re.sub(rf"\b{port}\b", str(ours), block)
        lines += [block, f"echo; echo '=== {number}'"]
    # Waiting for the customer's server to show the mail, in place of a person's eyes.
    script = "\n".join(lines)

    ran = subprocess.run(["bash", "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    parts = re.split(r"=== \d\n", ran.stdout)
    assert documents(parts[0])[0]["domain"] == "customer.example"
    domain, messages = documents(parts[2])
    assert domain["messages"] == 1 and messages["messages"][0]["recipients"][0]["address"] == "bob@customer.example"
    early = documents(parts[3])[0]
    assert early["deferred_again"] == 1 and "refused" in early["last_reason"]
    assert documents(parts[4])[0]["delivered"] == 1
    assert "This waited for you." in ran.stdout
    assert "251 OK, no messages waiting for node customer.example" in parts[5]
    assert [(flush["via"], flush["delivered"]) for flush in documents(parts[6])[0]["flushes"]] == [("smtp", 0), ("http", 1), ("http", 0)]


def test_the_demo_tells_its_story(program):
    ran = subprocess.run([sys.executable, ROOT / "Tools/demo"], capture_output=True, text=True, timeout=180, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Happy birthday" in ran.stdout and "every message arrived" in ran.stdout


@pytest.mark.parametrize("tool", ["check-imports", "customer_server.py", "demo", "install-deps", "run-quickstart", "run-tests"])
def test_every_tool_explains_itself(tool):
    ran = subprocess.run([ROOT / "Tools" / tool, "--help"], capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0 and "usage" in ran.stdout.lower(), ran


def test_the_import_check_can_fail(directory):
    (directory / "docs").mkdir()
    (directory / "docs/architecture.md").write_text("| `Core` | x | `Up` |\n| `Up` | x | |\n| `Gone` | x | |\n")
    for target, text in {"Core": "import Glibc\n", "Up": "@testable public import struct Core.A\n/*\nimport Nothing\n*/\n// import Nothing\n", "New": ""}.items():
        (directory / "Sources" / target).mkdir(parents=True)
        (directory / "Sources" / target / "A.swift").write_text(text)

    ran = subprocess.run([ROOT / "Tools/check-imports", "--root", directory], capture_output=True, text=True, timeout=30, check=False)

    assert ran.returncode == 1
    for expected in ("Core may import Up, whose row is not above", "Sources/New", "no Sources/Gone", "A.swift:1: Core may not import Glibc", "A.swift:1: Up may not import Core"):
        assert expected in ran.stderr, (expected, ran.stderr)
    assert "Nothing" not in ran.stderr
