"""The four roles of staff and the permissions of each: a table of facts."""

from __future__ import annotations

LISTS = (
    "executions.execution",
    "executions.breaker",
    "chat.thread",
    "agents.agent",
    "usage.record",
    "issues.issue",
    "audits.receipt",
    "accounts.organisation",
    "core.flag",
)
PEOPLE = (
    "accounts.user",
    "accounts.membership",
    "accounts.identityprovider",
    "accounts.identity",
    "accounts.token",
    "auth.group",
)


def _may(verb: str, *models: str) -> frozenset[str]:
    return frozenset(
        f"{app}.{verb}_{model}" for app, _, model in (m.partition(".") for m in models)
    )


# `change` of an execution allows to cancel it, of a breaker to close it; nobody edits one.
ROLES: dict[str, frozenset[str]] = {
    "support_viewer": _may("view", *LISTS),
    "support_operator": _may("view", *LISTS) | _may("change", "executions.execution"),
    "security_auditor": _may("view", *LISTS, *PEOPLE),
    "platform_admin": _may("view", *LISTS, *PEOPLE)
    | _may("change", "executions.execution", "accounts.organisation")
    | _may("add", "accounts.organisation", "accounts.user", "accounts.membership")
    | _may("change", "accounts.user", "accounts.membership")
    | _may("delete", "accounts.membership")
    | _may("add", "accounts.identityprovider")
    | _may("change", "accounts.identityprovider", "accounts.identity")
    | _may("change", "accounts.token", "agents.agent", "core.flag")
    | _may("change", "executions.breaker")
    | _may("add", "core.flag")
    | _may("delete", "core.flag"),
}
