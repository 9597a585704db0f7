"""Google and Microsoft Entra: which issuers are one company's, and what their tokens must say."""

from __future__ import annotations

import pytest

from apps.accounts import presets
from apps.accounts.models import IdentityProvider
from apps.accounts.oidc import errors
from apps.accounts.oidc.companies import check_company
from apps.accounts.oidc.metadata import metadata_of
from tests.accounts.conftest import make_provider

pytestmark = pytest.mark.security
TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
ENTRA = f"https://login.microsoftonline.com/{TENANT}/v2.0"
GOOGLE = "https://accounts.google.com"


@pytest.mark.parametrize(
    ("preset", "issuer"),
    [
        ("generic", "https://id.acme.example"),
        ("google", GOOGLE),
        ("generic", GOOGLE),
        ("entra", ENTRA),
        ("generic", ENTRA),
        ("entra", ENTRA.replace(".com", ".us")),
    ],
)
def test_an_issuer_of_one_company_is_fine(preset, issuer):
    assert presets.issuer_problem(preset, issuer) == ""


@pytest.mark.parametrize("preset", ["generic", "google", "entra"])
@pytest.mark.parametrize("issuer", ["https://[id.acme.example", "https://[::1", ""])
def test_what_is_no_address_at_all_is_refused_too(preset, issuer):
    assert presets.issuer_problem(preset, issuer)


@pytest.mark.parametrize("preset", ["entra", "generic"])
@pytest.mark.parametrize(
    "issuer",
    [
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.com/organizations/v2.0",
        "https://login.microsoftonline.com/consumers/v2.0",
        "https://login.microsoftonline.com/{tenantid}/v2.0",
        f"https://login.microsoftonline.com/{presets.PERSONAL_ACCOUNTS}/v2.0",
        f"https://login.microsoftonline.com/{TENANT}",
        f"https://login.microsoftonline.com/{TENANT}/v2.0/",
        f"https://login.microsoftonline.com/{TENANT}/v2.0\n",
        f"https://sts.windows.net/{TENANT}/",
        f"http://login.microsoftonline.com/{TENANT}/v2.0",
    ],
)
def test_an_issuer_that_many_companies_share_is_none(preset, issuer):
    assert "exactly one tenant" in presets.issuer_problem(preset, issuer)


def test_microsofts_preset_is_for_microsoft():
    assert presets.issuer_problem("entra", "https://id.acme.example")


@pytest.mark.parametrize("issuer", [GOOGLE + "/", "http://accounts.google.com"])
def test_googles_issuer_is_exact(issuer):
    assert "exactly" in presets.issuer_problem("google", issuer)


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.acme.example",
        "id.acme.example",
        "https://id.acme.example/.well-known/openid-configuration",
        "https://id.acme.example?x=1",
    ],
)
def test_a_form_takes_the_issuer_itself(issuer):
    assert presets.issuer_problem("generic", issuer)


def test_a_form_takes_a_provider_on_this_machine():
    assert presets.issuer_problem("generic", "http://127.0.0.1:9400") == ""


@pytest.fixture
def google(acme) -> IdentityProvider:
    return make_provider(acme, issuer=GOOGLE, preset="google")


@pytest.fixture
def entra(acme) -> IdentityProvider:
    return make_provider(acme, issuer=ENTRA, preset="entra", role_claim="groups")


@pytest.mark.parametrize("domain", ["acme.example", "ACME.example"])
def test_google_says_that_the_account_is_of_a_proved_domain(google, domain):
    check_company(google, {"hd": domain})


@pytest.mark.parametrize(
    "claims",
    [{}, {"hd": None}, {"hd": ""}, {"hd": "globex.example"}, {"hd": ["acme.example"]}],
)
def test_a_google_account_of_anybody_else_is_refused(google, claims):
    with pytest.raises(errors.HostedDomainError):
        check_company(google, claims)


def test_microsoft_says_that_the_account_is_of_this_tenant(entra):
    check_company(entra, {"tid": TENANT})


@pytest.mark.parametrize("tenant", [None, "", presets.PERSONAL_ACCOUNTS, [TENANT]])
def test_a_microsoft_account_of_another_tenant_is_refused(entra, tenant):
    with pytest.raises(errors.OtherTenantError):
        check_company(entra, {"tid": tenant})


@pytest.mark.parametrize(
    "left_out",
    [{"_claim_names": {"groups": "src1"}}, {"hasgroups": True}, {"hasgroups": "true"}],
)
def test_groups_that_microsoft_left_out_are_told(entra, left_out):
    with pytest.raises(errors.GroupsLeftOutError):
        check_company(entra, {"tid": TENANT, **left_out})


def test_groups_that_nobody_asks_for_may_be_left_out(entra):
    entra.role_claim = "roles"

    check_company(entra, {"tid": TENANT, "_claim_names": {"groups": "src1"}})


def test_the_rules_hold_whatever_preset_was_chosen(acme):
    row = make_provider(acme, issuer=GOOGLE, preset="generic")

    with pytest.raises(errors.HostedDomainError):
        check_company(row, {})


def test_other_providers_need_not_say_any_of_it(acme):
    check_company(make_provider(acme, issuer="https://id.acme.example"), {})


def test_a_shared_issuer_is_not_even_asked(acme):
    row = make_provider(acme, issuer="https://login.microsoftonline.com/common/v2.0")

    with pytest.raises(errors.IssuerNotOneCompanyError):
        metadata_of(row)
