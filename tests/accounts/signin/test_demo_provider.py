"""The provider of the demo shows our own pages, which fetch nothing from the network."""

from __future__ import annotations

import pytest

from apps.accounts.signin import provider

PAGES = sorted(provider.TEMPLATES.glob("*"))


def test_there_are_pages_of_our_own():
    assert PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_of_ours_stands_in_for_the_stock_one_and_names_no_other_host(page):
    app = provider.application()

    source, file, _ = app.jinja_loader.get_source(app.jinja_env, page.name)

    assert file == str(page)
    assert "//" not in source.replace("<!--", "")
