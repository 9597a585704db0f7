"""Each migration can be undone, and while it runs the release before goes on working.

A rolling upgrade has both releases on one database: what is older neither knows new columns nor
does without those that went. What takes two releases says so in the migration: `two_steps = "why"`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, connections, migrations, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from tests import roles

OURS = {
    config.label for config in apps.get_app_configs() if config.name.startswith("apps.")
}
Schema = dict[str, tuple[Any, ...]]


# -- there and back ----------------------------------------------------------------------


@contextmanager
def scratch(folder: Path) -> Iterator[BaseDatabaseWrapper]:
    """An empty database of the kind that the tests run on, under an alias of its own."""
    kept = connection.settings_dict
    name = (
        str(folder / "scratch.sqlite3")
        if connection.vendor == "sqlite"
        else f"netra_scratch_{uuid.uuid4().hex[:12]}"
    )
    quoted = connection.ops.quote_name(name)
    if connection.vendor == "postgresql":
        with roles.connected() as raw:
            raw.execute(f"CREATE DATABASE {quoted}")  # type: ignore[call-overload]  # ours
    connections.settings["scratch"] = {
        **kept,
        "NAME": name,
        "OPTIONS": roles.owners(
            {k: v for k, v in kept["OPTIONS"].items() if k != "pool"}
        ),
    }
    try:
        yield connections["scratch"]
    finally:
        connections["scratch"].close()
        del connections["scratch"], connections.settings["scratch"]
        if connection.vendor == "postgresql":
            with roles.connected() as raw:
                raw.execute(f"DROP DATABASE {quoted} WITH (FORCE)")  # type: ignore[call-overload]


def schema_of(database: BaseDatabaseWrapper) -> Schema:
    """Tables of ours with their columns, constraints and indexes."""
    inspect, found = database.introspection, {}
    with database.cursor() as cursor:
        for table in inspect.table_names(cursor):
            if table.partition("_")[0] not in OURS:
                continue
            columns = inspect.get_table_description(cursor, table)
            rules = inspect.get_constraints(cursor, table)
            found[table] = (
                sorted((c.name, str(c.type_code), c.null_ok) for c in columns),
                sorted(
                    (str(rule["columns"]), rule["unique"], rule["check"], rule["index"])
                    for rule in rules.values()
                ),
            )
    return found


def migrate(database: BaseDatabaseWrapper, *targets: tuple[str, str | None]) -> None:
    """To the targets; without any, all of ours with what they need of others."""
    executor = MigrationExecutor(database)
    newest = [key for key in executor.loader.graph.leaf_nodes() if key[0] in OURS]
    executor.migrate(list(targets) or newest)


def test_all_migrations_are_undone_and_done_again(tmp_path, django_db_blocker):
    with django_db_blocker.unblock(), scratch(tmp_path) as database:
        migrate(database)
        there = schema_of(database)

        migrate(
            database, *((app, name) for app, name in own_migrations() if is_first(name))
        )
        before = schema_of(database)
        migrate(database, *((app, None) for app in sorted(OURS)))
        nothing_left = schema_of(database)
        migrate(database)
        again = schema_of(database)

    assert set(there) >= {model._meta.db_table for model in own_models()}
    assert before != there
    assert nothing_left == {}
    assert again == there


def is_first(name: str) -> bool:
    return name.startswith("0001")


def own_models() -> list[type[models.Model]]:
    return [model for model in apps.get_models() if model._meta.app_label in OURS]


def own_migrations() -> list[tuple[str, str]]:
    loader = MigrationLoader(None)
    return sorted(key for key in loader.disk_migrations if key[0] in OURS)


# -- beside the release before -----------------------------------------------------------


def objections(
    operation: Operation, before: ProjectState, app: str, fresh: set[str]
) -> list[str]:
    """What the release before could not live with; `fresh` are names that it does not know."""
    if not operation.reversible:
        return ["it cannot be undone"]
    if isinstance(operation, migrations.AddField):
        if operation.model_name_lower in fresh or _fills_itself(operation.field):
            return []
        return ["rows of the release before would lack the column"]
    if isinstance(operation, migrations.AlterField):
        old = before.models[app, operation.model_name_lower].fields[operation.name]
        return _narrower(old, operation.field)
    if isinstance(operation, migrations.AddConstraint):
        return _unknown_rule(operation, fresh)
    if isinstance(operation, GOES):
        return ["the release before still uses what goes"]
    return []


GOES = (
    migrations.RemoveField,
    migrations.RenameField,
    migrations.DeleteModel,
    migrations.RenameModel,
    migrations.AlterModelTable,
)


def _fills_itself(field: models.Field) -> bool:
    return field.null or field.has_db_default() or field.many_to_many


def _narrower(old: models.Field, new: models.Field) -> list[str]:
    if type(old) is not type(new):
        return ["the type of the column changes"]
    if old.null and not new.null:
        return ["the release before writes nulls"]
    if new.max_length and (old.max_length or new.max_length + 1) > new.max_length:
        return ["the release before writes longer values"]
    return []


def _unknown_rule(operation: migrations.AddConstraint, fresh: set[str]) -> list[str]:
    """A new rule speaks of new columns: the release before keeps no rule that it does not know."""
    table, rule = operation.model_name_lower, operation.constraint
    if table in fresh:
        return []
    named = set(getattr(rule, "fields", ()))
    named |= _columns_in(getattr(rule, "condition", None))
    known = {name for name in named if f"{table}.{name}" not in fresh}
    return [f"it binds known columns: {sorted(known)}"] if known else []


def _columns_in(condition: models.Q | None) -> set[str]:
    found: set[str] = set()
    for child in condition.children if condition else ():
        if isinstance(child, models.Q):
            found |= _columns_in(child)
        else:
            found.add(str(child[0]).partition("__")[0])
    return found


def _remember(operation: Operation, fresh: set[str]) -> None:
    if isinstance(operation, migrations.CreateModel):
        fresh.add(operation.name_lower)
    if isinstance(operation, migrations.AddField):
        fresh.add(f"{operation.model_name_lower}.{operation.name}")


def test_the_release_before_goes_on_working_beside_each_migration():
    loader, found = MigrationLoader(None), {}
    for app, name in own_migrations():
        migration = loader.disk_migrations[app, name]
        if migration.initial or getattr(migration, "two_steps", ""):
            continue
        fresh: set[str] = set()
        state = loader.project_state((app, name), at_end=False)
        for operation in migration.operations:
            if said := objections(operation, state, app, fresh):
                found[f"{app}.{name}: {operation.describe()}"] = said
            _remember(operation, fresh)
            operation.state_forwards(app, state)

    assert found == {}


def test_every_operation_of_a_first_migration_can_be_undone_too():
    loader = MigrationLoader(None)
    stuck = [
        f"{key}: {operation.describe()}"
        for key in own_migrations()
        for operation in loader.disk_migrations[key].operations
        if not operation.reversible
    ]

    assert stuck == []


def nothing(*_: object) -> None:
    """Stands for work on data."""


def thread() -> ProjectState:
    """A release before with one table."""
    state = ProjectState()
    fields = [
        ("id", models.UUIDField(primary_key=True)),
        ("title", models.CharField(max_length=120)),
        ("note", models.CharField(max_length=10, null=True)),
    ]
    migrations.CreateModel("Thread", fields).state_forwards("chat", state)
    return state


def numbered() -> Callable[[Operation], str]:
    """Ids of parameters: what the operation does, and which one of the kind it is."""
    numbers = count(1)
    return lambda operation: f"{operation.describe()} {next(numbers)}"


NEW_CHECK = models.CheckConstraint(
    condition=models.Q(colour__in=["red"]) | models.Q(colour=None), name="x"
)
OLD_CHECK = models.CheckConstraint(condition=~models.Q(title=""), name="y")


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("thread", "colour", models.CharField(max_length=9)),
        migrations.AddField(
            "thread", "colour", models.CharField(max_length=9, default="red")
        ),
        migrations.RemoveField("thread", "title"),
        migrations.RenameField("thread", "title", "name"),
        migrations.DeleteModel("Thread"),
        migrations.RenameModel("Thread", "Conversation"),
        migrations.AlterModelTable("Thread", "threads"),
        migrations.AlterField("thread", "title", models.TextField()),
        migrations.AlterField("thread", "title", models.CharField(max_length=60)),
        migrations.AlterField("thread", "note", models.CharField(max_length=10)),
        migrations.AddConstraint("thread", OLD_CHECK),
        migrations.AddConstraint(
            "thread", models.UniqueConstraint(fields=["title"], name="z")
        ),
        migrations.RunPython(nothing),
        migrations.RunSQL("SELECT 1"),
    ],
    ids=numbered(),
)
def test_what_the_release_before_could_not_live_with_is_found(operation):
    assert objections(operation, thread(), "chat", {"thread.colour"})


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("thread", "x", models.CharField(max_length=9, null=True)),
        migrations.AddField(
            "thread", "x", models.CharField(max_length=9, db_default="red")
        ),
        migrations.AddField("letter", "x", models.CharField(max_length=9)),
        migrations.AlterField("thread", "title", models.CharField(max_length=200)),
        migrations.AddConstraint("thread", NEW_CHECK),
        migrations.AddIndex("thread", models.Index(fields=["title"], name="i")),
        migrations.RunPython(nothing, nothing),
    ],
    ids=numbered(),
)
def test_what_it_can_live_with_is_not_objected_to(operation):
    fresh = {"thread.colour", "letter"}

    assert objections(operation, thread(), "chat", fresh) == []
