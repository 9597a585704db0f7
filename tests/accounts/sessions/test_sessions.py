"""Sessions: kept beside their store, limited, listed, ended; what they stand on takes them along."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from apps.accounts import actions, validity
from apps.accounts.access import sign_in_of
from apps.accounts.events import EndOfAccess
from apps.accounts.models import Organisation, SignIn, User
from apps.audits.acts import Act
from apps.audits.models import Entry
from apps.core.database import write_now
from apps.core.errors import NotAuthenticatedError
from tests.factories import PASSWORD, TESTER, TESTS, sign_in
from tests.staff import staff

pytestmark = pytest.mark.security
LOGIN, LIST = "/accounts/login/", "/accounts/sessions/"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"


def entries(act: Act) -> list[dict]:
    with TESTS:
        rows = Entry.objects.filter(act=act).order_by("at")
        return [json.loads(row.body) for row in rows]


def by_password(user: User, **headers: str) -> Client:
    client = Client(headers=headers)
    client.post(LOGIN, {"login": user.email, "password": PASSWORD})
    return client


def row_of(client: Client) -> SignIn:
    return SignIn.objects.get(session_key=client.session.session_key)


def age(client: Client, **columns: timedelta) -> None:
    """Let the session have happened so much earlier."""
    row = row_of(client)
    moved = {name: getattr(row, name) - by for name, by in columns.items()}
    SignIn.objects.filter(pk=row.pk).update(**moved)


def is_in(client: Client) -> bool:
    return client.get(LIST).status_code == 200


# -- kept ------------------------------------------------------------------------------


def test_a_password_leaves_a_row_and_an_entry(alice, acme):
    client = by_password(alice, **{"user-agent": CHROME})

    row = row_of(client)
    assert (row.user, row.method, row.second_factor) == (alice, "password", "")
    assert row.address == "127.0.0.1"
    assert row.agent == CHROME
    assert row.authenticated_at == row.signed_in_at
    assert row.ends_at - row.signed_in_at == timedelta(hours=12)
    (told,) = entries(Act.SIGNED_IN)
    assert told["organisation"] == str(acme.pk)
    assert told["actor"] == alice.email
    assert row.session_key not in json.dumps(told)


def test_a_session_without_its_row_is_nobodys(alice):
    client = by_password(alice)
    SignIn.objects.all().delete()

    assert not is_in(client)
    assert client.get("/api/v1/me/").status_code in {401, 403}


def test_a_row_of_another_person_does_not_carry_a_session(alice, bob):
    client = by_password(alice)
    SignIn.objects.update(user=bob, stamp=validity.stamp_of(bob))

    assert not is_in(client)


def test_signing_out_ends_the_row_and_is_told(alice):
    client = by_password(alice)
    key = client.session.session_key

    client.post("/accounts/logout/")

    row = SignIn.objects.get(session_key=key)
    assert row.end_reason == EndOfAccess.LOGGED_OUT.value
    assert not Session.objects.filter(session_key=key).exists()
    assert len(entries(Act.SIGNED_OUT)) == 1


def test_the_row_follows_a_session_that_gets_another_key(support, netra, client):
    """Django's admin does that when a password of somebody is changed there."""
    boss = User.objects.create_superuser("boss@netra.example", PASSWORD)
    client.force_login(boss)
    before = client.session.session_key

    answer = client.post(
        f"/admin/accounts/user/{support.pk}/password/",
        {
            "password1": "a long enough secret 1",
            "password2": "a long enough secret 1",
            "usable_password": "true",
        },
    )

    assert answer.status_code == 302
    assert client.session.session_key != before
    assert is_in(client)


# -- limits ----------------------------------------------------------------------------


def test_a_session_that_is_not_used_ends(alice):
    client = by_password(alice)
    age(client, seen_at=timedelta(minutes=29))
    assert is_in(client)
    age(client, seen_at=timedelta(minutes=31))
    key = client.session.session_key

    assert not is_in(client)

    assert SignIn.objects.get(session_key=key).end_reason == "not used for too long"
    assert not Session.objects.filter(session_key=key).exists()
    assert "not used for too long" in client.get(LOGIN).content.decode()


def test_a_session_ends_after_its_hours_however_it_is_used(alice):
    client = by_password(alice)
    age(client, signed_in_at=timedelta(hours=11, minutes=59))
    assert is_in(client)
    age(client, signed_in_at=timedelta(minutes=2))

    assert not is_in(client)


def test_the_strictest_of_a_persons_organisations_counts(alice, acme, globex):
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=alice, role="member")
    Organisation.objects.filter(pk=acme.pk).update(
        session_idle_minutes=600, session_hours=100
    )
    client = by_password(alice)
    age(client, seen_at=timedelta(minutes=31))
    assert not is_in(client), "globex has the default"

    Organisation.objects.filter(pk=globex.pk).update(session_idle_minutes=5)
    client = by_password(alice)
    age(client, seen_at=timedelta(minutes=6))
    assert not is_in(client)


def test_an_organisation_may_allow_more_and_a_change_holds_at_once(alice, acme):
    Organisation.objects.filter(pk=acme.pk).update(session_idle_minutes=120)
    client = by_password(alice)
    age(client, seen_at=timedelta(minutes=100))
    assert is_in(client)
    Organisation.objects.filter(pk=acme.pk).update(session_hours=1)
    age(client, signed_in_at=timedelta(minutes=61))

    assert not is_in(client)


def test_staff_have_less(support, netra):
    Organisation.objects.filter(pk=netra.pk).update(session_idle_minutes=600)
    client = by_password(support)
    assert row_of(client).ends_at - row_of(client).signed_in_at == timedelta(hours=8)
    age(client, seen_at=timedelta(minutes=16))

    assert not is_in(client)


def test_use_is_noted_once_a_minute_and_not_for_what_a_page_does_by_itself(alice):
    client = by_password(alice)
    age(client, seen_at=timedelta(seconds=30))
    noted = row_of(client).seen_at
    client.get(LIST)
    assert row_of(client).seen_at == noted

    age(client, seen_at=timedelta(seconds=40))
    noted = row_of(client).seen_at
    client.get(LIST, headers={"Netra-Background": "1"})
    assert row_of(client).seen_at == noted
    client.get(LIST)
    assert timezone.now() - row_of(client).seen_at < timedelta(seconds=10)


def test_a_bearer_header_does_not_spare_a_page_the_look(alice):
    client = by_password(alice)
    age(client, seen_at=timedelta(hours=1))

    answer = client.get(LIST, headers={"Authorization": "Bearer x"})

    assert answer.status_code == 302


@pytest.mark.regression
def test_a_header_is_no_way_around_the_look_at_the_session(alice):
    """Not even to the one page under /api/ that asks for no token."""
    client = by_password(alice)
    age(client, seen_at=timedelta(hours=1))

    for header in ("Bearer x", "Basic x"):
        answer = client.get("/api/v1/docs/", headers={"Authorization": header})
        assert answer.status_code == 302, header


@pytest.mark.regression
def test_what_an_older_secret_signed_holds_on(alice, settings):
    client = by_password(alice)
    before = client.session.session_key
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another secret of the same installation, and long enough"

    assert is_in(client)

    assert client.session.session_key != before
    assert is_in(client)
    assert SignIn.objects.get().ended_at is None


@pytest.mark.regression
@pytest.mark.parametrize("key", ["a" * 31 + "\x00", "a" * 31 + "é", "A" * 32, "a" * 41])
def test_what_cannot_be_a_key_is_no_question_to_the_database(
    alice, key, django_assert_num_queries
):
    """PostgreSQL reads no NUL, and a cookie may hold one."""
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = key

    assert client.get(LIST).status_code == 302
    with django_assert_num_queries(0), pytest.raises(NotAuthenticatedError):
        sign_in_of(key)


@pytest.mark.regression
def test_an_end_is_told_once_however_many_saw_it(alice):
    row = sign_in(alice)

    def end() -> int:
        return actions.end_sign_ins(
            actor=TESTER, rows=[row], why=EndOfAccess.PROVIDER_REQUIRED
        )

    assert [write_now(TESTS, end) for _ in range(2)] == [1, 0]
    assert len(entries(Act.SESSION_ENDED)) == 1


# -- ended by the person ---------------------------------------------------------------


def test_the_list_shows_ones_own_sessions_and_no_others(alice, mallory):
    here = by_password(alice, **{"user-agent": CHROME})
    by_password(alice, **{"user-agent": "curl/8"})
    by_password(mallory, **{"user-agent": "secret-agent"})

    page = here.get(LIST).content.decode()

    assert "Chrome on Linux" in page
    assert "curl" in page
    assert page.count("This session") == 1
    assert "secret-agent" not in page


def test_one_session_is_ended_from_another(alice):
    here, there = by_password(alice), by_password(alice)

    here.post(f"{LIST}{row_of(there).pk}/")

    assert not is_in(there)
    assert is_in(here)
    (told,) = entries(Act.SESSION_ENDED)
    assert told["details"]["count"] == 1


def test_all_others_are_ended_and_this_one_stays(alice):
    here, there, elsewhere = (by_password(alice) for _ in range(3))

    here.post(f"{LIST}others/")

    assert [is_in(c) for c in (here, there, elsewhere)] == [True, False, False]


def test_a_foreign_session_is_not_there(alice, mallory):
    here, foreign = by_password(mallory), by_password(alice)

    answer = here.post(f"{LIST}{row_of(foreign).pk}/")

    assert answer.status_code == 404
    assert is_in(foreign)


@pytest.mark.parametrize("path", ["others/", "00000000-0000-4000-8000-000000000001/"])
def test_nothing_ends_by_looking(alice, path):
    here = by_password(alice)

    assert here.get(LIST + path).status_code == 405


def test_the_list_costs_the_same_for_many_sessions(alice, django_assert_num_queries):
    here = by_password(alice)
    with django_assert_num_queries(6):
        here.get(LIST)
    for _ in range(5):
        sign_in(alice)

    with django_assert_num_queries(6):
        here.get(LIST)


# -- ended by support ------------------------------------------------------------------


def test_an_admin_ends_sessions_and_a_viewer_cannot(alice, netra, client):
    there = by_password(alice)
    path = "/admin/accounts/signin/"
    chosen = {"action": "end_sessions", "_selected_action": [str(row_of(there).pk)]}
    client.force_login(staff("security_auditor", netra))
    assert row_of(there).session_key not in client.get(path).content.decode()
    client.post(path, chosen)
    assert is_in(there)
    admin = staff("platform_admin", netra)
    client.force_login(admin)
    client.post(path, chosen)

    assert not is_in(there)
    told = entries(Act.SESSION_ENDED)[-1]
    assert (told["actor_kind"], told["actor"]) == ("staff", admin.email)


def test_ending_others_sessions_needs_a_fresh_sign_in(alice, netra, client):
    there = by_password(alice)
    client.force_login(staff("platform_admin", netra))
    age(client, authenticated_at=timedelta(minutes=6))

    answer = client.post(
        "/admin/accounts/signin/",
        {"action": "end_sessions", "_selected_action": [str(row_of(there).pk)]},
    )

    assert answer["Location"].startswith("/accounts/confirm/")
    assert is_in(there)


# -- the table ------------------------------------------------------------------------


def test_limits_are_those_of_the_table():
    customer, member_of_staff = User(is_staff=False), User(is_staff=True)

    assert validity.lifetime(customer).idle == timedelta(minutes=30)
    assert validity.lifetime(customer).whole == timedelta(hours=12)
    assert validity.lifetime(member_of_staff, 600, 100).idle == timedelta(minutes=15)
    assert validity.lifetime(member_of_staff, 5, 1).whole == timedelta(hours=1)


def test_staff_of_every_role_have_a_group(db):
    assert Group.objects.filter(permissions__codename="change_signin").exists()
