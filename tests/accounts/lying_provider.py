"""An OpenID Connect provider over real HTTP that says whatever a test wants, and a browser before it."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.http import HttpResponse
from django.test import Client

Claims = dict[str, Any]
Behaviour = Callable[[BaseHTTPRequestHandler], None]
METADATA, KEYS = "/.well-known/openid-configuration", "/keys"
TOKEN, USERINFO = "/token", "/userinfo"


@cache
def private_key(algorithm: str = "RS256", name: str = "first") -> Any:
    """A key of the kind that the algorithm needs; one for each name."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 1024 if name == "short" else 2048)


def public_jwk(algorithm: str = "RS256", name: str = "first", **more: Any) -> Claims:
    maker = jwt.get_algorithm_by_name(algorithm)
    document = maker.to_jwk(private_key(algorithm, name).public_key(), as_dict=True)
    return {**document, "kid": f"{algorithm}-{name}", "use": "sig", **more}


class LyingProvider:
    """Honest until a test changes something: its documents, its claims, its signature, its manners."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.nonce = ""
        self.claims: Claims = {}
        self.times: dict[str, int] = {}  # seconds from now
        self.left_out: set[str] = set()
        self.header: Claims = {}
        self.algorithm, self.key_name = "RS256", "first"
        self.metadata: Claims = {}
        self.keys = [public_jwk()]
        self.userinfo: Claims | None = None
        self.finish: Callable[[str], str] = lambda token: token
        self.extra: Claims = {}
        self.behave: dict[str, Behaviour] = {}
        self.asked: list[str] = []
        self.sent: list[tuple[dict[str, str], dict[str, str]]] = []

    def token(self) -> str:
        now = int(time.time())
        claims: Claims = {
            "iss": self.url,
            "sub": "s-1",
            "aud": "netra-acme",
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            "email": "alice@acme.example",
            "email_verified": True,
            "name": "Alice Archer",
            **self.claims,
            **{name: now + seconds for name, seconds in self.times.items()},
        }
        said = {k: v for k, v in claims.items() if k not in self.left_out}
        named = {"kid": f"{self.algorithm}-{self.key_name}", **self.header}
        made = jwt.encode(
            said,
            private_key(self.algorithm, self.key_name),
            algorithm=self.algorithm,
            headers={k: v for k, v in named.items() if v is not None},
        )
        return self.finish(made)

    def document(self, path: str) -> Claims | None:
        honest: dict[str, Callable[[], Claims | None]] = {
            METADATA: lambda: {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": self.url + TOKEN,
                "jwks_uri": self.url + KEYS,
                "userinfo_endpoint": self.url + USERINFO,
                **self.metadata,
            },
            KEYS: lambda: {"keys": self.keys},
            TOKEN: lambda: {
                "access_token": "at-1",
                "token_type": "Bearer",
                "id_token": self.token(),
                **self.extra,
            },
            USERINFO: lambda: self.userinfo,
        }
        return honest.get(path, lambda: None)()


@contextmanager
def lying_provider() -> Iterator[LyingProvider]:
    """One on a free port of this machine, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            provider.asked.append(path)
            if path in provider.behave:
                provider.behave[path](self)
                return
            document = provider.document(path)
            answer_json(self, document, status=200 if document is not None else 404)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length).decode()
            fields = {name: values[0] for name, values in parse_qs(body).items()}
            provider.sent.append((fields, dict(self.headers)))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    provider = LyingProvider(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def answer_json(
    handler: BaseHTTPRequestHandler, document: object, *, status: int = 200
) -> None:
    answer(handler, json.dumps(document).encode(), status=status)


def answer(
    handler: BaseHTTPRequestHandler, body: bytes, *, status: int = 200, **headers: str
) -> None:
    handler.send_response(status)
    sent = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    for name, value in {**sent, **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def unsigned(token: str, algorithm: str = "none") -> str:
    """The same claims under a header that asks for no signature."""
    _, claims, _ = token.split(".")
    document = {"typ": "JWT", "alg": algorithm}
    return f"{encoded(json.dumps(document).encode())}.{claims}."


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Visitor:
    """A browser that begins at Netra, meets the provider and comes back."""

    def __init__(self, provider: LyingProvider, name: str = "acme") -> None:
        self.client, self.provider = Client(), provider
        self.path = f"/accounts/oidc/{name}/login/"
        self.asked: dict[str, str] = {}

    def start(self, query: str = "") -> HttpResponse:
        """Begin; what Netra asked the provider is kept in `asked`."""
        return self.start_from(self.client.post(self.path + query))

    def start_from(self, response: HttpResponse) -> HttpResponse:
        """Follow Netra's answer to the provider, however it was got."""
        if response.status_code == 302:
            parts = parse_qs(urlsplit(response["Location"]).query)
            self.asked = {name: values[0] for name, values in parts.items()}
            self.provider.nonce = self.asked["nonce"]
        return response

    def come_back(self, **values: str) -> HttpResponse:
        told = {"code": "c-1", "state": self.asked["state"], **values}
        return self.client.get(f"{self.path}callback/?{urlencode(told)}")

    def sign_in(self) -> HttpResponse:
        self.start()
        return self.come_back()

    @property
    def is_signed_in(self) -> bool:
        return "_auth_user_id" in self.client.session
