"""`manage.py backup`: a whole copy, while others write; nothing is replaced unasked."""

from __future__ import annotations

import io
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.accounts.models import Organisation
from apps.core.management.commands import backup
from apps.core.sqlite import upkeep
from apps.core.tenancy import system

TESTS = system("backup tests")
on_sqlite = [
    pytest.mark.skipif(connection.vendor != "sqlite", reason="it copies SQLite only"),
    pytest.mark.live,
    pytest.mark.usefixtures("committed"),
]


def run(*arguments: object) -> str:
    out = io.StringIO()
    call_command("backup", *(str(each) for each in arguments), stdout=out)
    return out.getvalue()


def slugs(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as copy:
        return {
            row[0] for row in copy.execute("SELECT slug FROM accounts_organisation")
        }


def add(slug: str) -> None:
    Organisation.objects.create(slug=slug, name=slug)


class TestOnSqlite:
    pytestmark = on_sqlite

    def test_the_copy_holds_everything_and_says_what_it_holds_not(
        self, tmp_path: Path, settings
    ) -> None:
        add("one")
        file = tmp_path / "copy.sqlite3"

        said = run(file)

        assert slugs(file) == {"one"}
        assert f"{file.stat().st_size:,} bytes in " in said
        assert f"keys in {settings.NETRA_KEYS} are not included" in said
        assert [path.name for path in tmp_path.iterdir()] == ["copy.sqlite3"]

    def test_nobody_else_may_read_the_copy(self, tmp_path: Path) -> None:
        run(tmp_path / "copy.sqlite3")

        assert stat.S_IMODE((tmp_path / "copy.sqlite3").stat().st_mode) == 0o600

    def test_what_is_written_meanwhile_is_neither_held_up_nor_half_there(
        self, tmp_path: Path
    ) -> None:
        stop, written = threading.Event(), []

        def write_on() -> None:
            while not stop.is_set():
                add(f"o{len(written)}")
                written.append(1)
            connection.close()

        writing = threading.Thread(target=write_on, daemon=True)
        writing.start()
        try:
            for n in range(5):
                run(tmp_path / f"copy-{n}.sqlite3")
        finally:
            stop.set()
            writing.join(10)

        sizes = [len(slugs(tmp_path / f"copy-{n}.sqlite3")) for n in range(5)]
        assert sizes == sorted(sizes)
        assert written
        for n, size in enumerate(sizes):
            found = slugs(tmp_path / f"copy-{n}.sqlite3")
            assert found == {f"o{m}" for m in range(size)}, "one moment, without gaps"

    def test_a_file_that_is_there_is_replaced_only_by_force(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "copy.sqlite3"
        run(file)
        add("newer")

        with pytest.raises(CommandError, match="--force"):
            run(file)
        assert slugs(file) == set()

        run(file, "--force")
        assert slugs(file) == {"newer"}

    def test_the_database_itself_is_never_replaced(self) -> None:
        with pytest.raises(CommandError, match="the database itself"):
            run(connection.settings_dict["NAME"], "--force")

    @pytest.mark.parametrize("place", ["absent/copy.sqlite3", "."])
    def test_a_place_that_will_not_do_is_named(
        self, place: str, tmp_path: Path
    ) -> None:
        with pytest.raises(CommandError, match="folder"):
            run(tmp_path / place)

    def test_a_damaged_copy_is_not_left_behind(
        self, tmp_path: Path, monkeypatch
    ) -> None:
        check = upkeep._check

        def after_damage(part: Path) -> None:
            size = part.stat().st_size
            with part.open("r+b") as raw:
                raw.seek(4096)
                raw.write(b"\xff" * (size - 4096))
            check(part)

        monkeypatch.setattr(upkeep, "_check", after_damage)
        with pytest.raises(CommandError, match="is damaged"):
            run(tmp_path / "copy.sqlite3")
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_that_cannot_take_it_is_told_in_words(
        self, tmp_path: Path, monkeypatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(upkeep, "_sync", full)
        with pytest.raises(CommandError, match="No space left"):
            run(tmp_path / "copy.sqlite3")
        assert list(tmp_path.iterdir()) == []


def test_on_postgresql_it_says_which_command_does_it(
    monkeypatch, tmp_path: Path
) -> None:
    given = {
        "NAME": "the netra", "HOST": "db.example", "PORT": 5433, "USER": "netra", "PASSWORD": "hush",
    }  # fmt: skip

    class Elsewhere:
        vendor = "postgresql"
        settings_dict = given

    monkeypatch.setattr(backup, "connection", Elsewhere())

    with pytest.raises(CommandError) as refused:
        run(tmp_path / "netra.dump")

    said = str(refused.value)
    assert (
        f"pg_dump --format=custom --file={tmp_path}/netra.dump --host=db.example "
        "--port=5433 --username=netra 'the netra'"
    ) in said
    assert "hush" not in said
    assert refused.value.returncode == 1
