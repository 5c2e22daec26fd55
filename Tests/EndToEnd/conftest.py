"""Fixtures of the end-to-end tests: the built daemon in a temporary directory, and customers' SMTP servers."""
import datetime
import ipaddress
import ssl
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "Tools"))

from customer_server import CustomerServer  # noqa: E402
from daemon_process import Daemon, built_program  # noqa: E402


@pytest.fixture(scope="session")
def program() -> Path:
    return built_program()


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
        if getattr(request.node, "failed", False):
            print(f"--- log of {daemon.directory.name}\n{daemon.log_tail(80)}")
        crashed = daemon.process is not None and not daemon.is_running and daemon.process.returncode not in (0, -9)
        daemon.kill()
        if crashed:
            pytest.fail(f"etrnd ended by itself with {daemon.process.returncode}:\n{daemon.log_tail()}")


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
