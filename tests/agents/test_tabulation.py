"""Results are cut to eight kibibytes: names first, then the least of each list."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from apps.agents import tabulation


def size(result):
    return len(json.dumps(result, ensure_ascii=False).encode())


def test_a_small_result_is_left_as_it_is():
    result = {"rows": [{"name": "a", "calls": 1}], "total": None}

    assert tabulation.fit(result) == result


def test_long_texts_are_cut_wherever_they_stand():
    fitted = tabulation.fit({"rows": [{"name": "x" * 500}], "label": "y" * 500})

    assert fitted == {"rows": [{"name": "x" * 120}], "label": "y" * 120}


def test_of_ranked_rows_the_first_are_kept_and_of_days_the_last():
    rows = [{"name": f"{n}-{'x' * 100}"} for n in range(200)]

    ranked = tabulation.fit({"by": "feature", "rows": rows})
    daily = tabulation.fit({"by": "day", "rows": rows})

    assert ranked["shortened"] is daily["shortened"] is True
    assert ranked["rows"] == rows[: len(ranked["rows"])] != []
    assert daily["rows"] == rows[-len(daily["rows"]) :] != []


def test_what_holds_no_list_cannot_be_shortened_further():
    result = {f"key {n}": "x" * 120 for n in range(100)}

    assert tabulation.fit(result) == result


@given(
    st.dictionaries(
        st.sampled_from("abc"), st.lists(st.text(max_size=300), max_size=60)
    )
)
def test_any_lists_of_texts_fit(result):
    assert size(tabulation.fit(result)) <= tabulation.RESULT_BYTES
