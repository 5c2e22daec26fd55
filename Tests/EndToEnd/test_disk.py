"""A full, small or read-only disk: clear answers, nothing lost, and well again when there is room."""
import os
import smtplib
import subprocess

import pytest

from daemon_process import wait_until
from expectations import finished, problem

DOMAIN = "customer.example"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
class TestFullDisk:
    SIZE_MIB = 16

    @pytest.fixture
    def small(self, make_daemon, directory, sink):
        """A daemon whose state directory is a small file system of its own."""
        mounted = []

        def make(**parameters):
            daemon = make_daemon(start=False, **parameters)
            daemon.state.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={self.SIZE_MIB}m,mode=0700", "etrnd-test", str(daemon.state)]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                pytest.skip(f"mounting is not allowed here: {made.stderr.strip()}")
            mounted.append(daemon)
            daemon.start()
            daemon.relay(DOMAIN, sink.next_hop)
            return daemon

        yield make
        for daemon in mounted:
            daemon.kill()
            subprocess.run(["umount", str(daemon.state)], check=True)

    def fill(self, daemon, leave_kib: int):
        """Leaves only this much free; returns the file that takes the rest."""
        filler = daemon.state / "filler"
        free = os.statvfs(daemon.state).f_bavail * os.statvfs(daemon.state).f_frsize
        filler.write_bytes(b"\0" * max(0, free - leave_kib * 1024))
        return filler

    def mail_reply(self, daemon, size: int = 0) -> int:
        with smtplib.SMTP(*daemon.smtp, local_hostname="c.example", timeout=20) as client:
            client.ehlo()
            return client.mail("a@b.example", [f"size={size}"])[0]

    def refused(self, daemon, size: int) -> int:
        try:
            daemon.send(f"user@{DOMAIN}", size=size)
        except (smtplib.SMTPDataError, smtplib.SMTPSenderRefused) as error:
            return error.smtp_code
        except smtplib.SMTPRecipientsRefused as error:
            return next(iter(error.recipients.values()))[0]
        return 250

    def test_a_low_disk_is_452_before_the_content(self, small, sink):
        daemon = small(queue_minfree=4 * 1024 * 1024)
        daemon.send(f"user@{DOMAIN}", test_id="before")
        filler = self.fill(daemon, leave_kib=2048)

        # The free space is asked for twice a second, not for every message.
        wait_until(lambda: self.mail_reply(daemon) == 452, 10, "a 452")
        assert self.refused(daemon, size=100) == 452
        assert daemon.get("/livez").status == 200
        not_ready = wait_until(lambda: (answer := daemon.get("/readyz")).status == 503 and answer, 10, "readiness to tell")
        assert b"queue_minfree" in not_ready.body, not_ready
        # What is there can still be delivered: that makes room.
        sink.start()
        finished(daemon.flush(DOMAIN), delivered=1)

        # Room for the margin is not room for the margin and the message that is announced.
        filler.unlink()
        self.fill(daemon, leave_kib=6 * 1024)
        wait_until(lambda: self.mail_reply(daemon) == 250, 10, "room again")
        assert self.mail_reply(daemon, size=5_000_000) == 452

        filler.unlink()
        daemon.send(f"user@{DOMAIN}", test_id="after")
        wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
        finished(daemon.flush(DOMAIN), delivered=1)

    def test_a_disk_that_fills_up_in_the_middle_is_452_and_leaves_nothing(self, small, sink):
        daemon = small(queue_minfree=0)
        daemon.send(f"user@{DOMAIN}", test_id="before")
        wait_until(lambda: daemon.waiting(DOMAIN) == 1, 10, "the message's record")
        filler = self.fill(daemon, leave_kib=512)

        for _ in range(5):
            assert self.refused(daemon, size=3_000_000) == 452
        assert list((daemon.state / "spool" / "tmp").iterdir()) == []
        assert daemon.waiting(DOMAIN) == 1
        assert daemon.get("/livez").status == 200

        filler.unlink()
        daemon.send(f"user@{DOMAIN}", test_id="after", size=3_000_000)
        sink.start()
        finished(daemon.flush(DOMAIN), delivered=2)

    def test_a_full_disk_refuses_changes_and_loses_none(self, small, sink):
        daemon = small(queue_minfree=0)
        daemon.send(f"user@{DOMAIN}", test_id="before")
        filler = self.fill(daemon, leave_kib=0)

        answers = [daemon.put(f"/relay-domains/d{n}.example", {"next_hop": sink.next_hop, "comment": "c" * 900}) for n in range(300)]
        made = [f"d{n}.example" for n, answer in enumerate(answers) if answer.status == 201]
        assert {answer.status for answer in answers} <= {201, 503}, {answer.status for answer in answers}
        assert any(answer.status == 503 for answer in answers), "the disk was not full"
        problem(next(answer for answer in answers if answer.status == 503), 503)

        filler.unlink()
        daemon.kill()
        daemon.start()
        kept = [row["domain"] for row in daemon.get("/relay-domains", limit=1000).json()["relay_domains"]]
        assert kept == sorted([DOMAIN, *made])
        sink.start()
        finished(daemon.flush(DOMAIN), delivered=1)
