"""What the environment says, read through readers that fail loudly: places, addresses, keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from apps.core import faults
from apps.core.keys import KeyStore, KeyStoreError
from netra import env

ROOT = Path(__file__).resolve().parents[2]


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path.strip("/")
    ):
        raise ValueError(value)
    return f"{parts.scheme}://{parts.netloc}"


def _redis_url(value: str) -> str:
    if value and urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(value)
    return value


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def checked(value: str) -> float:
        seconds = float(value)
        if not least <= seconds <= most:
            raise ValueError(value)
        return seconds

    return checked


def _days(value: str) -> int:
    if not 0 <= int(value) <= 36_500:
        raise ValueError(value)
    return int(value)


# Where things lie
DEBUG = env.flag("NETRA_DEBUG", default=False)
NETRA_DEMO = env.flag("NETRA_DEMO", default=False)
NETRA_VAR = Path(env.text("NETRA_VAR", str(ROOT / "var"))).absolute()
NETRA_KEYS = Path(env.text("NETRA_KEYS", str(NETRA_VAR / "keys"))).absolute()
NETRA_MODEL = env.text("NETRA_MODEL", "offline")
NETRA_LIMITS = env.flag("NETRA_LIMITS", default=True)
NETRA_PUBLIC_URL = env.parsed(
    "NETRA_PUBLIC_URL",
    "http://127.0.0.1:8000",
    _public_url,
    form="http(s)://host[:port]",
)
NETRA_REDIS_URL = env.parsed(
    "NETRA_REDIS_URL",
    "",
    _redis_url,
    form="redis://host:port/number",
    hint="Leave it out for one process.",
)
NETRA_OIDC_URL = env.parsed(
    "NETRA_OIDC_URL", "http://127.0.0.1:9400", _public_url, form="http(s)://host[:port]"
)
# How long a runner may be silent before others take over, and how long it may finish at the end.
NETRA_LEASE_SECONDS = env.parsed(
    "NETRA_LEASE_SECONDS", "30", _seconds(3, 300), form="a number of seconds, 3 to 300"
)
NETRA_DRAIN_SECONDS = env.parsed(
    "NETRA_DRAIN_SECONDS", "60", _seconds(0, 60), form="a number of seconds, 0 to 60"
)
NETRA_EVENTS_DAYS = env.parsed(
    "NETRA_EVENTS_DAYS", "90", _days, form="a number of days, 0 to keep all"
)
NETRA_TRAIL_DAYS = env.parsed(
    "NETRA_TRAIL_DAYS", "365", _days, form="a number of days, 0 to keep all"
)

_LOCAL = {"127.0.0.1", "localhost", "::1"}
_PUBLIC = urlsplit(NETRA_PUBLIC_URL).hostname not in _LOCAL
PRODUCTION = _PUBLIC and not DEBUG
if _PUBLIC and NETRA_DEMO:
    raise env.ConfigurationError(
        "NETRA_DEMO=1 is refused when NETRA_PUBLIC_URL is a public address."
    )
if PRODUCTION and not NETRA_LIMITS:
    raise env.ConfigurationError(
        "NETRA_LIMITS=off is for benchmarks and refused in production."
    )
# Where a test wants this process to die (apps.core.faults)
NETRA_FAULT = env.parsed("NETRA_FAULT", "", faults.parsed, form=faults.FORM)
if NETRA_FAULT and (PRODUCTION or not env.flag("NETRA_TESTING", default=False)):
    raise env.ConfigurationError(
        "NETRA_FAULT is for tests: it needs NETRA_TESTING=1, and is refused in production."
    )

try:
    NETRA_VAR.mkdir(parents=True, exist_ok=True)
    KeyStore(NETRA_KEYS).ensure(may_create=not PRODUCTION)
    _GIVEN = env.optional("NETRA_SECRET_KEY")
    _KEPT = [] if _GIVEN else KeyStore(NETRA_KEYS).all("secret")
    # What an older secret signed stays valid until its file is removed (manage.py rotate_keys).
    SECRET_KEY, *SECRET_KEY_FALLBACKS = (
        [_GIVEN]
        if _GIVEN
        else [KeyStore(NETRA_KEYS).read(name).decode() for name in _KEPT]
    )
except KeyStoreError as error:
    raise env.ConfigurationError(f"NETRA_KEYS: {error}") from error
except OSError as error:
    raise env.ConfigurationError(
        f"NETRA_VAR is {str(NETRA_VAR)!r}, which cannot be made ({error.strerror}); it must be "
        "a folder that may be written."
    ) from error

ALLOWED_HOSTS = env.words("NETRA_ALLOWED_HOSTS") or [
    *sorted(_LOCAL),
    str(urlsplit(NETRA_PUBLIC_URL).hostname),
]
CSRF_TRUSTED_ORIGINS = [NETRA_PUBLIC_URL]
