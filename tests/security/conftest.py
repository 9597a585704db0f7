"""Who asks: a stranger, a member, and staff that may do everything."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import User
from tests import factories


@pytest.fixture
def operator(netra) -> User:
    """Staff for whom every page of the admin opens."""
    user = factories.person("root@netra.example", netra, is_staff=True)
    user.is_superuser = True
    user.save(update_fields=["is_superuser"])
    return user


@pytest.fixture
def visitors(bob, operator) -> dict[str, Client]:
    """Clients by who they are; a fault of ours is an answer to them, not an exception."""
    people = {"stranger": None, "member": bob, "staff": operator}
    found = {}
    for name, person in people.items():
        found[name] = Client(raise_request_exception=False)
        if person is not None:
            found[name].force_login(person)
    return found


@pytest.fixture
def ids(bob_principal) -> dict[str, str]:
    """Ids of rows that the member may read, by the name that routes give them."""
    thread = factories.thread(bob_principal, "A question")
    standing = factories.ended(bob_principal, stream_id=thread.pk)
    return {"thread_id": str(thread.pk), "execution_id": str(standing.id)}
