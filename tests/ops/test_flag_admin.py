"""The page of flags: all switches in words; changed by platform admins only, with a reason."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.accounts.models import Organisation
from apps.core.flags import SWITCHES, Switch
from apps.core.models import Flag
from tests.staff import staff

pytestmark = pytest.mark.security
LIST, ADD = "admin:core_flag_changelist", "admin:core_flag_add"


@pytest.fixture
def lead(client, netra):
    client.force_login(staff("platform_admin", netra))
    return client


def own_page(flag: Flag) -> str:
    return reverse("admin:core_flag_change", args=[flag.pk])


def test_the_list_tells_of_every_switch_how_it_stands(client, netra, acme):
    Flag.objects.create(name=Switch.RETRIES, percentage=40)
    Flag.objects.create(name=Switch.INTERRUPT, organisation_id=acme.pk, percentage=0)
    Flag.objects.create(name="retreis")
    client.force_login(staff("support_viewer", netra))

    page = client.get(reverse(LIST)).content.decode()

    for switch, facts in SWITCHES.items():
        assert f"<code>{switch.value}</code>" in page
        assert facts.off.replace("'", "&#x27;") in page
    assert "On for 40 % of organisations" in page
    assert "Acme" in page
    assert "Switches nothing: unknown name" in page


def test_a_change_is_written_with_who_and_why(lead, acme):
    given = {"name": "retries", "organisation_id": str(acme.pk), "percentage": 0}

    refused = lead.post(reverse(ADD), given | {"reason": " "})
    assert refused.status_code == 200
    assert not Flag.objects.exists()
    lead.post(reverse(ADD), given | {"reason": "acme asked for it"})

    flag = Flag.objects.get()
    assert (flag.name, flag.organisation_id, flag.percentage) == ("retries", acme.pk, 0)
    assert flag.changed_by == "platform_admin@netra.example"
    assert flag.reason == "acme asked for it"


def test_each_change_needs_a_reason_of_its_own(lead):
    flag = Flag.objects.create(name="retries", percentage=0, reason="first")
    page = lead.get(own_page(flag)).content.decode()

    lead.post(own_page(flag), {"percentage": 100, "reason": ""})
    flag.refresh_from_db()
    assert (flag.percentage, flag.reason) == (0, "first")
    lead.post(own_page(flag), {"percentage": 100, "reason": "mended"})

    flag.refresh_from_db()
    assert 'value="first"' not in page
    assert (flag.percentage, flag.reason) == (100, "mended")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "group-commit", "percentage": 50}, "one path for the whole"),
        ({"name": "retries", "percentage": 101}, "less than or equal to 100"),
        ({"name": "retreis", "percentage": 0}, "not one of the available choices"),
        ({"name": "fairness", "percentage": 0}, "There is a row for that already"),
    ],
)
def test_what_would_switch_nothing_is_refused_in_words(lead, given, said):
    Flag.objects.create(name="fairness", percentage=0)

    response = lead.post(reverse(ADD), given | {"reason": "a trial"})

    assert said in response.content.decode()
    assert Flag.objects.count() == 1


def test_a_path_for_all_cannot_be_switched_for_one(lead, acme):
    given = {"name": "self-fence", "percentage": 0, "reason": "a trial"}

    response = lead.post(reverse(ADD), given | {"organisation_id": str(acme.pk)})

    assert "Leave the organisation out." in response.content.decode()
    assert not Flag.objects.exists()


def test_organisations_of_isolation_audits_are_not_offered(lead, acme):
    Organisation.objects.create(slug="canary", name="Canary One", kind="canary")

    page = lead.get(reverse(ADD)).content.decode()

    assert "Acme" in page
    assert "Canary One" not in page


def test_a_row_can_be_taken_away_again(lead):
    flag = Flag.objects.create(name="retries", percentage=0)

    lead.post(reverse("admin:core_flag_delete", args=[flag.pk]), {"post": "yes"})

    assert not Flag.objects.exists()


@pytest.mark.parametrize(
    "role", ["support_viewer", "support_operator", "security_auditor"]
)
def test_other_staff_look_and_change_nothing(client, netra, role):
    flag = Flag.objects.create(name="retries", percentage=100)
    client.force_login(staff(role, netra))
    given = {"name": "fairness", "percentage": 0, "reason": "a trial"}

    assert client.get(reverse(LIST)).status_code == 200
    assert client.post(reverse(ADD), given).status_code == 403
    assert client.post(own_page(flag), given).status_code == 403
    delete = reverse("admin:core_flag_delete", args=[flag.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403

    assert list(Flag.objects.values_list("name", "percentage")) == [("retries", 100)]


def test_people_of_customers_do_not_see_the_page(client, alice):
    client.force_login(alice)

    assert client.get(reverse(LIST), follow=True).status_code == 403
