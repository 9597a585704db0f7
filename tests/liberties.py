"""Which modules of the product may do what all others may not. Short lists; adding to one is a decision."""

from __future__ import annotations

RAW_SQL = {
    "apps/core/sql.py",
    "apps/core/sqlite/base.py",
    "apps/core/sqlite/upkeep.py",
    "apps/core/policies.py",
    "apps/core/postgresql/base.py",
    "apps/core/roles.py",
}

# Which modules write rows.
WRITERS = {
    "actions",
    "moves",
    "receipts",
    "endings",
    "epochs",
    "journal",
    "receivers",
    "retention",
    "ledger",
    "breakers",
    "approvals",
    "steps",
    "trail",
    "grants",
}

# Where a scope over all organisations is opened, and nowhere else (ARCHITECTURE 6).
SYSTEM_SCOPES = {
    "apps.audits.isolation.links",  # rows that point at another organisation's
    "apps.audits.checkpoints",  # which chains have news
    "apps.audits.retention",  # trails that reach back too far
    "apps.audits.verification",  # every chain, read only
    "apps.accounts.access",  # from a credential to a person
    "apps.accounts.callers",  # whose directory calls
    "apps.accounts.management.commands.rotate_keys",  # the secrets of all
    "apps.accounts.management.commands.setup_admin",
    "apps.accounts.proving",  # which domain is to be checked again
    "apps.accounts.validity",  # whose sessions hold: organisations set their limits
    "apps.chat.connections",  # who may stay connected
    "apps.chat.consumers",
    "apps.chat.delivery",  # the newest numbers of watched streams
    "apps.chat.ledger",  # one batch for all connections of a process
    "apps.chat.queries",  # numbers and lengths of messages, for staff
    "apps.chat.sweeper",
    "apps.executions.breakers",  # providers belong to no organisation
    "apps.executions.management.commands.restored",
    "apps.executions.recovery",
    "apps.executions.retention",  # logs that reach back too far
    "apps.executions.runner",
    "apps.executions.tracker",  # whose views are void
    "apps.issues.surfaces",  # a canary's issue takes a number of the common row
    "apps.issues.sweeper",  # all issues share one row of numbers
    "apps.ops.demo.seed",
    "apps.ops.health",  # counts only
    "apps.ops.invariants",  # what must hold in every organisation; a command
}
