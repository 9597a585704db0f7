"""The rules of the house that a linter does not know, read from the source itself."""

from __future__ import annotations

import ast
import re
from functools import cache

import grimp
import pytest

from apps.accounts.plans import PLANS, Tier
from apps.core.events import wiring
from apps.executions.states import (
    PHASES,
    TERMINAL,
    TERMINAL_EVENTS,
    TRANSITIONS,
    WORDS,
    ExecutionState,
    Phase,
)
from tests.liberties import RAW_SQL, SYSTEM_SCOPES, WRITERS
from tests.sources import COLUMN, ROOT, Source, called, everything, product

# -- files and functions -------------------------------------------------------------

VAGUE = {
    "utils",
    "util",
    "helpers",
    "helper",
    "misc",
    "common",
    "base",
    "manager",
    "service",
}


def test_no_file_is_longer_than_400_lines() -> None:
    long = {s.file: n for s in everything() if (n := len(s.text.splitlines())) > 400}

    assert long == {}


def test_no_function_of_the_product_is_longer_than_50_lines() -> None:
    long = {
        f"{source.module}.{node.name}": length
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > 50
    }

    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    parts = {source.file: set(source.module.split(".")) for source in everything()}
    vague = {
        file
        for file, names in parts.items()
        if names & VAGUE or names & {f"{name}s" for name in VAGUE}
    }

    # Django asks for this name
    assert vague == {"apps/core/postgresql/base.py", "apps/core/sqlite/base.py"}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        source.file for source in everything() if not ast.get_docstring(source.tree)
    ]

    assert silent == []


def test_no_migration_has_the_name_that_django_made_up() -> None:
    names = [path.stem for path in (ROOT / "apps").glob("*/migrations/0*.py")]

    assert names
    assert [name for name in names if re.search(r"_auto_\d|_and_more$", name)] == []


# -- who imports whom ----------------------------------------------------------------

# Doors and wiring of an app: only its own app and netra know them.
PRIVATE = {
    "adapter", "admin", "apps", "checks", "consumers", "management", "middleware", "migrations",
    "receivers", "surfaces", "tasks",
}  # fmt: skip


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("netra", "apps", cache_dir=None)


def test_apps_import_only_the_public_modules_of_other_apps() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer in sorted(graph().modules)
        for imported in sorted(graph().find_modules_directly_imported_by(importer))
        if importer.startswith("apps.")
        and imported.startswith("apps.")
        and importer.split(".")[1] != imported.split(".")[1]
        and PRIVATE & set(imported.split(".")[2:])
        # bases and a registry, made to be shared
        and not imported.startswith(("apps.core.admin", "apps.core.surfaces"))
    ]

    assert wrong == []


def test_apps_import_only_from_below() -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer in sorted(graph().modules)
        for imported in sorted(graph().find_modules_directly_imported_by(importer))
        if _height(importer) < _height(imported)
    ]

    assert wrong == []


def _height(module: str) -> int:
    parts = module.split(".")
    if parts[0] == "netra":
        return len(COLUMN)
    return COLUMN.index(parts[1]) if len(parts) > 1 else 0


def test_the_column_names_every_app_there_is() -> None:
    folders = {path.parent.name for path in (ROOT / "apps").glob("*/apps.py")}

    assert folders == set(COLUMN)


# -- events ----------------------------------------------------------------------------


def test_who_hears_what_is_exactly_this() -> None:
    assert wiring() == {
        "bells": {
            "AccessEnded": ["apps.executions.receivers.drop_views"],
            "ExecutionCancelRequested": ["apps.executions.receivers.stop_execution"],
            "ExecutionFinished": [
                "apps.chat.receivers.release_next_question",
                "apps.issues.receivers.group_failure",
            ],
            "ExecutionQueued": ["apps.executions.receivers.wake_runner"],
        },
        "projectors": {
            "AccessEnded": ["apps.accounts.receivers.end_sessions"],
            "ExecutionFinished": [
                "apps.chat.receivers.write_reply",
                "apps.usage.receivers.record_own_usage",
            ],
        },
    }


# -- states ----------------------------------------------------------------------------

MOVER = "apps/executions/moves.py"


QUEUER = "apps/executions/actions.py"  # inserts rows, and asks to stop


def test_only_executions_moves_changes_a_state() -> None:
    wrong = [
        f"{source.file}:{line}"
        for source in product()
        if source.file not in {MOVER, QUEUER}
        for line in [*_assigned_states(source), *_written_states(source)]
    ]

    assert wrong == []


def test_only_move_names_a_state_among_new_values() -> None:
    functions = {
        node.name
        for source in product()
        if source.file in {MOVER, QUEUER}
        for node in source.tree.body
        if isinstance(node, ast.FunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Dict)
        and any(
            isinstance(key, ast.Constant) and key.value == "state" for key in inner.keys
        )
    }

    # _fenced and request_cancel name it in their conditions.
    assert functions == {"move", "_fenced", "request_cancel"}


def test_the_search_for_changed_states_finds_them() -> None:
    text = (
        "row.state = 'failed'\nsetattr(row, 'state', x)\nrows.update(state=x)\n"
        "sql.swap(Execution, where=w, values=v)\nrow['state'] = x\nExecution(state=x)\n"
    )
    source = Source(ROOT / "x.py", text, ast.parse(text))

    assert sorted([*_assigned_states(source), *_written_states(source)]) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def _assigned_states(source: Source) -> list[int]:
    targets = [
        target
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return [
        target.lineno
        for target in targets
        if (isinstance(target, ast.Attribute) and target.attr == "state")
        or (isinstance(target, ast.Subscript) and _is_state(target.slice))
    ]


WRITES = {
    "update",
    "create",
    "get_or_create",
    "update_or_create",
    "Execution",
    "replace",
}


def _written_states(source: Source) -> list[int]:
    lines = []
    for call in source.calls():
        name, keywords = called(call), {keyword.arg for keyword in call.keywords}
        first = ast.unparse(call.args[0]) if call.args else ""
        if (
            (name in WRITES and "state" in keywords)
            or (name in {"swap", "insert"} and first == "Execution")
            or (name == "setattr" and len(call.args) > 1 and _is_state(call.args[1]))
        ):
            lines.append(call.lineno)
    return lines


def _is_state(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == "state"


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        pytest.param(TRANSITIONS, set(ExecutionState), id="TRANSITIONS"),
        pytest.param(WORDS, set(ExecutionState), id="WORDS"),
        pytest.param(PHASES, {None, *Phase}, id="PHASES"),
        pytest.param(TERMINAL_EVENTS, set(TERMINAL), id="TERMINAL_EVENTS"),
        pytest.param(PLANS, set(Tier), id="PLANS"),
    ],
)
def test_tables_keyed_by_an_enum_are_complete(table: dict, keys: set) -> None:
    assert set(table) == keys


# -- database --------------------------------------------------------------------------


def test_raw_sql_stands_in_few_modules_only() -> None:
    wrong = [
        f"{source.file}:{call.lineno}"
        for source in product()
        if source.file not in RAW_SQL
        for call in source.calls()
        if called(call) in {"cursor", "raw", "RawSQL", "extra", "executescript"}
    ]

    assert wrong == []


ORM_WRITES = {
    "create", "update", "delete", "save", "get_or_create", "update_or_create", "bulk_create",
    "bulk_update",
}  # fmt: skip


def test_only_actions_and_their_like_write() -> None:
    wrong = [
        f"{source.file}:{call.lineno}"
        for source in product()
        if not WRITERS & set(source.module.split(".")) and "demo" not in source.module
        for call in source.calls()
        if called(call) in ORM_WRITES and ".objects." in ast.unparse(call.func)
    ]

    assert wrong == []


@pytest.mark.security
def test_scopes_over_all_organisations_are_opened_only_where_listed() -> None:
    opening = {
        source.module
        for source in product()
        for call in source.calls()
        if isinstance(call.func, ast.Name)
        and call.func.id == "system"
        and "from apps.core.tenancy import" in source.text
    }

    assert opening == SYSTEM_SCOPES


@pytest.mark.security
def test_nothing_goes_round_the_scopes() -> None:
    wrong = [
        f"{source.file}: {word}"
        for source in product()
        if source.file != "apps/core/tenancy.py"
        for word in ("scopes_disabled", "django_scopes", "_base_manager", "_raw_delete")
        if word in source.text
    ]

    assert wrong == []


# -- the event loop --------------------------------------------------------------------


def test_every_task_that_is_started_is_held() -> None:
    dropped = [
        f"{source.file}:{node.lineno}"
        for source in product()
        for node in ast.walk(source.tree)
        if (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
        and called(node.value)
        in {"create_task", "ensure_future", "run_coroutine_threadsafe"}
    ]

    assert dropped == []


def test_nothing_is_swallowed() -> None:
    """`except: pass` and bare excepts swallow what they should explain."""
    swallowed = [
        f"{source.file}:{node.lineno}"
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or [type(child) for child in node.body] == [ast.Pass])
    ]

    assert swallowed == []
