"""The trace of a provider: what was written down, step by step, no secret, and nothing guessed."""

from __future__ import annotations

import json
import uuid

import pytest
from django.contrib.auth.models import Permission

from apps.accounts.doctor import trace
from apps.accounts.models import IdentityProvider, Organisation, User
from apps.audits import trail
from apps.audits.acts import Act
from apps.audits.models import Entry, Receipt
from tests.accounts.conftest import make_provider
from tests.accounts.signin.test_second_factor import answer_code, code, with_totp
from tests.factories import TESTER, TESTS
from tests.staff import staff

pytestmark = pytest.mark.security
A = "/admin/accounts/identityprovider/"
ALL = ["sent", "returned", "token", "rules", "role", "session"]


@pytest.fixture
def provider(visitor) -> IdentityProvider:
    with TESTS:
        row: IdentityProvider = IdentityProvider.objects.get(provider_id="acme")
    return row


@pytest.fixture
def auditor(client, netra):
    client.force_login(staff("security_auditor", netra))
    return client


def attempts(provider: IdentityProvider, **options) -> list[trace.Attempt]:
    with TESTS:
        return trace.attempts(provider, **({"sees_people": True} | options))


def passages(attempt: trace.Attempt) -> dict[str, str]:
    return {stage.step.value: stage.passage.value for stage in attempt.stages}


def newest_body() -> str:
    with TESTS:
        return Entry.objects.filter(act__in=trace.ACTS).latest("at").body


# -- what is shown ---------------------------------------------------------------------


def test_a_sign_in_is_told_in_all_its_steps(visitor, provider, alice):
    visitor.sign_in()

    (found,) = attempts(provider)

    assert (found.who, found.refused, found.code) == ("alice@acme.example", False, "")
    assert passages(found) == dict.fromkeys(ALL, "passed")
    moments = [stage.at for stage in found.stages]
    assert moments == sorted(moments)
    assert found.stages[4].note == "owner"


def test_a_second_factor_in_between_loses_no_step(visitor, provider, alice):
    with_totp(alice)
    visitor.sign_in()
    assert attempts(provider) == []  # nobody is signed in yet

    answer_code(visitor.client, code())

    (found,) = attempts(provider)
    assert passages(found) == dict.fromkeys(ALL, "passed")
    assert found.stages[-1].note == "with a second factor: totp"
    assert found.stages[-1].at > found.stages[-2].at


def test_a_refused_token_is_refused_at_the_token(visitor, provider, alice):
    visitor.provider.claims = {"aud": "somebody else"}
    visitor.sign_in()

    (found,) = attempts(provider)

    assert (found.code, found.rule) == ("sign_in_token_audience", "token_audience")
    assert passages(found) == {
        "sent": "passed",
        "returned": "passed",
        "token": "refused here",
        "rules": "not reached",
        "role": "not reached",
        "session": "not reached",
    }
    assert "client id" in found.meaning.remedy


def test_a_refusal_of_admission_names_its_rule_and_the_reference(visitor, provider):
    visitor.provider.claims = {"email": "alice@globex.example"}
    page = visitor.sign_in().content.decode()

    (found,) = attempts(provider)

    assert found.reference in page
    assert (found.who, found.rule) == ("alice@globex.example", "own_domain")
    assert passages(found)["token"] == "passed"
    assert passages(found)["rules"] == "refused here"
    assert "may not speak for" in found.said


def test_an_answer_that_was_not_asked_for_was_sent_at_an_unknown_time(
    visitor, provider
):
    visitor.start()
    visitor.come_back(state="made up")

    (found,) = attempts(provider)

    assert passages(found)["sent"] == "not on record"
    assert passages(found)["returned"] == "refused here"
    assert passages(found)["token"] == "not reached"


def test_a_provider_that_is_away_is_told_before_anybody_is_sent(visitor, provider):
    visitor.provider.metadata = {"issuer": "https://elsewhere.example"}
    visitor.client.post(visitor.path)

    (found,) = attempts(provider)

    assert found.code == "sign_in_metadata_issuer"
    assert passages(found)["sent"] == "refused here"


def test_what_the_last_rules_refuse_is_on_record_too(
    visitor, provider, alice, monkeypatch
):
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    monkeypatch.setattr("apps.accounts.standing.against_person", lambda *_: None)

    answer = visitor.sign_in()

    (found,) = attempts(provider)
    assert answer.status_code == 403
    assert found.code == "staff_through_customer"
    assert passages(found)["session"] == "refused here"
    assert found.reference in answer.content.decode()


def test_an_entry_without_steps_guesses_nothing(provider, acme):
    with TESTS:
        trail.record(
            Act.SIGNED_IN,
            actor=TESTER,
            organisation_id=acme.pk,
            target=f"signin:{uuid.uuid4()}",
            provider="acme",
        )

    (found,) = attempts(provider)

    assert set(passages(found).values()) == {"not on record"}


def test_an_altered_entry_breaks_nothing(provider, acme, monkeypatch):
    with TESTS:
        trail.record(
            Act.SIGNED_IN,
            actor=TESTER,
            organisation_id=acme.pk,
            target="signin:1",
            provider="acme",
            steps={"sent": "not a moment", "token": 7},
        )

    (found,) = attempts(provider)

    assert passages(found)["sent"] == "not on record"
    assert trace._details(trace._body(Entry(body="[]"))) == {}
    assert trace._body(Entry(body="{")) == {}


# -- what is never kept ----------------------------------------------------------------


@pytest.mark.parametrize("refuse", [False, True])
def test_no_token_code_or_claim_is_written_down(visitor, provider, alice, refuse):
    visitor.provider.claims = {
        "groups": ["g-secret"],
        "name": "Very Private",
        **({"email_verified": False} if refuse else {}),
    }
    visitor.start()
    token = visitor.provider.token()
    visitor.come_back(code="code-secret")

    body = newest_body()

    for secret in (
        "code-secret",
        "g-secret",
        "Very Private",
        "at-1",
        visitor.asked["state"],
        visitor.asked["nonce"],
        token.split(".")[1][:40],
    ):
        assert secret not in body
    assert set(json.loads(body)["details"]["steps"]) <= set(ALL)


# -- whose it is -----------------------------------------------------------------------


def test_other_providers_sign_ins_are_not_listed(visitor, provider, alice, acme):
    visitor.sign_in()
    second = make_provider(acme, provider_id="acme-2", client_id="second")

    assert attempts(second) == []
    with TESTS, pytest.raises(trace.NotFoundError):
        trace.attempt(second, attempts(provider)[0].entry_id, sees_people=True)


def test_another_organisations_provider_of_the_same_name_sees_nothing(
    visitor, provider, alice, globex_provider
):
    visitor.sign_in()
    (found,) = attempts(provider)
    foreign = IdentityProvider(
        pk=globex_provider.pk,
        organisation_id=globex_provider.organisation_id,
        provider_id="acme",
    )

    assert attempts(foreign) == []
    with TESTS, pytest.raises(trace.NotFoundError):
        trace.attempt(foreign, found.entry_id, sees_people=True)


def test_a_reference_finds_its_refusal(visitor, provider):
    visitor.provider.claims = {"email": "alice@globex.example"}
    for _ in range(2):
        visitor.sign_in()
    _, older = attempts(provider)

    assert attempts(provider, reference=f" {older.reference.upper()} ") == [older]
    assert attempts(provider, reference="nothing") == []


def test_only_so_many_are_shown(visitor, provider, acme, monkeypatch):
    monkeypatch.setattr(trace, "SHOWN", 2)
    for _ in range(3):
        with TESTS:
            trail.record(
                Act.SIGNED_IN, actor=TESTER, organisation_id=acme.pk, provider="acme"
            )

    assert len(attempts(provider)) == 2


# -- the pages -------------------------------------------------------------------------


def test_the_providers_page_lists_them_and_leads_to_the_steps(
    visitor, provider, auditor
):
    visitor.provider.claims = {"email": "alice@globex.example"}
    visitor.sign_in()
    (found,) = attempts(provider)

    page = auditor.get(f"{A}{provider.pk}/change/").content.decode()
    one = f"{A}{provider.pk}/sign-ins/{found.entry_id}/"
    assert one in page
    assert "alice@globex.example" in page

    steps = auditor.get(one).content.decode()
    assert "refused here</span> <span>(own_domain)" in steps
    assert found.reference in steps
    assert "Prove the domain in DNS" in steps


def test_who_may_not_see_people_sees_the_domain(visitor, provider, client, support):
    visitor.provider.claims = {"email": "alice@globex.example"}
    visitor.sign_in()
    (found,) = attempts(provider)
    support.user_permissions.add(
        Permission.objects.get(codename="view_identityprovider")
    )
    client.force_login(support)

    for url in ("change/", f"sign-ins/{found.entry_id}/"):
        page = client.get(f"{A}{provider.pk}/{url}").content.decode()
        assert "@globex.example" in page
        assert "alice@" not in page


def test_who_may_not_see_providers_sees_no_trace(visitor, provider, client, support):
    visitor.sign_in()
    (found,) = attempts(provider)
    client.force_login(support)

    url = f"{A}{provider.pk}/sign-ins/{found.entry_id}/"

    assert client.get(url).status_code == 403


def test_what_is_absent_or_of_another_act_is_not_found(
    visitor, provider, auditor, acme
):
    with TESTS:
        trail.record(
            Act.SIGNED_OUT, actor=TESTER, organisation_id=acme.pk, provider="acme"
        )
        other = Entry.objects.get(act="signed_out").pk

    for entry in (other, uuid.uuid4()):
        url = f"{A}{provider.pk}/sign-ins/{entry}/"
        assert auditor.get(url).status_code == 404
    assert auditor.get(f"{A}{uuid.uuid4()}/sign-ins/{other}/").status_code == 404


def test_what_a_stranger_wrote_is_never_markup(visitor, provider, auditor):
    visitor.provider.claims = {"email": '"<b>x</b>"@globex.example'}
    visitor.sign_in()

    page = auditor.get(f"{A}{provider.pk}/change/?reference=<b>y</b>").content.decode()
    whole = auditor.get(f"{A}{provider.pk}/change/").content.decode()

    assert "<b>y</b>" not in page
    assert "<b>x</b>" not in whole


def test_a_receipt_that_is_gone_is_said_to_be_gone(visitor, provider, auditor):
    visitor.provider.claims = {"email": "alice@globex.example"}
    visitor.sign_in()
    with TESTS:
        Receipt.objects.all().delete()
    (found,) = attempts(provider)

    page = auditor.get(f"{A}{provider.pk}/sign-ins/{found.entry_id}/").content.decode()

    assert "not on record any more" in page


def test_an_organisation_that_is_suspended_still_shows_its_trace(
    visitor, provider, alice
):
    visitor.sign_in()
    Organisation.objects.update(status="suspended")

    assert len(attempts(provider)) == 1
