"""What the report of a test login says: every rule that sign-in asks, every fault of the provider's word, the role."""

from __future__ import annotations

import pytest
from allauth.socialaccount.models import SocialAccount
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.admission import CLAIM_RULES, PERSON_RULES
from apps.accounts.doctor import preview
from apps.accounts.models import (
    DirectoryGroup,
    DirectoryMember,
    DirectoryUser,
    Identity,
    IdentityProvider,
    Membership,
    User,
)
from apps.audits.models import Receipt
from tests.accounts.doctor.examiner import entries, rules
from tests.accounts.lying_provider import (
    METADATA,
    TOKEN,
    Visitor,
    answer,
    unsigned,
)
from tests.accounts.signing import remove, suspend
from tests.factories import TESTER, TESTS, person

pytestmark = pytest.mark.security


def test_every_rule_has_a_title():
    told = [rule for rule in preview.TITLES if rule != "one_account_per_identity"]

    assert told == [*CLAIM_RULES, *PERSON_RULES]


# -- every refusal of admission, as sign-in itself refuses ---------------------------------


def came_before(liar) -> None:
    assert Visitor(liar).sign_in().status_code == 302


def foreign(liar, **_):
    liar.claims = {"email": "mallory@globex.example"}


def sub_domain(liar, **_):
    liar.claims = {"email": "alice@sub.acme.example"}


def no_address(liar, **_):
    liar.left_out = {"email"}
    liar.userinfo = {"sub": "s-1"}


def unverified(liar, **_):
    liar.claims = {"email_verified": False}


def of_another_organisation(liar, request):
    person("shared@acme.example", request.getfixturevalue("globex"))
    liar.claims = {"email": "shared@acme.example"}


def of_no_organisation(liar, **_):
    User.objects.create_user("loose@acme.example", "correct horse battery")
    liar.claims = {"email": "loose@acme.example"}


def another_subject(liar, **_):
    came_before(liar)
    liar.claims = {"sub": "s-2"}


def suspended(liar, request):
    came_before(liar)
    suspend(request.getfixturevalue("alice"))


def removed(liar, request):
    bob = request.getfixturevalue("bob")
    liar.claims = {"email": bob.email}
    came_before(liar)
    remove(bob)


def closed(request, **_):
    User.objects.filter(pk=request.getfixturevalue("alice").pk).update(is_active=False)


def staff_member(liar, request):
    person("helper@acme.example", request.getfixturevalue("acme"), is_staff=True)
    liar.claims = {"email": "helper@acme.example"}


def became_staff(liar, request):
    came_before(liar)
    User.objects.filter(pk=request.getfixturevalue("alice").pk).update(is_staff=True)


def not_invited(liar, **_):
    liar.claims = {"email": "new@acme.example"}
    with TESTS:
        IdentityProvider.objects.update(creates_members=False)


def place_lost(liar, request):
    came_before(liar)
    with TESTS:
        Membership.objects.filter(user=request.getfixturevalue("alice")).delete()
        IdentityProvider.objects.update(creates_members=False)


def recorded_elsewhere(request, **_):
    bob = request.getfixturevalue("bob")
    SocialAccount.objects.create(user=bob, provider="acme", uid="s-1", extra_data={})


REFUSED = [
    (foreign, "own_domain"),
    (sub_domain, "own_domain"),
    (no_address, "claims_present"),
    (unverified, "verified_address"),
    (of_another_organisation, "same_organisation"),
    (of_no_organisation, "same_organisation"),
    (another_subject, "one_person_per_address"),
    (suspended, "identity_active"),
    (removed, "still_a_member"),
    (closed, "active_account"),
    (staff_member, "staff_elsewhere"),
    (became_staff, "staff_elsewhere"),
    (not_invited, "invited"),
    (place_lost, "invited"),
    (recorded_elsewhere, "one_account_per_identity"),
]


@pytest.mark.parametrize(("arrange", "rule"), REFUSED)
def test_it_says_of_each_refusal_what_sign_in_says(
    tester, alice, liar, request, arrange, rule
):
    arrange(liar=liar, request=request)

    tester.test()
    Visitor(liar).sign_in()

    verdicts = rules(tester.report)
    order = list(preview.TITLES)
    at = order.index(rule)
    assert [verdicts[name] for name in order] == (
        ["ok"] * at + ["fail"] + ["unknown"] * (len(order) - at - 1)
    )
    assert (tester.report["lead"], tester.report["rule"]) == ("refused", rule)
    assert entries()[0]["details"]["rule"] == rule
    with TESTS:
        assert Receipt.objects.get().rule == rule
    page = tester.page
    assert "What to do" in page
    assert "Refused" in page
    assert liar.claims.get("email", "alice@acme.example") not in page


def test_every_rule_of_admission_is_among_them():
    assert {rule for _, rule in REFUSED} == set(preview.TITLES)


# -- a provider's word that cannot count ---------------------------------------------------


def is_down(liar) -> None:
    liar.behave[TOKEN] = lambda handler: answer(handler, b"", status=503)


def leads_elsewhere(liar) -> None:
    liar.behave[TOKEN] = lambda handler: answer(
        handler, b"", status=302, Location="http://127.0.0.1:1/"
    )


def talks_nonsense(liar) -> None:
    liar.behave[TOKEN] = lambda handler: answer(handler, b"<html>")


def refuses_the_code(liar) -> None:
    liar.behave[TOKEN] = lambda handler: answer(handler, b"{}", status=400)


LIES = [
    pytest.param(lambda p: setattr(p, "finish", unsigned), "token_algorithm", id="unsigned"),
    pytest.param(lambda p: setattr(p, "key_name", "other"), "token_key_known", id="strange key"),
    pytest.param(
        lambda p: (setattr(p, "key_name", "other"), p.header.update(kid="RS256-first")),
        "token_signature",
        id="forged",
    ),
    pytest.param(lambda p: p.claims.update(iss="https://evil.example"), "token_issuer", id="issuer"),
    pytest.param(lambda p: p.claims.update(aud="another"), "token_audience", id="audience"),
    pytest.param(lambda p: p.claims.update(nonce="of another"), "token_nonce", id="replayed"),
    pytest.param(lambda p: p.times.update(exp=-600), "token_in_time", id="expired"),
    pytest.param(lambda p: p.times.update(iat=600), "token_not_early", id="early"),
    pytest.param(lambda p: p.extra.update(id_token=None), "token_present", id="no token"),
    pytest.param(lambda p: p.claims.update(sub="x" * 300), "token_claims", id="subject too long"),
    pytest.param(lambda p: p.claims.update(at_hash="x"), "access_token_bound", id="swapped"),
    pytest.param(is_down, "provider_up", id="down"),
    pytest.param(leads_elsewhere, "no_redirects", id="redirects"),
    pytest.param(talks_nonsense, "answer_readable", id="nonsense"),
    pytest.param(refuses_the_code, "code_accepted", id="code refused"),
]  # fmt: skip


@pytest.mark.parametrize(("lie", "rule"), LIES)
def test_a_lie_is_a_finding_and_no_session(tester, alice, liar, lie, rule):
    before = tester.client.session["_auth_user_id"]
    lie(liar)

    tester.test()

    report = tester.report
    assert (report["lead"], report["rule"]) == ("refused", rule)
    assert [each["grade"] for each in report["findings"]] == ["fail"]
    assert set(rules(report).values()) == {"unknown"}
    assert report["claims"] == []
    assert tester.client.session["_auth_user_id"] == before
    assert len(entries()) == 1
    assert entries("sign_in_refused") == []
    assert "Fault" in tester.page


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ({"iss": "https://evil.example"}, "answer_issuer"),
        ({"error": "access_denied"}, "provider_agrees"),
        ({"error": "server_error"}, "provider_agrees"),
        ({"code": ""}, "code_accepted"),
    ],
)
def test_an_answer_of_the_wrong_form_is_a_finding(tester, alice, query, rule):
    tester.test(**query)

    assert tester.report["rule"] == rule


def test_a_provider_that_is_down_at_the_start_is_a_finding(tester, liar):
    liar.behave[METADATA] = lambda handler: answer(handler, b"", status=500)

    response = tester.client.post(f"{tester.admin}rehearse/")

    assert response["Location"] == f"{tester.admin}rehearsal/"
    assert tester.report["rule"] == "answer_readable"
    assert len(entries()) == 1


def test_a_subject_that_no_table_could_hold_is_a_finding(tester, alice, liar):
    liar.claims = {"sub": "x" * 192}

    tester.test()

    assert tester.report["lead"] == "refused"


# -- roles ---------------------------------------------------------------------------------

MAP = {"netra-admins": "admin", "netra-readers": "viewer"}


def maps_roles(**values: object) -> None:
    with TESTS:
        IdentityProvider.objects.update(role_claim="groups", role_map=MAP, **values)


@pytest.mark.parametrize(
    ("groups", "role", "said"),
    [
        (["netra-admins", "secret-group"], "admin", "netra-admins"),
        (["secret-group"], "member", "No value of the claim"),
        (None, "member", "No value of the claim"),
    ],
)
def test_the_role_is_told_with_what_gives_it(tester, liar, groups, role, said):
    maps_roles()
    liar.claims = {"email": "new@acme.example", "groups": groups}

    tester.test()

    assert tester.report["role"] == role
    assert said in tester.report["role_said"]
    assert "secret-group" not in tester.page


def test_owners_stay_owners(tester, alice, liar):
    maps_roles()
    liar.claims = {"groups": ["netra-readers"]}

    tester.test()

    assert tester.report["role"] == "owner"
    assert "Owners are made by hand" in tester.page


def test_a_member_follows_the_map_or_keeps_their_role(tester, bob, liar):
    liar.claims = {"email": bob.email, "groups": ["netra-admins"]}
    tester.test()
    assert "keeps the one they have" in tester.page
    maps_roles()

    tester.test()

    assert "It would change the membership from member to admin." in tester.page
    with TESTS:
        assert Membership.objects.get(user=bob).role == "member"


def test_a_group_of_the_directory_may_give_more(tester, acme, bob, liar):
    maps_roles()
    liar.claims = {"email": bob.email, "groups": ["netra-readers"]}
    times = {
        "organisation": acme,
        "created_at": timezone.now(),
        "changed_at": timezone.now(),
    }
    with TESTS:
        listed = DirectoryUser.objects.create(user=bob, user_name=bob.email, **times)
        group = DirectoryGroup.objects.create(name="Leads", role="admin", **times)
        DirectoryMember.objects.create(organisation=acme, group=group, person=listed)

    tester.test()

    assert tester.report["role"] == "admin"
    assert "directory" in tester.report["role_said"]


def test_a_missing_role_claim_is_worth_a_look(tester, bob, liar):
    maps_roles()
    liar.claims = {"email": bob.email}

    tester.test()

    assert "The claim “groups” is absent or empty." in tester.page


# -- redaction -----------------------------------------------------------------------------


def test_what_the_provider_says_is_shown_by_name_and_kind_only(tester, alice, liar):
    liar.claims = {
        "sub": "00u1abcdSECRETxyz",
        "phone_number": "+49 SECRET",
        "name": "Alice SECRET",
        "<script>alert(1)</script>": "SECRET",
        "nested": {"deep": "SECRET"},
        "sid": "SECRET",
    }

    tester.test()
    page = tester.page

    assert "SECRET" not in page
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;" in page
    assert "00u1…" in page
    assert "text of 10 characters" in page
    assert tester.provider.nonce not in page
    assert "SECRET" not in str(dict(tester.client.session.items()))


def test_a_thousand_claims_are_cut(tester, alice, liar):
    liar.claims = {f"c{number}": 1 for number in range(500)}

    tester.test()

    assert len(tester.report["claims"]) == 60


def test_the_account_that_is_there_is_linked_for_those_who_may_see_it(tester, alice):
    tester.test()

    assert f"/admin/accounts/user/{alice.pk}/change/" in tester.page


def test_a_suspended_identity_does_not_hide_the_person(tester, alice, liar):
    came_before(liar)
    with TESTS:
        actions.set_identity_status(
            actor=TESTER, identity=Identity.objects.get(), status="suspended"
        )

    tester.test()

    assert tester.report["user_id"] == str(alice.pk)
