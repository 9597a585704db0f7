"""The commands: what stands on stdout, what is refused with a sentence."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.access import memberships_of, principal_from_token
from apps.accounts.models import Organisation, User
from tests.factories import TESTER, TESTS

SECRET = "a long enough secret"


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_token_prints_the_secret_alone(alice):
    out, err = run("token", "Alice@acme.example")

    assert out.count("\n") == 1
    assert principal_from_token(out.strip()).user_id == alice.pk
    assert out.strip() not in err


def test_token_takes_an_organisation(alice, globex):
    from apps.accounts import actions

    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=alice, role="member")

    out, _ = run("token", "alice@acme.example", "--organisation", "globex")

    assert principal_from_token(out.strip()).organisation_slug == "globex"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody@acme.example"], "There is no active user"),
        (
            ["alice@acme.example", "--organisation", "globex"],
            "does not belong to the organisation",
        ),
        (
            ["alice@acme.example", "--organisation", "none"],
            "does not belong to the organisation",
        ),
    ],
)
def test_token_refuses_with_a_sentence(alice, globex, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        run("token", *arguments)


def test_token_refuses_who_belongs_nowhere(alice, acme):
    Organisation.objects.filter(pk=acme.pk).update(status="suspended")

    with pytest.raises(CommandError, match="any active organisation"):
        run("token", "alice@acme.example")


@pytest.fixture
def password(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET + "\n"))


ADMIN = (
    "setup_admin",
    "--email",
    "first@netra.example",
    "--name",
    "First",
    "--password-stdin",
)


def test_setup_admin_makes_the_first_operator(db, password):
    out, _ = run(*ADMIN)

    user = User.objects.get()
    assert out == ""
    assert (user.is_superuser, user.check_password(SECRET)) == (True, True)
    assert memberships_of(user.pk)[0].organisation.kind == "platform"


def test_setup_admin_keeps_a_platform_that_is_there(netra, password):
    run(*ADMIN)

    assert list(Organisation.objects.filter(kind="platform")) == [netra]


def test_setup_admin_refuses_a_second_one(db, password, monkeypatch):
    run(*ADMIN)
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET + "\n"))

    with pytest.raises(CommandError, match="a platform admin already"):
        run(
            "setup_admin",
            "--email",
            "b@netra.example",
            "--name",
            "B",
            "--password-stdin",
        )
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("email", "secret"), [("first@netra.example", "short"), ("not an address", SECRET)]
)
def test_setup_admin_leaves_nothing_behind_when_it_refuses(
    db, monkeypatch, email, secret
):
    monkeypatch.setattr("sys.stdin", io.StringIO(secret + "\n"))

    with pytest.raises(CommandError):
        run("setup_admin", "--email", email, "--name", "", "--password-stdin")
    assert not User.objects.exists()
    assert not Organisation.objects.exists()


def test_setup_admin_does_not_wait_for_nobody(db, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    with pytest.raises(CommandError, match="--password-stdin"):
        run("setup_admin", "--email", "first@netra.example", "--name", "")
    with pytest.raises(CommandError, match="--email"):
        run("setup_admin")


def test_the_demos_provider_does_not_run_in_production(settings):
    settings.PRODUCTION = True

    with pytest.raises(CommandError, match="production"):
        run("demo_provider")
