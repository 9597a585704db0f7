"""Every answer of every route tells browsers the whole set, whoever asks and however it ends."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import include, path

from netra.settings import CONTENT_SECURITY_POLICY
from tests.security.routes import routes

pytestmark = [pytest.mark.security, pytest.mark.integration]

EXPECTED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
ALWAYS = {"object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"}
STRICT = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "require-trusted-types-for 'script'",
    "trusted-types dompurify",
}
# All that is looser in the admin (apps.ops.site says why).
ADMIN = {
    "default-src 'none'",
    "script-src 'self' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
}


def boom(_: HttpRequest) -> HttpResponse:
    raise RuntimeError("secret detail")


urlpatterns = [
    path("boom/", boom),
    path("api/boom/", boom),
    path("", include("netra.urls")),
]
handler400 = "netra.api.bad_request"
handler403 = "netra.api.forbidden"
handler404 = "netra.api.not_found"
handler429 = "netra.api.too_many"
handler500 = "netra.api.server_error"


def policy_of(response) -> set[str]:
    told = response.get("Content-Security-Policy", "")
    return {directive.strip() for directive in told.split(";") if directive.strip()}


def faults(response, *, admin: bool = False) -> list[str]:
    """What is missing or loose in an answer."""
    wrong = [
        f"{name}: {response.get(name)}"
        for name, value in EXPECTED.items()
        if response.get(name) != value
    ]
    policy = policy_of(response)
    if "camera=()" not in response.get("Permissions-Policy", ""):
        wrong.append("Permissions-Policy")
    if "no-store" not in response.get("Cache-Control", ""):
        wrong.append(f"Cache-Control: {response.get('Cache-Control')}")
    if not policy >= ALWAYS:
        wrong.append(f"policy lacks {ALWAYS - policy}")
    if not (policy >= STRICT or (admin and policy >= ADMIN)):
        wrong.append(f"policy is loose: {sorted(policy)}")
    if "'unsafe-inline'" in next((d for d in policy if "script-src" in d), ""):
        wrong.append("inline scripts")
    return wrong


@pytest.mark.parametrize("who", ["stranger", "member", "staff"])
def test_every_route_answers_with_every_header(visitors, ids, who: str) -> None:
    client, wrong, seen = visitors[who], {}, set()

    for route in routes(ids):
        response = client.get(route.path)
        seen.add(response.status_code)
        assert response.status_code != 500, route.path
        if found := faults(response, admin=route.is_admin):
            wrong[route.path] = found

    assert wrong == {}
    assert {200, 302, 404, 405} <= seen


def test_the_routes_are_those_of_all_doors(db) -> None:
    found = {route.path.split("/")[1] for route in routes()}

    assert {"", "admin", "accounts", "chat", "api", "healthz", "metrics"} <= found
    assert len(routes()) > 100


@pytest.mark.urls("tests.security.test_headers")
@pytest.mark.parametrize("where", ["/", "/api/"])
def test_errors_carry_them_too(visitors, where: str) -> None:
    member = visitors["member"]
    strict = Client(enforce_csrf_checks=True, raise_request_exception=False)
    answers = {
        400: member.get(f"{where}x", headers={"Host": "evil.example"}),
        403: strict.post("/accounts/login/", {"login": "x"}),
        404: member.get(f"{where}no/such/page/"),
        405: member.post("/healthz"),
        500: member.get(f"{where}boom/"),
    }

    assert {status: a.status_code for status, a in answers.items()} == {
        status: status for status in answers
    }
    assert {s: f for s, a in answers.items() if (f := faults(a))} == {}
    for answer in answers.values():
        assert b"secret detail" not in answer.content
        assert b"Traceback" not in answer.content


def test_files_carry_them_too_and_may_be_kept(client) -> None:
    response = client.head("/static/netra/base.css")

    assert response.status_code == 200
    left = [fault for fault in faults(response) if "Cache-Control" not in fault]
    assert left == []
    assert "no-store" not in response["Cache-Control"]


def test_the_policy_for_pages_is_the_strict_one() -> None:
    directives = CONTENT_SECURITY_POLICY["DIRECTIVES"]

    assert "unsafe" not in str(directives)
    assert directives["default-src"] == ["'none'"]


def test_the_exception_for_the_admin_loosens_nothing_else(visitors) -> None:
    admin = policy_of(visitors["staff"].get("/admin/"))
    page = policy_of(visitors["member"].get("/chat/"))

    assert admin - page == ADMIN - {"default-src 'none'"}
    assert page - admin == STRICT - {"default-src 'none'"}


@override_settings(SECURE_SSL_REDIRECT=True, SECURE_HSTS_SECONDS=31_536_000,
    SECURE_HSTS_INCLUDE_SUBDOMAINS=True)  # fmt: skip
@pytest.mark.urls("tests.security.test_headers")
@pytest.mark.parametrize(
    "address", ["/", "/accounts/login/", "/boom/", "/api/v1/me/", "/x"]
)
def test_over_tls_every_answer_says_so_for_a_year(visitors, address: str) -> None:
    response = visitors["member"].get(address, secure=True)

    seconds = int(response["Strict-Transport-Security"].split(";")[0].split("=")[1])
    assert seconds >= 31_536_000
    assert "includeSubDomains" in response["Strict-Transport-Security"]


def test_signing_out_tells_the_browser_to_forget(visitors) -> None:
    member = visitors["member"]

    before = member.get("/chat/")
    after = member.post("/accounts/logout/")

    assert "Clear-Site-Data" not in before
    assert after["Clear-Site-Data"] == '"cache", "storage"'
    assert "Clear-Site-Data" not in member.get("/accounts/login/")
