"""No descriptors are left: existing peers are served, new ones wait, mail is put off or taken but not lost, and nothing spins."""
import contextlib
import resource
import smtplib

from daemon_process import submit
from peers import connect, read_until

from .stage import (
    Asker, Daemon, Stage, descriptors_for, impediments, open_descriptors, processor_share, quiet, reconciled, tidy, wait_until,
)

DOMAIN = "customer.example"
ATTEMPTS = 10  # messages sent while there are no descriptors
MEASURED = 2.0  # seconds in which a starved daemon must rest
REST = 0.1  # of one processor


def descriptors_run_out(stage: Stage, peers: int, rounds: int = 1) -> str:
    site = stage.site()
    daemon = stage.daemon(
        minimal_backoff_time="1s", maximal_backoff_time="2s", reconcile_interval="1s", smtp_connection_limit=peers + 100,
        smtpd_client_connection_count_limit=peers + 100)
    daemon.relay(DOMAIN, site.next_hop)
    accepted = delivered = 0
    busiest = 0.0
    with descriptors_for(3 * peers + 200):
        for number in range(rounds):
            daemon.send(f"user@{DOMAIN}")
            taken, share = _round(daemon, peers)
            accepted += 1 + taken
            busiest = max(busiest, share)
            site.start()
            # What could not be opened or connected to meanwhile is tried once more.
            wait_until(lambda: daemon.flush(DOMAIN) and daemon.waiting(DOMAIN) == 0, 60, "all mail to arrive", step=0.2)
            site.stop()
            delivered = sum(len(message.recipients) for message in site.snapshot())
            assert delivered == accepted, f"{accepted} accepted, {delivered} delivered, in round {number}"
    reconciled(daemon)
    tidy(daemon)
    return f"{rounds} rounds without descriptors for {2 * peers} new peers, {accepted} accepted, none lost, {100 * busiest:.1f} % of a processor"


def _round(daemon: Daemon, peers: int) -> tuple[int, float]:
    """How many messages were taken while there were no descriptors, and what the daemon used of a processor then."""
    before = open_descriptors(daemon)
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    taken = 0
    with contextlib.ExitStack() as stack:
        known = [stack.enter_context(Asker(daemon.http)) for _ in range(20)]
        for asker in known:
            assert asker.ask("GET", "/livez")[0] == 200
        sender = stack.enter_context(smtplib.SMTP(*daemon.smtp, local_hostname="sender.example", timeout=30))
        sender.ehlo()

        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (open_descriptors(daemon), hard))
        try:
            strangers = [stack.enter_context(connect(daemon.http)) for _ in range(peers)]
            mailers = [stack.enter_context(connect(daemon.smtp)) for _ in range(peers)]
            for stranger in strangers:
                stranger.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            share = processor_share(daemon, MEASURED)
            assert share < REST, f"the daemon uses {100 * share:.0f} % of a processor while it has no descriptors"
            # Those who were there before are served, with answers that say what is the matter.
            for asker in known:
                status, _ = asker.ask("GET", "/status")
                assert status == 200
            status, body = known[0].ask("POST", f"/etrn/{DOMAIN}?wait=2")
            assert status in (200, 202), (status, body)
            status, body = known[1].ask("GET", "/readyz")
            assert status == 503 and b"open files" in body, (status, body)
            taken = sum(_is_taken(sender, number) for number in range(ATTEMPTS))
        finally:
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (soft, hard))
        # Now everybody's turn comes.
        for stranger in strangers:
            assert read_until(stranger, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        for mailer in mailers:
            assert read_until(mailer, b"\r\n").startswith(b"220 ")
        for asker in known:
            assert asker.ask("GET", "/livez")[0] == 200
        taken += sum(_is_taken(sender, number) for number in range(ATTEMPTS))
        wait_until(lambda: impediments(daemon) is None, 30, "readiness")
    quiet(daemon, before + 5, "peers that have left")
    assert taken >= ATTEMPTS, "no mail was taken although there were descriptors again"
    return taken, share


def _is_taken(client: smtplib.SMTP, number: int) -> bool:
    """Whether a message was taken; a refusal must be for now only."""
    try:
        submit(client, "alice@sender.example", [f"user@{DOMAIN}"], b"Subject: %d\r\n\r\nhello\r\n" % number)
        return True
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
        assert 450 <= error.smtp_code < 460, error
    except smtplib.SMTPRecipientsRefused as error:
        assert all(450 <= code < 460 for code, _ in error.recipients.values()), error
    return False
