"""deploy/postfix/setup on a private Postfix that knows nothing of etrnd yet."""
import re
import smtplib
import subprocess
from pathlib import Path

from daemon_process import ROOT
from postfix_instance import BARRIER, COMMAND_LIMIT

SETUP = ROOT / "deploy/postfix/setup"
FIXED = "fixed.example"  # a relay domain that main.cf has by itself

# Nobody relays by his address here: who may send to a domain is for relay_domains to say, to clients on loopback too.
UNTOUCHED = {
    "flush_service_name": "flush",
    "fast_flush_domains": "$relay_domains",
    "smtpd_etrn_restrictions": "",
    "smtpd_relay_restrictions": "reject_unauth_destination",
    "relay_domains": f"{FIXED}, {BARRIER}",
    "transport_maps": f"inline:{{ {{{FIXED}=discard:}}, {{{BARRIER}=discard:}} }}",
}


def run_setup(configuration: Path, state: Path | None = None, *options: str) -> subprocess.CompletedProcess:
    command = [str(SETUP), "-c", str(configuration), *options]
    if state:
        command += ["--state-directory", str(state)]
    # A careful root: what is made for user postfix must be open to him all the same.
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=COMMAND_LIMIT, check=False, umask=0o077)


def did(done: subprocess.CompletedProcess) -> str:
    """What it said; it must have succeeded."""
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def is_taken(port: int, recipient: str) -> bool:
    """Whether smtpd takes mail for this recipient, asked in a session of its own. Ask for a fresh one each time: a process of smtpd
    keeps the last hundred that it has resolved."""
    with smtplib.SMTP("127.0.0.1", port, local_hostname="sender.example", timeout=60) as client:
        client.ehlo()
        assert client.mail("alice@sender.example")[0] == 250
        code, text = client.rcpt(recipient)
        client.rset()
    if code == 250:
        return True
    assert code == 554 and re.search(rb"Relay access denied|takes no new mail here", text), (code, text)
    return False


def files_of(configuration: Path) -> dict[str, bytes]:
    """Everything in a configuration directory."""
    return {str(path.relative_to(configuration)): path.read_bytes() for path in configuration.rglob("*") if path.is_file()}
