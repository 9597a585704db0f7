"""The five roles of staff and the permissions of each: a table of facts."""

from __future__ import annotations

LISTS = (
    "executions.execution",
    "executions.breaker",
    "chat.thread",
    "agents.agent",
    "usage.record",
    "issues.issue",
    "audits.receipt",
    "audits.accessgrant",
    "accounts.organisation",
    "core.flag",
)
TRAIL = ("audits.entry", "audits.checkpoint")
PEOPLE = (
    "accounts.user",
    "accounts.membership",
    "accounts.identityprovider",
    "accounts.identity",
    "accounts.domain",
    "accounts.token",
    "accounts.signin",
    "accounts.scimtoken",
    "accounts.directoryuser",
    "accounts.directorygroup",
    "auth.group",
)


def _may(verb: str, *models: str) -> frozenset[str]:
    return frozenset(
        f"{app}.{verb}_{model}" for app, _, model in (m.partition(".") for m in models)
    )


GRANT = "audits.accessgrant"
OPERATOR = (
    _may("view", *LISTS)
    | _may("change", "executions.execution")
    | _may("request", GRANT)
)
# `change` of an execution allows to cancel it, of a breaker to close it; nobody edits one.
ROLES: dict[str, frozenset[str]] = {
    "support_viewer": _may("view", *LISTS),
    "support_operator": OPERATOR,
    "support_lead": OPERATOR | _may("decide", GRANT) | _may("review", GRANT),
    "security_auditor": _may("view", *LISTS, *PEOPLE, *TRAIL) | _may("review", GRANT),
    "platform_admin": _may("view", *LISTS, *PEOPLE, *TRAIL)
    | _may("request", GRANT)
    | _may("decide", GRANT)
    | _may("review", GRANT)
    | _may("change", "executions.execution", "accounts.organisation")
    | _may("add", "accounts.organisation", "accounts.user", "accounts.membership")
    | _may("change", "accounts.user", "accounts.membership")
    | _may("delete", "accounts.membership")
    | _may("add", "accounts.identityprovider")
    | _may("change", "accounts.identityprovider", "accounts.identity")
    | _may("delete", "accounts.identity")  # to unlink it
    | _may("add", "accounts.domain")
    | _may("change", "accounts.domain")
    | _may("delete", "accounts.domain")
    | _may("change", "accounts.token", "accounts.signin", "agents.agent", "core.flag")
    | _may("add", "accounts.scimtoken")
    | _may("change", "accounts.scimtoken", "accounts.directorygroup")
    | _may("change", "executions.breaker")
    | _may("add", "core.flag")
    | _may("delete", "core.flag"),
}
