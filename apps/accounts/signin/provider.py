"""The demo's OpenID Connect provider: stands in for the companies' own, on loopback only.

Knows no tables. Whoever can reach it can be anybody: it is for demonstration and tests.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

HOST = "127.0.0.1"
PEOPLE = {
    "alice@acme.example": "Alice Archer",
    "bob@acme.example": "Bob Baker",
    "mallory@globex.example": "Mallory Marsh",
}
TEMPLATES = Path(__file__).resolve().parents[3] / "templates" / "demo_provider"


def application() -> Flask:
    """The provider as a WSGI application, with the demo's people known to it."""
    _quiet()
    import oidc_provider_mock  # noqa: PLC0415 - it warns on import; installations without a demo never load it
    from jinja2 import ChoiceLoader, FileSystemLoader  # noqa: PLC0415 - comes with it

    people = [
        oidc_provider_mock.User(
            sub=email, claims={"email": email, "email_verified": True, "name": name}
        )
        for email, name in PEOPLE.items()
    ]
    app: Flask = oidc_provider_mock.app(user_claims=people)
    # Its own pages fetch a style sheet from the network; ours do not.
    app.jinja_loader = ChoiceLoader([FileSystemLoader(TEMPLATES), app.jinja_loader])  # type: ignore[list-item]
    return app


def serve(port: int) -> None:
    """Answer on loopback until the process ends."""
    app = application()
    from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: PLC0415 - see above

    class Quiet(WSGIRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing: request lines would carry authorisation codes."""

    make_server(HOST, port, app, threaded=True, request_handler=Quiet).serve_forever()


def _quiet() -> None:
    """Quieten authlib, which warns on each start that another package succeeds it."""
    import authlib.deprecate  # noqa: PLC0415 - see above

    warnings.filterwarnings(
        "ignore", category=authlib.deprecate.AuthlibDeprecationWarning
    )
