"""Keys: made once and whole, private, the newest found by number."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from apps.core import keys
from apps.core.keys import PURPOSES, KeyStore, KeyStoreError


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "a" / "keys")


def test_the_first_start_makes_every_key_and_keeps_them(store: KeyStore) -> None:
    store.ensure(may_create=True)
    first = {name: store.read(name) for name in PURPOSES}

    store.ensure(may_create=True)

    assert {name: store.read(name) for name in PURPOSES} == first
    assert len(set(first.values())) == len(PURPOSES)
    assert sorted(path.name for path in store.folder.iterdir()) == sorted(PURPOSES)


def test_missing_keys_are_named_and_not_made_where_that_is_forbidden(
    store: KeyStore,
) -> None:
    with pytest.raises(KeyStoreError, match="secret, fields-1, trail-1, signing-1"):
        store.ensure(may_create=False)

    assert not store.folder.exists()


def test_one_lost_key_is_not_replaced_where_that_is_forbidden(store: KeyStore) -> None:
    store.ensure(may_create=True)
    (store.folder / "trail-1").unlink()

    with pytest.raises(KeyStoreError, match="the keys trail-1 are missing"):
        store.ensure(may_create=False)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_keys_are_private_whatever_the_umask(umask: int, store: KeyStore) -> None:
    import os

    before = os.umask(umask)
    try:
        store.ensure(may_create=True)
    finally:
        os.umask(before)

    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in store.folder.iterdir()} == {0o600}


def test_many_starts_at_once_agree_on_one_set_of_keys(store: KeyStore) -> None:
    seen, ready = [], threading.Barrier(8)

    def starts() -> None:
        ready.wait(10)
        store.ensure(may_create=True)
        seen.append(tuple(store.read(name) for name in PURPOSES))

    threads = [threading.Thread(target=starts) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_a_key_is_never_there_in_part(store: KeyStore, monkeypatch) -> None:
    def killed(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys.os, "link", killed)

    with pytest.raises(KeyStoreError, match="No space left"):
        store.ensure(may_create=True)
    assert not any((store.folder / name).exists() for name in PURPOSES)


def test_a_key_is_on_the_disk_before_its_name_and_its_name_before_it_is_used(
    store: KeyStore, monkeypatch
) -> None:
    """A power cut after the first secret was sealed must not take the only key to it."""
    done: list[str] = []
    sync, link = keys.os.fsync, keys.os.link

    def synced(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(keys.os.fstat(descriptor).st_mode) else "key"
        done.append(kind)
        sync(descriptor)

    def linked(*places: Path) -> None:
        done.append("name")
        link(*places)

    monkeypatch.setattr(keys.os, "fsync", synced)
    monkeypatch.setattr(keys.os, "link", linked)

    store.ensure(may_create=True)

    assert done == ["key", "name", "folder"] * len(PURPOSES)


def test_an_empty_or_unreadable_key_is_refused_by_name(store: KeyStore) -> None:
    store.ensure(may_create=True)
    (store.folder / "secret").write_text(" \n")

    with pytest.raises(KeyStoreError, match=r"'secret' .* is empty"):
        store.read("secret")
    with pytest.raises(KeyStoreError, match="cannot read the key 'absent'"):
        store.read("absent")


def test_the_newest_key_has_the_highest_number(store: KeyStore) -> None:
    store.ensure(may_create=True)
    for name in ("fields-2", "fields-10", "fields-old"):
        (store.folder / name).write_text("ab")

    assert store.newest("fields") == "fields-10"


def test_a_purpose_without_a_key_is_an_error(store: KeyStore) -> None:
    with pytest.raises(KeyStoreError, match="no fields key"):
        store.newest("fields")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(KeyStoreError, match="cannot make the key 'secret'"):
        KeyStore(tmp_path / "file" / "keys").ensure(may_create=True)


def test_a_next_key_has_the_next_number_and_the_older_ones_stay(
    store: KeyStore,
) -> None:
    store.ensure(may_create=True)
    before = store.read("fields-1")

    assert [store.add("fields"), store.add("fields")] == ["fields-2", "fields-3"]
    assert store.all("fields") == ["fields-3", "fields-2", "fields-1"]
    assert store.read("fields-1") == before
    assert len({store.read(name) for name in store.all("fields")}) == 3


def test_the_first_secret_has_no_number_and_stands_last(store: KeyStore) -> None:
    store.ensure(may_create=True)

    assert store.all("secret") == ["secret"]
    assert store.add("secret") == "secret-2"
    assert store.all("secret") == ["secret-2", "secret"]


def test_a_key_whose_successor_is_there_is_not_missed(store: KeyStore) -> None:
    store.ensure(may_create=True)
    store.add("fields")
    (store.folder / "fields-1").unlink()

    store.ensure(may_create=False)

    assert store.all("fields") == ["fields-2"]
