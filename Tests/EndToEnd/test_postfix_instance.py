"""The private Postfix leaves nothing behind: not when a test fails, not when the run is interrupted, not when it is killed."""
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import postfix_instance
from daemon_process import wait_until
from postfix_instance import PostfixInstance

HERE = Path(__file__).resolve().parent
LIMIT = 60  # seconds until everything is gone

# Run by a pytest of its own, in a directory of its own: what follows the start of the instance is given by the test.
INNER = """
import os, signal, subprocess, sys, threading, time
sys.path.insert(0, {here!r})
import pytest
from postfix_instance import PostfixInstance

@pytest.fixture(scope="module")
def instance():
    with PostfixInstance({{}}) as instance:
        yield instance

def test_inner(instance):
    instance.send("nobody@barrier.example")
    with open({told!r}, "w") as file:
        file.write(f"{{instance.directory}} {{instance.master}}")
    {body}
"""

ENDINGS = {
    "the test fails": ("assert False", None),
    "Control-C": ("time.sleep(100)", signal.SIGINT),
    "SIGTERM": ("time.sleep(100)", signal.SIGTERM),
    "kill -9": ("time.sleep(100)", signal.SIGKILL),
    "the time limit, which ends the process": ("os._exit(1)", None),
    "a master that is stopped": ("os.kill(instance.master, signal.SIGSTOP); assert False", None),
    "a master that was killed": ("os.kill(instance.master, signal.SIGKILL); assert False", None),
}


@pytest.fixture(autouse=True)
def possible():
    if why := postfix_instance.obstacle():
        pytest.skip(why)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("body, number", ENDINGS.values(), ids=ENDINGS.keys())
def test_nothing_is_left_behind_after(body, number, directory):
    told = directory / "told"
    (directory / "test_inner.py").write_text(INNER.format(here=str(HERE), told=str(told), body=body))
    inner = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_inner.py"],
        cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        # In the background of a script, as in CI, we have been started with this signal ignored, and so would it be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        wait_until(lambda: (told.exists() and told.read_text().count(" ")) or inner.poll() is not None, LIMIT, "the inner test to run")
        assert told.exists(), inner.communicate()[0]
        made, master = told.read_text().split()
        made = Path(made)
        if number:
            assert exists(int(master)) and made.is_dir()
            os.killpg(inner.pid, number)
        output, _ = inner.communicate(timeout=LIMIT)
    finally:
        inner.kill()
        inner.wait()
        inner.stdout.close()

    assert inner.returncode != 0, output
    wait_until(lambda: not made.exists() and not exists(int(master)), LIMIT, f"{made} and its master {master} to be gone")
    assert postfix_instance.processes_of(made) == {}
    # The helper that saw to it has ended, too.
    wait_until(lambda: not reapers_of(made), LIMIT, "the helper to end")


def reapers_of(made: Path) -> list[str]:
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if postfix_instance.REAP in words and str(made) in words:
            found.append(line.parent.name)
    return found


def test_what_is_left_is_seen():
    """The check at the session's end can fail."""
    with PostfixInstance({}) as instance:
        left = postfix_instance.processes_of(instance.directory)
        assert instance.master in left
        assert {line.split()[0] for line in left.values()} >= {"pickup", "qmgr"}
        assert instance.directory in PostfixInstance.made
    assert postfix_instance.processes_of(instance.directory) == {} and not instance.directory.exists()


def test_why_there_is_none_is_said_in_words(monkeypatch):
    assert postfix_instance.obstacle() is None
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 1000)
        assert "root" in postfix_instance.obstacle()
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert "install the package postfix" in postfix_instance.obstacle()
