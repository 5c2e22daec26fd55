"""What the scripts beside this folder share: the program to measure, what a machine must have, progress, interruption.

Importing it lets the daemon's and Postfix's doubles of the tests be imported, too.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
STEP_LIMIT = 300.0  # seconds; no single step takes so long, not even on a busy machine
BUILD_LIMIT = 1800.0  # seconds for a release build with everything that it depends on
UNAVAILABLE = 69  # the exit code when something is missing here

for directory in (ROOT / "Tools", ROOT / "Tests" / "EndToEnd"):
    sys.path.insert(0, str(directory))
sys.dont_write_bytecode = True


def parser(description: str, default_rounds: int, quick: str) -> argparse.ArgumentParser:
    """The options that all have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("program", nargs="?", type=Path, help="the etrnd to measure (default: the release build of this tree)")
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--rounds", type=int, help=f"how often each side has its turn (default: {default_rounds})")
    made.add_argument("--json", type=Path, help="also write the single figures to this file")
    return made


def built_release(product: str = "etrnd") -> Path:
    """Where `swift build -c release` puts a product of this tree."""
    command = ["swift", "build", "-c", "release", "--show-bin-path"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=STEP_LIMIT, check=False)
    if made.returncode != 0:
        sys.exit(f"{' '.join(command)}: {made.stderr.strip()}")
    return Path(made.stdout.strip().splitlines()[-1]) / product


def program_to_measure(named: Path | None) -> Path:
    """The named program, or this tree's; ends the script when there is none."""
    program = named or built_release()
    if not program.is_file():
        unavailable(f"{program} is not there; run `swift build -c release --product etrnd` first")
    return program.resolve()


def built_package(package: Path, product: str) -> Path:
    """Builds a package that only a benchmark needs, beside itself, and returns the program."""
    command = ["swift", "build", "-c", "release", "--package-path", str(package), "--product", product]
    say(f"building {product} of {package.relative_to(ROOT)}")
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BUILD_LIMIT, check=False)
    if made.returncode != 0:
        sys.exit(f"{' '.join(command)}:\n{made.stdout[-4000:]}")
    found = subprocess.run([*command, "--show-bin-path"], capture_output=True, text=True, timeout=STEP_LIMIT, check=True)
    return Path(found.stdout.strip().splitlines()[-1]) / product


def compiled(source: Path, directory: Path) -> str:
    """A C program of one file, in `directory`."""
    program = directory / source.stem
    subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True, timeout=STEP_LIMIT)
    return str(program)


def require(tools: dict[str, str], root: bool = False) -> None:
    """Ends the script when the machine lacks one of these programs (each with its Debian package), or we lack the rights."""
    if root and os.geteuid() != 0:
        unavailable("run it as root: a Postfix has processes of several users")
    # Where Debian has servers; not everybody looks there.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin"
    for tool, package in tools.items():
        if shutil.which(tool) is None:
            unavailable(f"there is no {tool}: install the package {package}")


def unavailable(reason: str) -> None:
    print(f"{sys.argv[0]}: {reason}", file=sys.stderr)
    sys.exit(UNAVAILABLE)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Interrupted(KeyboardInterrupt):
    """A signal asked us to end; carries the exit code."""


def take_interruptions() -> None:
    """Makes an exception of each signal that ends a script, so that everything is taken down on the way out."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupted(number: int, _) -> None:
        # Once: what takes everything down is not interrupted.
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(128 + number)

    for number in numbers:
        signal.signal(number, interrupted)


def measure_and_print(measure, figures, table) -> int:
    """Runs `measure`; prints the table also of what an interruption left. The exit code: a missed target is no error."""
    take_interruptions()
    code = 0
    try:
        measure()
    except Interrupted as interruption:
        print("\ninterrupted; what was measured until then:", file=sys.stderr)
        code = interruption.args[0]
    print(table(figures))
    return code
