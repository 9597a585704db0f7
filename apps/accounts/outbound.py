"""The one way our server fetches an address that a customer gave: checked, pinned, bounded.

Public addresses over https only; on a local installation also this machine. Knows no protocol.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTimeError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote_plus, urlencode, urlsplit

from django.conf import settings

from apps.core.errors import NetraError

LOOK_UP_SECONDS = 3.0
CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
TOTAL_SECONDS = 10.0
TRIED = 2  # addresses of one name
LARGEST = 256 * 1024
LONGEST_URL = 2000
PORTS = {"https": 443, "http": 80}
# What carries an IPv4 address inside an IPv6 one, beside those that ipaddress unpacks.
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_look_ups = ThreadPoolExecutor(16, "netra-look-up")
_asked: dict[tuple[str, int], Future[list[str]]] = {}
_asking = threading.Lock()


class OutboundError(NetraError):
    """The address could not be fetched."""

    code, status = "outbound", 502

    def __init__(self, message: str, *, host: str = "") -> None:
        super().__init__(message, values={"host": host[:253]} if host else None)


class AddressRefusedError(OutboundError):
    """We do not fetch from this address."""

    code = "outbound_address_refused"


class UnreachableError(OutboundError):
    """Nobody answers there."""

    code = "outbound_unreachable"


class TooSlowError(OutboundError):
    """The answer took too long."""

    code = "outbound_too_slow"


class RedirectedError(OutboundError):
    """The answer sends us elsewhere, and we do not follow."""

    code = "outbound_redirected"


class AnswerTooLargeError(OutboundError):
    """The answer is larger than we read."""

    code = "outbound_too_large"


class BadAnswerError(OutboundError):
    """The answer cannot be read."""

    code = "outbound_bad_answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: never a redirect, never more than LARGEST bytes."""

    host: str
    status: int
    kind: str
    body: bytes
    date: str = ""  # by the clock over there, as its header has it

    def json(self) -> dict[str, Any]:
        """The body as one JSON object."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(
                f"{self.host} did not answer with JSON.", host=self.host
            ) from error
        if not isinstance(document, dict):
            raise BadAnswerError(
                f"{self.host} did not answer with a JSON object.", host=self.host
            )
        return document


def get(url: str, *, bearer: str = "") -> Answer:
    """Fetch a document; any status but 200 is refused."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    answer = _fetch("GET", url, headers=headers, body=None)
    if answer.status != http.client.OK:
        raise BadAnswerError(
            f"{answer.host} answered with status {answer.status}.", host=answer.host
        )
    return answer


def post_form(
    url: str, fields: Mapping[str, str], *, basic: tuple[str, str] | None = None
) -> Answer:
    """Send a form and return the answer whatever its status; `basic` as RFC 6749 2.3.1 has it."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if basic is not None:
        pair = ":".join(quote_plus(part) for part in basic)
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return _fetch("POST", url, headers=headers, body=urlencode(fields).encode())


def check_url(url: str) -> SplitResult:
    """The parts of an address that we could fetch; says nothing about where its name leads."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable():
        raise AddressRefusedError("The address is too long, or not plain ASCII.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise AddressRefusedError("The address cannot be read.") from error
    host = parts.hostname or ""
    if not host or parts.username is not None or parts.password is not None:
        raise AddressRefusedError("The address names no host, or carries a password.")
    if {" ", "\\", "%"} & set(parts.netloc) or parts.fragment:
        raise AddressRefusedError("The address is not a plain one.", host=host)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_local()):
        raise AddressRefusedError(f"{host} is not asked over https.", host=host)
    return parts


def _is_local() -> bool:
    """Whether this installation serves its own machine only, as the demo does."""
    return not settings.PRODUCTION


def _fetch(
    method: str, url: str, *, headers: Mapping[str, str], body: bytes | None
) -> Answer:
    parts = check_url(url)
    connection = _Pinned(parts, _checked_addresses(parts))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {"Accept": "application/json", "Accept-Encoding": "identity"}
    host = str(parts.hostname)
    expired = threading.Event()
    alarm = threading.Timer(TOTAL_SECONDS, _give_up, (connection, expired))
    alarm.daemon = True
    alarm.start()
    try:
        connection.connect()
        if expired.is_set():  # while TLS greeted there was nothing that could be ended
            raise TimeoutError
        connection.request(method, path, body=body, headers={**sent, **headers})
        with connection.getresponse() as response:
            answer = _read(host, response)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _told(host, error, late=expired.is_set()) from error
    finally:
        alarm.cancel()
        connection.close()
    if expired.is_set():
        raise TooSlowError(f"{host} answered too slowly.", host=host)
    return answer


def _read(host: str, response: http.client.HTTPResponse) -> Answer:
    if 300 <= response.status < 400:
        raise RedirectedError(f"{host} sends us to another address.", host=host)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise BadAnswerError(f"{host} compressed what we asked it not to.", host=host)
    body = response.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise AnswerTooLargeError(
            f"{host} answered with more than {LARGEST} bytes.", host=host
        )
    kind, date = response.headers.get_content_type(), response.headers.get("Date", "")
    return Answer(host=host, status=response.status, kind=kind, body=body, date=date)


def _told(host: str, error: Exception, *, late: bool) -> OutboundError:
    if isinstance(error, TimeoutError) or late:
        return TooSlowError(f"{host} answered too slowly.", host=host)
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnreachableError(
            f"The certificate of {host} is not valid: {error.verify_message}.",
            host=host,
        )
    if isinstance(error, ConnectionRefusedError | ssl.SSLError | ConnectionError):
        return UnreachableError(f"{host} cannot be reached.", host=host)
    if isinstance(error, OSError):
        return UnreachableError(
            f"{host} cannot be reached: {error.strerror}.", host=host
        )
    return BadAnswerError(f"{host} does not speak HTTP as it should.", host=host)


# -- where a name leads ----------------------------------------------------------------


def _checked_addresses(parts: SplitResult) -> list[str]:
    """Where to connect to. The name is asked once: a second answer could be another."""
    host = str(parts.hostname)
    found = _addresses(host, parts.port or PORTS[parts.scheme])
    if not found:
        raise UnreachableError(f"{host} has no address.", host=host)
    for address in found:
        if not _is_allowed(address, parts.scheme):
            raise AddressRefusedError(
                f"{host} leads to an address that is not public, or not over https.",
                host=host,
            )
    return [str(address) for address in found[:TRIED]]


def _addresses(host: str, port: int) -> list[Address]:
    try:
        told = _asked_for(host, port).result(LOOK_UP_SECONDS)
    except NotInTimeError as error:
        raise TooSlowError(
            f"The name {host} is not told in time.", host=host
        ) from error
    except (OSError, UnicodeError) as error:
        raise UnreachableError(f"The name {host} is not known.", host=host) from error
    return [ipaddress.ip_address(each.partition("%")[0]) for each in told]


def _asked_for(host: str, port: int) -> Future[list[str]]:
    """The look-up of a name that is under way, or a new one.

    A name that nobody answers for so holds one thread, however often it is asked.
    """
    with _asking:
        under_way = _asked.get((host, port))
        if under_way is None or under_way.done():
            under_way = _look_ups.submit(_look_up, host, port)
            _asked[host, port] = under_way
    under_way.add_done_callback(lambda _: _asked.pop((host, port), None))
    return under_way


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[0]) for *_, place in found]


def _is_allowed(address: Address, scheme: str) -> bool:
    if address.is_loopback:
        return _is_local()
    return scheme == "https" and is_public(address)


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet: not ours, not a neighbour's, not reserved."""
    address = _unpacked(address)
    return address.is_global and not (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or getattr(address, "is_site_local", False)
    )


def _unpacked(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    return inner if inner is not None else address


class _Pinned(http.client.HTTPConnection):
    """Connects to the address that was checked, and proves by certificate that it is the host."""

    def __init__(self, parts: SplitResult, addresses: list[str]) -> None:
        port = parts.port or PORTS[parts.scheme]
        super().__init__(str(parts.hostname), port, timeout=READ_SECONDS)
        self._addresses, self._secure = addresses, parts.scheme == "https"
        self.default_port = PORTS[parts.scheme]

    def connect(self) -> None:
        plain = self._first_that_answers()
        plain.settimeout(READ_SECONDS)
        self.sock = plain
        if self._secure:
            context = ssl.create_default_context()
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self.sock = context.wrap_socket(plain, server_hostname=self.host)

    def _first_that_answers(self) -> socket.socket:
        *others, last = self._addresses
        for address in others:
            with suppress(OSError):
                return socket.create_connection((address, self.port), CONNECT_SECONDS)
        return socket.create_connection((last, self.port), CONNECT_SECONDS)


def _give_up(connection: _Pinned, expired: threading.Event) -> None:
    """End a fetch that keeps us waiting byte by byte: what it reads next is the end."""
    expired.set()
    if connection.sock is not None:
        # Not the TLS socket's own method, which would go on in plain text. Where TLS still
        # greets, the socket is nobody's: `_fetch` looks at `expired` afterwards.
        with suppress(OSError):
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
