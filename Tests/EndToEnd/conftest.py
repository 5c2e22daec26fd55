"""Fixtures of the end-to-end tests: the built daemon in a temporary directory, and customers' SMTP servers."""
import datetime
import ipaddress
import os
import random
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytest.register_assert_rewrite("faults")

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "Tools"))

import postfix_instance  # noqa: E402
from customer_server import Behaviour, CustomerServer  # noqa: E402
from daemon_process import Daemon, built_program  # noqa: E402
from etrn_provider import GATEWAY, OPTIONS, Gateway, options, stocked  # noqa: E402
from faults.stage import Stage  # noqa: E402
from postfix_instance import PostfixDaemon, PostfixInstance  # noqa: E402
from postfix_story import CUSTOMER, OTHER  # noqa: E402


@pytest.fixture(scope="session")
def program() -> Path:
    return built_program()


@pytest.fixture(scope="session")
def etrnctl(program) -> Path:
    path = Path(os.environ.get("E2E_ETRNCTL", program.parent / "etrnctl"))
    assert path.exists(), f"{path} is not there; run `swift build` first"
    return path


@pytest.fixture
def directory():
    """A short path: a UNIX socket's address has room for 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="etrnd-e2e-") as path:
        yield Path(path)


@pytest.fixture
def make_daemon(program, directory, request):
    """Makes and starts daemons with the given parameters; they are ended with the test, and their logs shown when it fails."""
    daemons = []

    def make(start=True, wrapper=None, **parameters) -> Daemon:
        own = directory / f"d{len(daemons)}"
        own.mkdir()
        daemon = Daemon(program, own, {name: str(value) for name, value in parameters.items()}, wrapper)
        daemons.append(daemon)
        return daemon.start() if start else daemon

    yield make
    for daemon in daemons:
        end(daemon, request)


def end(daemon: Daemon, request) -> None:
    if getattr(request.node, "failed", False):
        print(f"--- log of {daemon.directory.name}\n{daemon.log_tail(80)}")
    crashed = daemon.process is not None and not daemon.is_running and daemon.process.returncode not in (0, -9)
    daemon.kill()
    if crashed:
        pytest.fail(f"etrnd ended by itself with {daemon.process.returncode}:\n{daemon.log_tail()}")


@pytest.fixture
def stage(program, request):
    """Where a fault's story plays; E2E_SEED makes its chance."""
    seed = int(os.environ.get("E2E_SEED", random.SystemRandom().randrange(1_000_000)))
    print(f"seed {seed}; run again with E2E_SEED={seed}")
    with Stage(program, seed) as stage:
        yield stage
        for daemon in stage.daemons:
            end(daemon, request)


@pytest.fixture
def daemon(make_daemon) -> Daemon:
    return make_daemon()


@pytest.fixture
def make_sink():
    """Makes customers' servers that are not up yet."""
    sinks = []

    def make(tls: ssl.SSLContext | None = None) -> CustomerServer:
        sinks.append(CustomerServer(tls=tls))
        return sinks[-1]

    yield make
    for sink in sinks:
        sink.__exit__()


@pytest.fixture
def sink(make_sink) -> CustomerServer:
    return make_sink()


# ETRN, asked of the daemon itself or of `etrnctl gateway` before it.


@pytest.fixture
def make_gateway(etrnctl, request):
    """Makes gateways in front of a server; they are ended with the test, and must not have ended before."""
    gateways = []

    def make(server: str, *words: str, **parameters) -> Gateway:
        gateways.append(Gateway(etrnctl, server, *options(parameters), *words))
        return gateways[-1]

    yield make
    for gateway in gateways:
        code = gateway.process.poll()
        gateway.kill()
        if getattr(request.node, "failed", False):
            print("--- log of the gateway\n" + "".join(gateway.log))
        assert code in (None, 0), f"the gateway ended by itself with {code}: {gateway.log}"


@pytest.fixture
def make_stocked_daemon(make_daemon, make_sink, make_gateway):
    """Makes a daemon with customers whose `etrn_port` is its own or a gateway's; what is set for ETRN is set there, and only there."""

    def make(way: str, **parameters) -> Daemon:
        if way != GATEWAY:
            daemon = stocked(make_daemon(**parameters), make_sink)
            daemon.etrn_port = daemon.smtp
            return daemon
        daemon = stocked(make_daemon(**{name: value for name, value in parameters.items() if name not in OPTIONS}), make_sink)
        host, port = daemon.http
        own = {name: value for name, value in parameters.items() if name in OPTIONS}
        daemon.etrn_port = make_gateway(f"http://{host}:{port}", **own).address
        return daemon

    return make


@pytest.fixture
def run(tmp_path):
    """Runs a program with a home of its own, and returns its exit code and what it told."""

    def run(*command) -> tuple[int, str]:
        assert shutil.which(command[0]), f"{command[0]} is not there; `make deps` installs it"
        environment = {"HOME": str(tmp_path), "FETCHMAILHOME": str(tmp_path), "PATH": os.environ["PATH"], "LC_ALL": "C"}
        ran = subprocess.run(
            [str(word) for word in command], env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=60, check=False,
        )
        return ran.returncode, ran.stdout.decode("utf-8", "replace")

    return run


# A real Postfix. One for a module's tests, or for each set of settings that a module asks for; every test gets it without mail.

@pytest.fixture(scope="session", autouse=True)
def no_postfix_is_left():
    yield
    for directory in PostfixInstance.made:
        left = postfix_instance.processes_of(directory)
        assert not left and not directory.exists(), f"{directory} is left behind, with the processes {left}"


@pytest.fixture(scope="module")
def running_postfix(request):
    if why := postfix_instance.obstacle():
        pytest.skip(why)
    with CustomerServer() as customer, CustomerServer() as other:
        routes = {CUSTOMER: customer.next_hop, OTHER: other.next_hop}
        with PostfixInstance(routes, **getattr(request, "param", {})) as instance:
            yield instance, customer, other


@pytest.fixture
def postfix(running_postfix, request) -> PostfixInstance:
    instance, *sites = running_postfix
    for site in sites:
        site.stop()
        site.behaviour = Behaviour()
        site.messages.clear()
        site.attempts.clear()
        site.connections = 0
    instance.clear()
    mark = instance.log.mark()
    yield instance
    if getattr(request.node, "failed", False):
        print("--- Postfix's log\n" + "\n".join(instance.log.since(mark)[-80:]))


@pytest.fixture
def customer(running_postfix, postfix) -> CustomerServer:
    """The site of CUSTOMER, down."""
    return running_postfix[1]


@pytest.fixture
def other(running_postfix, postfix) -> CustomerServer:
    """The site of OTHER, down."""
    return running_postfix[2]


@pytest.fixture
def make_etrnd(program, postfix, customer, other, request):
    """Makes and starts the flush service of this Postfix, both customers provisioned; it is ended with the test."""
    daemons = []

    def make(**parameters) -> PostfixDaemon:
        daemons.append(PostfixDaemon(program, postfix, **parameters))
        daemons[-1].start()
        for domain, site in ((CUSTOMER, customer), (OTHER, other)):
            daemons[-1].relay(domain, site.next_hop, delivery="normal")
        return daemons[-1]

    yield make
    for daemon in daemons:
        end(daemon, request)


@pytest.fixture
def etrnd(make_etrnd) -> PostfixDaemon:
    return make_etrnd()


@pytest.fixture(scope="session")
def self_signed() -> ssl.SSLContext:
    """A TLS server's context with a certificate that nobody has signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.customer.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        file.flush()
        context.load_cert_chain(file.name)
    return context


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call" and report.failed:
        item.failed = True
    return report
