"""Thousands of peers that never come to an end, on HTTP and SMTP; who asks for mail meanwhile must not notice."""
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

from daemon_process import die_with_parent

from .stage import Asker, Daemon, Stage, descriptors_for, open_descriptors, processor_share, quiet, wait_until

DOMAIN = "customer.example"
EMPTY = "empty.example"
PERIOD = 4.0  # seconds between two bytes of a peer
WARM_UP = 200  # requests whose time does not count


class Drip:
    """So many slow peers in a process of their own."""

    def __init__(self, port: int, count: int, kinds: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "drip.py"), str(port), str(count), "--kinds", kinds, "--period", str(PERIOD)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent,
        )

    def wait_up(self) -> None:
        line = self.process.stdout.readline()
        assert line == "up\n", f"the slow peers ended: {line!r}"

    def stop(self) -> dict:
        self.process.stdin.close()
        line = self.process.stdout.readline()
        self.process.wait(30)
        self.process.stdout.close()
        return json.loads(line)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


def timed(address, count: int) -> list[float]:
    """What so many requests for a domain without mail took, in microseconds, sorted."""
    times = []
    with Asker(address) as asker:
        for number in range(WARM_UP + count):
            began = time.perf_counter()
            status, body = asker.ask("POST", f"/etrn/{EMPTY}")
            ended = time.perf_counter()
            assert status == 200, (status, body)
            if number >= WARM_UP:
                times.append((ended - began) * 1e6)
    return sorted(times)


def percentile(times: list[float], percent: float) -> float:
    return times[min(len(times) - 1, int(len(times) * percent / 100))]


def slow_peers_hold_nobody_up(stage: Stage, http_peers: int, smtp_peers: int, requests: int, limit: float, soak: float = 2.0) -> str:
    """`soak`: seconds before the requests; after ten the first peers are sent away and come again.

    `limit`: how many times the unloaded p99 of `POST /etrn/{domain}` the loaded one may be.
    """
    site = stage.site().start()
    daemon = stage.daemon(
        http_connection_limit=http_peers + 1000, smtp_connection_limit=smtp_peers + 100, smtpd_client_connection_count_limit=smtp_peers + 100)
    for domain in (DOMAIN, EMPTY):
        daemon.relay(domain, site.next_hop)
    before = open_descriptors(daemon)
    calm = timed(daemon.http, requests)

    with descriptors_for(1000), contextlib.ExitStack() as stack:
        drips = [Drip(daemon.http[1], http_peers, "head,body,head,idle"), Drip(daemon.smtp[1], smtp_peers, "smtp")]
        for drip in drips:
            stack.callback(drip.kill)
        for drip in drips:
            drip.wait_up()
        # The kernel has taken them; the daemon is at it.
        wait_until(lambda: open_descriptors(daemon) - before > 0.9 * (http_peers + smtp_peers), 30, "the slow peers to be accepted")
        busy = processor_share(daemon, soak)
        slow = timed(daemon.http, requests)
        _mail_goes_round(daemon)
        counts = [drip.stop() for drip in drips]
    quiet(daemon, before + 5, "slow peers")

    calm_again = timed(daemon.http, requests)
    unloaded = min(percentile(calm, 99), percentile(calm_again, 99))
    ratio = percentile(slow, 99) / unloaded
    told = (
        f"{http_peers} slow HTTP and {smtp_peers} slow SMTP peers ({sum(c['sent_away'] for c in counts)} sent away, "
        f"{sum(c['refused'] for c in counts)} refused), {requests} POST: p50 {percentile(calm, 50):.0f} -> {percentile(slow, 50):.0f} us, "
        f"p99 {percentile(calm, 99):.0f}/{percentile(calm_again, 99):.0f} -> {percentile(slow, 99):.0f} us, ratio {ratio:.2f}, "
        f"longest {slow[-1] / 1000:.1f} ms, the daemon used {100 * busy:.0f} % of a processor for the peers"
    )
    assert ratio <= limit, told
    return told


def _mail_goes_round(daemon: Daemon) -> None:
    daemon.send(f"user@{DOMAIN}")
    wait_until(lambda: daemon.waiting(DOMAIN) == 1, 30, "the message's record")
    flush = daemon.flush(DOMAIN)
    assert flush["delivered"] == 1, flush
