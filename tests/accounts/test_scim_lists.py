"""Lists over SCIM: filters, pages, and the attributes that are asked for."""

from __future__ import annotations

import pytest

from tests.accounts.scim import USER, refusal

pytestmark = pytest.mark.security


@pytest.fixture
def people(okta) -> list[str]:
    names = ["ann", "bob", "cyd"]
    return [
        okta.add_user(
            f"{name}@acme.example", displayName=name.title(), externalId=f"ext-{name}"
        )["id"]
        for name in names
    ]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ('userName eq "BOB@acme.example"', ["bob"]),
        ('username Eq "bob@acme.example"', ["bob"]),
        ('externalId eq "ext-bob"', ["bob"]),
        ('externalId eq "EXT-BOB"', []),
        ('displayName eq "bob"', ["bob"]),
        ('emails.value eq "bob@acme.example"', ["bob"]),
        ('emails[type eq "work" and value eq "bob@acme.example"]', ["bob"]),
        ('emails eq "bob@acme.example"', ["bob"]),
        ('userName eq "bob@acme.example" and externalId eq "ext-bob"', ["bob"]),
        ('userName eq "bob@acme.example" and externalId eq "ext-ann"', []),
        (f'{USER}:userName eq "bob@acme.example"', ["bob"]),
        ('userName eq "nobody@acme.example"', []),
        ('id eq "nonsense"', []),
        ("", ["ann", "bob", "cyd"]),
    ],
)
def test_lists_are_filtered_by_equality(okta, people, asked: str, found: list) -> None:
    answer = okta.get("Users", filter=asked).json()

    names = [row["userName"].partition("@")[0] for row in answer["Resources"]]
    assert (names, answer["totalResults"]) == (found, len(found))


@pytest.mark.parametrize(
    "asked",
    [
        "userName",
        'userName co "b"',
        'userName eq "a" or userName eq "b"',
        'not (userName eq "a")',
        'password eq "x"',
        'shoeSize eq "3"',
        "active eq true",
        "userName eq 5",
        'emails[type eq "work"]',
        'userName eq "\\u0000"',
        "(" * 900,
        'userName eq "' + "x" * 1000 + '"',
        " and ".join(['userName eq "a"'] * 11),
    ],
)
def test_other_filters_are_refused(okta, asked: str) -> None:
    refusal(okta.get("Users", filter=asked), 400, "invalidFilter")


@pytest.mark.parametrize(
    ("asked", "start", "found"),
    [
        ({"startIndex": "2"}, 2, ["bob", "cyd"]),
        ({"startIndex": "2", "count": "1"}, 2, ["bob"]),
        ({"startIndex": "0"}, 1, ["ann", "bob", "cyd"]),
        ({"startIndex": "-5", "count": "1"}, 1, ["ann"]),
        ({"startIndex": "9"}, 9, []),
        ({"count": "0"}, 1, []),
        ({"count": "-1"}, 1, []),
        ({"count": "100000"}, 1, ["ann", "bob", "cyd"]),
    ],
)
def test_lists_come_in_pages(okta, people, asked, start: int, found: list) -> None:
    answer = okta.get("Users", **asked).json()

    names = [row["userName"].partition("@")[0] for row in answer["Resources"]]
    assert (names, answer["startIndex"], answer["totalResults"]) == (found, start, 3)
    assert answer["itemsPerPage"] == len(found)


def test_a_page_is_bounded(okta, people, monkeypatch) -> None:
    monkeypatch.setattr("apps.accounts.scim.queries.PAGE_MOST", 2)

    assert okta.get("Users", count="1000").json()["itemsPerPage"] == 2


@pytest.mark.parametrize("asked", ["x", "1.5", "9" * 20, "²"])
def test_numbers_that_are_none_are_refused(okta, asked: str) -> None:
    refusal(okta.get("Users", startIndex=asked), 400, "invalidValue")


def test_answers_hold_the_attributes_that_were_asked_for(okta, people) -> None:
    one = okta.get(f"Users/{people[0]}", attributes="userName").json()
    page = okta.get("Users", excludedAttributes="externalId,active").json()

    assert set(one) == {"schemas", "id", "userName"}
    assert all({"externalId", "active"}.isdisjoint(r) for r in page["Resources"])
    both = okta.get("Users", attributes="userName", excludedAttributes="active")
    assert both.status_code == 400


def test_a_page_takes_the_same_queries_however_many_there_are(
    okta, people, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(8):
        okta.get("Users")
