"""Fills the embedded engine's spool with messages that it could have put there itself."""
import subprocess
import tempfile
from pathlib import Path

import script


def fill(state: Path, domains) -> None:
    """One deferred message for each element of `domains`, before the daemon's start."""
    folder = state / "spool" / "deferred"
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="etrnd-benchmark-") as directory:
        program = script.compiled(Path(__file__).resolve().parent / "fill_spool.c", Path(directory))
        lines = "".join(f"{domain}\n" for domain in domains)
        subprocess.run([program, str(folder)], input=lines, text=True, check=True, timeout=script.STEP_LIMIT)
