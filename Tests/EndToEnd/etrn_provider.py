"""A provider with three customers that can be asked by ETRN in two ways, and `etrnctl gateway` as a child process."""
import re
import subprocess
import threading

from daemon_process import Daemon, die_with_parent, wait_until
from peers import clean_environment, index_is_complete

CUSTOMER, OTHER, EMPTY, STRANGER = "customer.example", "other.example", "empty.example", "stranger.example"
NAME = "relay.provider.example"
MAIL = {CUSTOMER: 2, OTHER: 1}

IN_PROCESS, GATEWAY = "in process", "etrnctl gateway"

# What the daemon has as parameters, the gateway has as options. The queues' braces are the configuration file's.
OPTIONS = {
    "etrn_networks": "--networks",
    "etrn_empty_reply": "--empty-reply",
    "etrn_queues": "--queue",
    "smtpd_client_etrn_rate_limit": "--rate-limit",
    "anvil_rate_time_unit": "--rate-time-unit",
    "smtpd_hard_error_limit": "--error-limit",
    "smtpd_junk_command_limit": "--command-limit",
    "smtpd_timeout": "--idle-timeout",
    "smtp_connection_limit": "--connection-limit",
    "smtpd_client_connection_count_limit": "--client-connection-limit",
}


def options(parameters: dict) -> list[str]:
    words = []
    for name, value in parameters.items():
        for one in re.findall(r"\{(.*?)\}", str(value)) if name == "etrn_queues" else [str(value)]:
            words += [OPTIONS[name], one]
    return words


class Gateway:
    """One `etrnctl gateway` in front of the server of this URL."""

    def __init__(self, etrnctl, server: str, *words: str) -> None:
        self.log: list[str] = []
        self.process = subprocess.Popen(
            [etrnctl, "gateway", "--listen", "127.0.0.1:0", "--server", server, "--hostname", NAME, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=clean_environment(),
            preexec_fn=die_with_parent,
        )
        self._reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self._reader.start()
        try:
            wait_until(lambda: "ready\n" in self.log or self.process.poll() is not None, 30, "the gateway")
            assert self.process.poll() is None, self.log
        except AssertionError:
            self.kill()
            raise
        host, port = self.log[0].removeprefix("listening smtp ").strip().rsplit(":", 1)
        self.address = (host, int(port))

    def ended(self) -> int:
        """Its exit code, after a signal that was sent already."""
        try:
            return self.process.wait(20)
        finally:
            self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        self.process.stderr.close()


def stocked(daemon: Daemon, make_sink) -> Daemon:
    """Gives it three customers whose sites are down: two messages for the first, one for the second, none for the third."""
    daemon.sites = {domain: make_sink() for domain in (CUSTOMER, OTHER, EMPTY)}
    for domain, site in daemon.sites.items():
        daemon.relay(domain, site.next_hop)
    for domain, count in MAIL.items():
        for n in range(count):
            daemon.send(f"user{n}@{domain}", test_id=f"{domain}-{n}")
        wait_until(lambda: daemon.waiting(domain) == count, 10, f"the mail for {domain}")
    wait_until(lambda: index_is_complete(daemon), 10, "the first scan")
    return daemon
