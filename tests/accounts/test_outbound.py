"""The one way out: which addresses are fetched, which never, and to where a connection goes."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from apps.accounts import outbound
from apps.accounts.outbound import (
    AddressRefusedError,
    TooSlowError,
    UnreachableError,
)
from tests.accounts.lying_provider import answer_json, private_key

pytestmark = pytest.mark.security

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",  # noqa: S104
    "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fe80::1",
    "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "2001:0:0:0:0:0:f5ff:fffe",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:808:808"]


@pytest.fixture
def production(settings):
    settings.PRODUCTION = True


@pytest.fixture
def leads_to(monkeypatch):
    """Names lead where the test says; every look-up and every connection is remembered."""
    looked_up, connected = [], []

    def connect(address, *_):
        connected.append(address)
        raise ConnectionRefusedError

    def set_answers(*answers: list[str]):
        left = list(answers)

        def look_up(host: str, port: int) -> list[str]:
            looked_up.append(host)
            return left.pop(0) if len(left) > 1 else left[0]

        monkeypatch.setattr(outbound, "_look_up", look_up)
        monkeypatch.setattr(outbound.socket, "create_connection", connect)
        return looked_up, connected

    return set_answers


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_never_connected_to(production, leads_to, address):
    _, connected = leads_to([address])

    with pytest.raises(AddressRefusedError):
        outbound.get("https://id.customer.example/")

    assert connected == []
    assert not outbound.is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_connected_to(production, leads_to, address):
    _, connected = leads_to([address])

    with pytest.raises(UnreachableError):
        outbound.get("https://id.customer.example/")

    assert connected == [(address, 443)]


def test_one_private_address_among_public_ones_is_enough(production, leads_to):
    _, connected = leads_to(["8.8.8.8", "10.0.0.1"])

    with pytest.raises(AddressRefusedError):
        outbound.get("https://id.customer.example/")

    assert connected == []


def test_a_name_is_asked_once_so_that_it_cannot_change_its_mind(production, leads_to):
    """DNS rebinding: first a public address for the check, then ours for the connection."""
    looked_up, connected = leads_to(["8.8.8.8"], ["127.0.0.1"])

    with pytest.raises(UnreachableError):
        outbound.get("https://rebinding.example/")

    assert looked_up == ["rebinding.example"]
    assert connected == [("8.8.8.8", 443)]


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::1]"]
)
def test_odd_forms_of_this_machine_are_this_machine(production, host):
    """Asked of the real resolver, which reads all of them."""
    with pytest.raises(AddressRefusedError):
        _really_resolved(f"https://{host}/")


def _really_resolved(url: str) -> None:
    parts = outbound.check_url(url)
    try:
        outbound._checked_addresses(parts)
    except (
        RuntimeError
    ):  # the guard of the tests: only names of this machine are looked up
        address = socket.inet_ntoa(socket.inet_aton(str(parts.hostname)))
        assert not outbound._is_allowed(ipaddress.ip_address(address), "https")
        raise AddressRefusedError("as the resolver would have it") from None


@pytest.mark.parametrize(
    "url",
    [
        "http://id.customer.example/",
        "ftp://id.customer.example/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@id.customer.example/",
        "https://user:pw@id.customer.example/",
        "https://@id.customer.example/",
        "https://id.customer.example/#here",
        "https://id.customer.example\\@127.0.0.1/",
        "https://id.customer.example:99999/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://id customer.example/",
        "https://id.customer.example/\r\nX: y",
        "https://ídentity.example/",
        "https://id.customer.example/" + "x" * 2000,
        "",
    ],
)
def test_what_is_no_plain_https_address_is_refused(production, url):
    with pytest.raises(AddressRefusedError):
        outbound.check_url(url)


def test_a_local_installation_reaches_its_own_machine_and_no_neighbour(leads_to):
    _, connected = leads_to(["127.0.0.1"], ["10.0.0.1"], ["8.8.8.8"])

    with pytest.raises(UnreachableError):
        outbound.get("http://127.0.0.1:9400/")
    for neighbour in ("http://intranet/", "http://id.customer.example/"):
        with pytest.raises(AddressRefusedError):
            outbound.get(neighbour)

    assert connected == [("127.0.0.1", 9400)]


def test_a_second_address_is_tried_when_the_first_does_not_answer(leads_to):
    _, connected = leads_to(["::1", "127.0.0.1", "127.0.0.2"])

    with pytest.raises(UnreachableError):
        outbound.get("http://localhost:9400/")

    assert connected == [("::1", 9400), ("127.0.0.1", 9400)]


def test_a_name_that_is_not_known_is_told(production, leads_to, monkeypatch):
    def unknown(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(outbound, "_look_up", unknown)

    with pytest.raises(UnreachableError, match="is not known"):
        outbound.get("https://id.customer.example/")


def test_a_resolver_that_keeps_us_waiting_is_left(production, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(outbound, "_look_up", lambda *_: go_on.wait(10) and [])
    monkeypatch.setattr(outbound, "LOOK_UP_SECONDS", 0.05)

    try:
        with pytest.raises(TooSlowError):
            outbound.get("https://id.customer.example/")
    finally:
        go_on.set()


def test_a_name_that_nobody_answers_for_holds_up_no_other(
    production, leads_to, monkeypatch
):
    """However often it is asked: a customer's name server is in the customer's hands."""
    _, connected = leads_to(["8.8.8.8"])
    answers, go_on = outbound._look_up, threading.Event()

    def look_up(host: str, port: int) -> list[str]:
        if host == "silent.example":
            go_on.wait(20)
        return answers(host, port)

    monkeypatch.setattr(outbound, "_look_up", look_up)
    try:
        with monkeypatch.context() as impatient:
            impatient.setattr(outbound, "LOOK_UP_SECONDS", 0.01)
            for _ in range(40):
                with pytest.raises(TooSlowError):
                    outbound.get("https://silent.example/")
        with pytest.raises(UnreachableError):
            outbound.get("https://id.customer.example/")
    finally:
        go_on.set()

    assert connected == [("8.8.8.8", 443)]


# -- certificates ------------------------------------------------------------------------


class Secure(BaseHTTPRequestHandler):
    """Answers with the name that it was asked for."""

    def do_GET(self) -> None:
        answer_json(self, {"host": self.headers["Host"]})

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def certified(tmp_path, monkeypatch):
    """What a server on 'localhost' needs for a certificate that this installation trusts."""
    key = private_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return context


@pytest.fixture
def secure(certified):
    """An https server with that certificate."""
    server = HTTPServer(("127.0.0.1", 0), Secure)
    server.socket = certified.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_the_certificate_is_that_of_the_name_and_not_of_the_address(secure):
    told = outbound.get(f"https://localhost:{secure}/").json()

    assert told == {"host": f"localhost:{secure}"}


def test_a_certificate_of_another_name_is_refused(secure):
    with pytest.raises(UnreachableError, match="certificate"):
        outbound.get(f"https://127.0.0.1:{secure}/")


def test_a_certificate_that_nobody_vouches_for_is_refused(secure, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")

    with pytest.raises(UnreachableError, match="certificate"):
        outbound.get(f"https://localhost:{secure}/")


def test_a_secure_server_that_never_ends_is_left(secure, monkeypatch):
    def dripping(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(40):
            try:
                self.wfile.write(b" ")
            except OSError:
                return
            time.sleep(0.05)

    monkeypatch.setattr(Secure, "do_GET", dripping)
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 0.4)

    with pytest.raises(TooSlowError):
        outbound.get(f"https://localhost:{secure}/")


def test_a_server_that_greets_late_and_never_ends_is_left(certified, monkeypatch):
    """The time is over before TLS has greeted: nothing that comes afterwards is waited for."""
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 0.2)
    left = threading.Event()

    def late(listening: socket.socket) -> None:
        plain, _ = listening.accept()
        time.sleep(0.5)
        with suppress(OSError), certified.wrap_socket(plain, server_side=True) as there:
            there.recv(4096)
            there.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not left.wait(0.05):
                there.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=late, args=(listening,), daemon=True)
        thread.start()
        rescue = threading.Timer(4, left.set)  # or the test would wait for 256 KiB
        rescue.start()
        with pytest.raises(TooSlowError):
            outbound.get(f"https://localhost:{listening.getsockname()[1]}/")
        assert not left.is_set()
        left.set()
        rescue.cancel()
        thread.join(10)
