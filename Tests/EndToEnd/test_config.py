"""Bad configuration stops the start with file, line and what was probably meant; good configuration has no surprises."""
import subprocess

import pytest

EX_CONFIG = 78

BAD = [
    ("fast_flush_domain = $relay_domains", ["etrnd.cf:1", "fast_flush_domain", "fast_flush_domains"]),
    ("\n# a comment\nqueue_engin = spool", ["etrnd.cf:3", "queue_engin", "queue_engine"]),
    ("queue_engine = sendmail", ["etrnd.cf:1", "queue_engine", "sendmail", "spool"]),
    ("slow_flush = maybe", ["etrnd.cf:1", "slow_flush", "maybe", "permit", "reject"]),
    ("slow_flush_interval = 5 parsecs", ["etrnd.cf:1", "slow_flush_interval", "parsecs"]),
    ("http_listen = 127.0.0.1:99999", ["etrnd.cf:1", "http_listen", "99999"]),
    ("http_listen = unix:relative", ["etrnd.cf:1", "http_listen"]),
    ("smtp_listen = nowhere", ["etrnd.cf:1", "smtp_listen", "nowhere"]),
    ("http_trusted_networks = 127.0.0.1/8", ["etrnd.cf:1", "http_trusted_networks", "127.0.0.0/8"]),
    ("flush_probe_messages = -1", ["etrnd.cf:1", "flush_probe_messages"]),
    ("flush_probe_messages = many", ["etrnd.cf:1", "flush_probe_messages", "many"]),
    ("message_size_limit = 99999999999999999999", ["etrnd.cf:1", "message_size_limit"]),
    ("myhostname = -bad-.example", ["etrnd.cf:1", "myhostname"]),
    ("relay_domains = $fast_flush_domains\nfast_flush_domains = $relay_domains", ["etrnd.cf", "relay_domains", "fast_flush_domains"]),
    ("no equals sign here", ["etrnd.cf:1"]),
    ("slow_flush = permit\n= value", ["etrnd.cf:2"]),
    ("  continuation = of nothing", ["etrnd.cf:1"]),
    ("relay_domains = ${unclosed", ["etrnd.cf:1", "relay_domains"]),
]


def check(program, path, *options):
    return subprocess.run([program, "--config", path, "--check-config", *options], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[text.strip().splitlines()[-1][:40] for text, _ in BAD])
@pytest.mark.parametrize("how", ["--check-config", "start"])
def test_a_bad_line_is_named(program, directory, text, expected, how):
    file = directory / "etrnd.cf"
    file.write_text(text + "\n")
    state = directory / "state"

    if how == "start":
        # A start that is not refused would go on: the options keep it away from everything but this directory.
        options = [] if "http_listen" in text else ["-o", f"http_listen=unix:{directory}/s"]
        options += [] if "smtp_listen" in text else ["-o", "smtp_listen=127.0.0.1:0"]
        command = [program, "--config", file, "-o", f"state_directory={state}", *options]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    else:
        result = check(program, file, "-o", f"state_directory={state}")

    assert result.returncode == EX_CONFIG, (result.returncode, result.stderr)
    for part in expected:
        assert part in result.stderr, (part, result.stderr)
    assert not state.exists(), "a start that is refused must leave nothing behind"


def test_all_problems_are_told_at_once(program, directory):
    file = directory / "etrnd.cf"
    file.write_text("slow_flush = maybe\nmyhostname = relay.example\nqueue_engin = spool\n")
    result = check(program, file)
    assert result.returncode == EX_CONFIG
    assert "etrnd.cf:1" in result.stderr and "etrnd.cf:3" in result.stderr, result.stderr


def test_a_bad_option_is_named(program, directory):
    file = directory / "etrnd.cf"
    file.write_text("")
    for option, parts in (("slow_flosh=permit", ["slow_flosh", "slow_flush"]), ("slow_flush=maybe", ["slow_flush", "maybe"])):
        result = check(program, file, "-o", option)
        assert result.returncode == EX_CONFIG, result
        assert all(part in result.stderr for part in [*parts, "command line"]), result.stderr


def test_a_missing_file_is_named(program, directory):
    result = check(program, directory / "nowhere.cf")
    assert result.returncode == EX_CONFIG and "nowhere.cf" in result.stderr, result


def test_the_quick_start_file_is_good(program, directory):
    from conftest import ROOT

    result = check(program, ROOT / "deploy/quickstart.cf", "-o", f"state_directory={directory}")
    assert result.returncode == 0, result.stderr


def test_postfix_syntax_and_the_order_of_sources(make_daemon):
    daemon = make_daemon(start=False)
    daemon.environment |= {"ETRND_SLOW_FLUSH_INTERVAL": "7m", "ETRND_FLUSH_PROBE_MESSAGES": "5"}
    daemon.parameters["slow_flush_interval"] = "6m"
    daemon.parameters["fast_flush_domains"] = "$relay_domains,\n# a comment between\n    some.other.domain\n\n    third.example"

    daemon.start("-o", "flush_probe_messages=9")

    policy = daemon.get("/policy").json()
    rows = {row["name"]: (row["value"], row["source"]) for row in policy["parameters"]}
    assert rows["slow_flush_interval"][0] == "7m" and "ETRND_SLOW_FLUSH_INTERVAL" in rows["slow_flush_interval"][1]
    assert rows["flush_probe_messages"][0] == "9" and "command line" in rows["flush_probe_messages"][1]
    assert "some.other.domain" in rows["fast_flush_domains"][0] and "third.example" in rows["fast_flush_domains"][0]
    assert rows["slow_flush"] == ("permit", "default")


def test_two_daemons_cannot_share_a_state_directory(make_daemon):
    first = make_daemon()
    second = make_daemon(start=False, state_directory=first.state)
    with pytest.raises(RuntimeError, match="(?i)another|in use|lock"):
        second.start()
    assert second.process.returncode != 0
    second.process = None
    assert first.get("/livez").status == 200
