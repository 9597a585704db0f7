"""A chain begins later only where its newest entry says so, and nothing of the last day goes at all.

Retention runs in the server, so the application's role may delete what lies before the cut: this
binds the cut itself. It also names tables in full, since a temporary one would be found first.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = ("audits_entry", "audits_checkpoint")
# Retention keeps whole days, one at least; an hour is for clocks that differ.
POSTGRESQL = """
CREATE OR REPLACE FUNCTION audits_keep() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $keep$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < statement_timestamp() - interval '23 hours' THEN
        PERFORM 1 FROM public.audits_head
         WHERE organisation_id = OLD.organisation_id AND first_kept > OLD.seq;
        IF FOUND THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'netra: % is append-only', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$keep$
"""
POSTGRESQL_HEAD = """
CREATE FUNCTION audits_keep_head() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $keep$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.first_kept = 1 THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.organisation_id = OLD.organisation_id THEN
        IF NEW.first_kept <= OLD.first_kept THEN
            RETURN NEW;
        END IF;
        PERFORM 1 FROM public.audits_entry
         WHERE organisation_id = NEW.organisation_id AND seq = NEW.seq
           AND act = 'trail_cut' AND target = 'entry:' || NEW.first_kept;
        IF FOUND THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'netra: a chain is cut by a sealed entry only'
        USING ERRCODE = 'integrity_constraint_violation';
END
$keep$
"""
POSTGRESQL_TRIGGER = """CREATE TRIGGER audits_head_keep
    BEFORE INSERT OR UPDATE OR DELETE ON audits_head
    FOR EACH ROW EXECUTE FUNCTION audits_keep_head()"""
BEFORE_POSTGRESQL = """
CREATE OR REPLACE FUNCTION audits_keep() RETURNS trigger LANGUAGE plpgsql AS $keep$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM 1 FROM audits_head
         WHERE organisation_id = OLD.organisation_id AND first_kept > OLD.seq;
        IF FOUND THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'netra: % is append-only', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END
$keep$
"""
SQLITE_TABLE = """CREATE TRIGGER {table}_keep_all BEFORE DELETE ON {table} WHEN {young} NOT EXISTS (
        SELECT 1 FROM audits_head
        WHERE organisation_id = OLD.organisation_id AND first_kept > OLD.seq
    ) BEGIN SELECT RAISE(ABORT, 'netra: {table} is append-only'); END"""
YOUNG = "OLD.at >= datetime('now', '-23 hours') OR"
REFUSED = (
    "BEGIN SELECT RAISE(ABORT, 'netra: a chain is cut by a sealed entry only'); END"
)
SQLITE_HEAD = (
    f"CREATE TRIGGER audits_head_keep BEFORE DELETE ON audits_head {REFUSED}",
    f"""CREATE TRIGGER audits_head_keep_new BEFORE INSERT ON audits_head
    WHEN NEW.first_kept <> 1 {REFUSED}""",
    f"""CREATE TRIGGER audits_head_keep_cut BEFORE UPDATE ON audits_head
    WHEN NEW.organisation_id <> OLD.organisation_id
        OR NEW.first_kept > OLD.first_kept AND NOT EXISTS (
            SELECT 1 FROM audits_entry
            WHERE organisation_id = NEW.organisation_id AND seq = NEW.seq
              AND act = 'trail_cut' AND target = 'entry:' || NEW.first_kept
        ) {REFUSED}""",  # noqa: S608 - words of our own
)


def guard(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        for statement in (POSTGRESQL, POSTGRESQL_HEAD, POSTGRESQL_TRIGGER):
            editor.execute(statement, params=None)  # they hold a %
        return
    _set_sqlite_tables(editor, young=YOUNG)
    for statement in SQLITE_HEAD:
        editor.execute(statement, params=None)


def unguard(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute("DROP TRIGGER audits_head_keep ON audits_head", params=None)
        editor.execute("DROP FUNCTION audits_keep_head()", params=None)
        editor.execute(BEFORE_POSTGRESQL, params=None)
        return
    _set_sqlite_tables(editor, young="")
    for name in ("keep", "keep_new", "keep_cut"):
        editor.execute(f"DROP TRIGGER audits_head_{name}", params=None)


def _set_sqlite_tables(editor: BaseDatabaseSchemaEditor, *, young: str) -> None:
    for table in TABLES:
        editor.execute(f"DROP TRIGGER {table}_keep_all", params=None)
        editor.execute(SQLITE_TABLE.format(table=table, young=young), params=None)


class Migration(migrations.Migration):
    dependencies = [("audits", "0003_guarded_rows")]
    operations = [migrations.RunPython(guard, unguard)]
