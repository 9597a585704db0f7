"""Staff's browser that tests a provider, and what must have stayed as it was."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.apps import apps
from django.http import HttpResponse

from apps.accounts.models import IdentityProvider
from apps.audits.models import Entry
from tests.accounts.lying_provider import LyingProvider, Visitor
from tests.factories import TESTS

# The tester's own session keeps the report; a look notes when the session was used last.
OWN = {"django_session", "accounts_signin"}
TRAIL = {"audits_entry", "audits_head"}


class Examiner(Visitor):
    """Begins at the admin's page of a provider, and comes back where everybody does."""

    def __init__(self, provider: LyingProvider, row: IdentityProvider) -> None:
        super().__init__(provider, row.provider_id)
        self.row = row
        self.admin = f"/admin/accounts/identityprovider/{row.pk}/"

    def begin_test(self) -> HttpResponse:
        return self.start_from(self.client.post(f"{self.admin}rehearse/"))

    def test(self, **values: str) -> HttpResponse:
        self.begin_test()
        return self.come_back(**values)

    @property
    def report(self) -> dict[str, Any]:
        kept: dict[str, Any] = self.client.session["netra_rehearsal"]["report"]
        return kept

    @property
    def page(self) -> str:
        return self.client.get(f"{self.admin}rehearsal/").content.decode()

    def check(self) -> dict[str, tuple[str, str]]:
        """Code → grade and sentence of each finding of the set-up check."""
        response = self.client.post(f"{self.admin}check/")
        assert response.status_code == 200, response
        response.content.decode()
        found = response.context_data["findings"]
        return {each.code: (str(each.grade), each.said) for each in found}


def tables() -> dict[str, tuple[int, str]]:
    """How many rows each table has, and a digest of them; without the tester's own session."""
    found = {}
    with TESTS:
        for model in apps.get_models(include_auto_created=True):
            if model._meta.proxy or model._meta.db_table in OWN:
                continue
            rows = sorted(map(repr, model._base_manager.values_list()))
            digest = hashlib.sha256("\n".join(rows).encode()).hexdigest()
            found[model._meta.db_table] = (len(rows), digest)
    return found


def changed(before: dict[str, tuple[int, str]]) -> set[str]:
    after = tables()
    return {name for name in after if after[name] != before[name]}


def entries(act: str = "provider_tested") -> list[dict[str, Any]]:
    with TESTS:
        return [json.loads(row.body) for row in Entry.objects.filter(act=act)]


def rules(report: dict[str, Any]) -> dict[str, str]:
    return {asked["rule"]: asked["grade"] for asked in report["rules"]}
