"""Directory tokens: made, shown once, revoked; and the admin of directories."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.access import memberships_of
from apps.accounts.models import DirectoryGroup, ScimToken, User
from apps.audits.acts import Act
from apps.core.errors import ConflictError, InvalidInputError
from tests.accounts.scim import Directory, make_token, refusal, sealed
from tests.factories import TESTS
from tests.staff import staff

pytestmark = pytest.mark.security
TOKENS = "/admin/accounts/scimtoken/"
GROUPS = "/admin/accounts/directorygroup/"


@pytest.fixture
def admin_client(client, netra, monkeypatch) -> Client:
    """A platform admin who has just proved who they are."""
    client.force_login(staff("platform_admin", netra))
    monkeypatch.setattr(
        "apps.accounts.admin.directory.stepped_up", lambda request: True
    )
    return client


def test_only_the_hash_of_a_token_is_kept(acme) -> None:
    token, secret = make_token(acme)

    assert secret.startswith("nts_")
    assert token.prefix == secret[:12]
    assert secret not in str(vars(token))
    assert [e["details"]["prefix"] for e in sealed(Act.TOKEN_CREATED)] == [token.prefix]
    assert secret not in str(sealed(Act.TOKEN_CREATED))


@pytest.mark.parametrize("days", [0, -1, 731])
def test_a_token_ends(acme, days: int) -> None:
    with pytest.raises(InvalidInputError):
        make_token(acme, days=days)
    assert make_token(acme)[0].expires_at is not None


def test_an_organisation_has_few_tokens(acme) -> None:
    for _ in range(5):
        make_token(acme)

    with pytest.raises(ConflictError):
        make_token(acme)


def test_staff_make_a_token_and_see_its_secret_once(admin_client, acme) -> None:
    made = admin_client.post(
        f"{TOKENS}add/", {"organisation": acme.pk, "name": "Okta", "days": "30"}
    )

    with TESTS:
        token = ScimToken.objects.get()
    page = made.content.decode()
    secret = next(word for word in page.replace("<", " ").replace(">", " ").split() if word.startswith("nts_"))  # fmt: skip
    assert made.status_code == 200
    assert "no-store" in made["Cache-Control"]
    directory = Directory(Client(headers={"Authorization": f"Bearer {secret}"}))
    assert directory.get("Users").status_code == 200
    for path in (TOKENS, f"{TOKENS}{token.pk}/change/"):
        shown = admin_client.get(path)
        assert shown.status_code == 200
        assert secret not in shown.content.decode()
        assert token.digest not in shown.content.decode()
    assert all(secret not in str(cookie) for cookie in admin_client.cookies.values())


def test_staff_revoke_a_token_at_once(admin_client, acme, okta) -> None:
    with TESTS:
        token = ScimToken.objects.get()

    admin_client.post(TOKENS, {"action": "revoke", "_selected_action": [token.pk]})

    refusal(okta.get("Users"), 401)
    assert len(sealed(Act.TOKEN_REVOKED)) == 1


@pytest.mark.parametrize("role", ["support_viewer", "support_operator"])
def test_support_makes_no_tokens_and_changes_no_groups(
    client, netra, acme, okta, monkeypatch, role: str
) -> None:
    monkeypatch.setattr(
        "apps.accounts.admin.directory.stepped_up", lambda request: True
    )
    client.force_login(staff(role, netra))
    group = okta.add_group("G")

    assert client.get(f"{TOKENS}add/").status_code == 403
    assert client.get(f"{GROUPS}{group['id']}/change/").status_code == 403


def test_whoever_did_not_just_prove_who_they_are_does_so_first(
    client, netra, monkeypatch
) -> None:
    client.force_login(staff("platform_admin", netra))
    monkeypatch.setattr(
        "apps.accounts.admin.directory.stepped_up", lambda request: False
    )

    answer = client.get(f"{TOKENS}add/")

    assert answer.status_code == 302
    assert "confirm" in answer["Location"]


def test_staff_give_a_group_a_role_and_never_owner(admin_client, okta) -> None:
    person = okta.add_user("bob@acme.example")
    group = okta.add_group("Admins", person["id"])
    page = f"{GROUPS}{group['id']}/change/"

    assert admin_client.get(page).status_code == 200
    admin_client.post(page, {"role": "admin"})
    refused = admin_client.post(page, {"role": "owner"})

    assert "Select a valid choice" in refused.content.decode()
    account = User.objects.get(email=person["userName"])
    assert [row.role for row in memberships_of(account.pk)] == ["admin"]
    with TESTS:
        assert DirectoryGroup.objects.get().role == "admin"


def test_the_admin_lists_people_and_groups(admin_client, okta) -> None:
    okta.add_group("Admins", okta.add_user("bob@acme.example")["id"])

    for path in ("/admin/accounts/directoryuser/", GROUPS):
        page = admin_client.get(path)
        assert page.status_code == 200
        assert "acme" in page.content.decode().lower()
