"""The tools: right figures, one tenant, refused arguments, small results."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.utils import timezone

from apps.agents import tabulation, toolbox
from apps.agents.toolbox import TOOLS
from apps.core.errors import InvalidInputError
from apps.executions.errors import ContextIsolationError
from tests.agents.conversation import context_of
from tests.usage import ledger

FORBIDDEN = {
    "organisation",
    "organisation_id",
    "tenant",
    "user",
    "user_id",
    "slug",
    "scope",
    "context",
}


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def books(committed, acme, globex, now):
    """Acme: 20 calls of a dear model in 'bot'. Globex: calls that acme must never see, and the reverse."""
    ledger.write(
        acme.pk,
        [
            ledger.call(
                now - timedelta(days=n, hours=1),
                feature="acme-bot",
                provider="anthropic",
                model="claude-sonnet-4-5",
                latency_ms=2_000,
                cost_usd=Decimal("0.5"),
                status="error" if n % 5 == 0 else "ok",
                error="acme went wrong" if n % 5 == 0 else "",
                cacheable_tokens=400,
            )
            for n in range(20)
        ],
    )
    ledger.write(
        globex.pk,
        [
            ledger.call(
                now - timedelta(days=n, hours=1),
                feature="globex-mail",
                status="timeout",
                error="globex hung",
            )
            for n in range(7)
        ],
    )


def test_the_agent_loop_is_not_loaded_with_the_tools():
    code = (
        "import django; django.setup(); import sys; from apps.agents import toolbox, analyst;"
        "print([m for m in ('pydantic_ai', 'genai_prices') if m in sys.modules])"
    )

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert said.stdout.strip() == "[]"


@pytest.mark.security
@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_no_tool_takes_a_tenant_as_an_argument(tool):
    parameters = inspect.signature(tool.function).parameters
    context, *arguments = parameters.values()

    assert context.name == "context"
    assert all(
        argument.kind is inspect.Parameter.KEYWORD_ONLY for argument in arguments
    )
    assert not FORBIDDEN & {argument.name for argument in arguments}
    assert set(tool.schema["properties"]) == {argument.name for argument in arguments}
    assert tool.schema["additionalProperties"] is False


@pytest.mark.security
async def test_a_tool_that_is_told_another_organisation_refuses(
    books, alice_principal, globex
):
    for tool in TOOLS.values():
        with pytest.raises(TypeError):
            await tool.function(
                context_of(alice_principal), organisation_id=str(globex.pk)
            )


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_a_tool_is_described_and_its_defaults_fit_its_schema(tool):
    assert tool.description.endswith(".")
    for schema in tool.schema["properties"].values():
        assert (
            type(schema["default"]) is {"string": str, "integer": int}[schema["type"]]
        )
        assert "enum" not in schema or schema["default"] in schema["enum"]
    assert json.loads(json.dumps(tool.schema)) == tool.schema


@pytest.mark.security
@pytest.mark.mission_critical
async def test_a_stranger_never_sees_acmes_rows(
    books, alice_principal, mallory_principal
):
    for tool in TOOLS.values():
        mine = json.dumps(await tool.function(context_of(alice_principal)))
        theirs = json.dumps(await tool.function(context_of(mallory_principal)))

        assert "acme" not in theirs
        assert "globex" not in mine
        assert mine != theirs


@pytest.mark.security
async def test_an_altered_context_is_refused_before_anything_is_read(
    books, mallory_principal, acme
):
    context = context_of(mallory_principal)
    object.__setattr__(context, "organisation_id", acme.pk)

    for tool in TOOLS.values():
        with pytest.raises(ContextIsolationError):
            await tool.function(context)


async def test_the_summary_counts_calls_tokens_and_cost(books, alice_principal):
    result = await toolbox.usage_summary(context_of(alice_principal), period="30d")

    assert (result["calls"], result["failed_calls"], result["failed_percent"]) == (
        20,
        4,
        20.0,
    )
    assert (result["input_tokens"], result["output_tokens"]) == (20_000, 2_000)
    assert result["cost_usd"] == 10.0
    assert result["previous"]["calls"] == 0
    assert result["change_percent"] is None
    assert result["top_features"][0]["name"] == "acme-bot"
    assert result["top_models"][0]["share_percent"] == 100.0


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("feature", "acme-bot"),
        ("provider", "anthropic"),
        ("model", "anthropic/claude-sonnet-4-5"),
    ],
)
async def test_costs_are_broken_down(books, alice_principal, by, name):
    result = await toolbox.cost_breakdown(
        context_of(alice_principal), by=by, period="7d"
    )

    (row,) = result["rows"]
    assert (row["name"], row["calls"], row["cost_usd"]) == (name, 7, 3.5)
    assert (row["previous_calls"], row["previous_usd"], row["change_usd"]) == (
        7,
        3.5,
        0.0,
    )


async def test_costs_by_day_add_up_to_the_total(books, alice_principal):
    result = await toolbox.cost_breakdown(
        context_of(alice_principal), by="day", period="30d"
    )

    assert sum(row["cost_usd"] for row in result["rows"]) == result["cost_usd"] == 10.0
    assert len(result["rows"]) == 20


async def test_one_provider_alone_is_not_called_slow(books, alice_principal):
    result = await toolbox.latency_report(context_of(alice_principal))

    assert result["slowest"] is None
    assert result["providers"][0] == {
        "name": "anthropic",
        "calls": 16,
        "p50_ms": 2_000,
        "p95_ms": 2_000,
        "p99_ms": 2_000,
        "previous_p95_ms": None,
    }


@pytest.fixture
def slow_mistral(committed, acme, now):
    times = {"openai": 1_000, "google": 1_200, "mistral": 9_900}
    ledger.write(
        acme.pk,
        [
            ledger.call(now - timedelta(hours=n + 1), provider=provider, latency_ms=ms)
            for provider, ms in times.items()
            for n in range(5)
        ],
    )


async def test_a_slow_provider_is_compared_with_the_others(
    slow_mistral, alice_principal
):
    result = await toolbox.latency_report(context_of(alice_principal), period="7d")

    assert result["slowest"] == {
        "provider": "mistral",
        "p95_ms": 9_900,
        "others_p95_ms": 1_100,
        "times_slower": 9.0,
    }


async def test_failures_are_grouped_and_limited(books, alice_principal):
    result = await toolbox.recent_failures(context_of(alice_principal), limit=1)

    (group,) = result["groups"]
    assert (group["error"], group["count"], group["status"]) == (
        "acme went wrong",
        4,
        "error",
    )
    assert result["statuses"] == {"error": 4}
    assert result["providers"][0]["failed_percent"] == 20.0


async def test_savings_name_the_feature_and_both_ways(books, alice_principal):
    result = await toolbox.savings_estimate(context_of(alice_principal))

    kinds = {option["kind"] for option in result["options"]}
    assert kinds == {"prompt_caching", "smaller_model"}
    for option in result["options"]:
        assert option["feature"] == "acme-bot"
        assert 0 < option["saving_usd"] <= option["cost_usd"]
        assert option["saving_usd_per_month"] == option["saving_usd"]


@pytest.mark.parametrize(
    "tool", ["usage_summary", "cost_breakdown", "latency_report", "savings_estimate"]
)
@pytest.mark.parametrize(
    "period",
    ["yesterday", "", "0d", None, 7, "2026-13", "'; DROP TABLE usage_record; --"],
)
async def test_an_unknown_period_is_refused_with_a_fix(
    books, alice_principal, tool, period
):
    with pytest.raises(InvalidInputError) as refused:
        await TOOLS[tool].function(context_of(alice_principal), period=period)

    assert refused.value.field == "period"
    assert "30d" in refused.value.fix


@pytest.mark.parametrize(
    "by", ["organisation", "", None, 1, "organisation_id", "FEATURE"]
)
async def test_an_unknown_breakdown_is_refused_with_a_fix(books, alice_principal, by):
    with pytest.raises(InvalidInputError) as refused:
        await toolbox.cost_breakdown(context_of(alice_principal), by=by)

    assert refused.value.field == "by"
    assert "provider" in refused.value.fix


@pytest.mark.parametrize("limit", [0, -1, 51, "10", None, 1.5, True])
async def test_an_impossible_limit_is_refused_with_a_fix(books, alice_principal, limit):
    with pytest.raises(InvalidInputError) as refused:
        await toolbox.recent_failures(context_of(alice_principal), limit=limit)

    assert refused.value.field == "limit"
    assert "50" in refused.value.fix


async def test_one_context_has_one_now_for_all_its_tools(books, alice_principal, now):
    with time_machine.travel(now - timedelta(days=10), tick=False):
        earlier = context_of(alice_principal)

    result = await toolbox.usage_summary(earlier, period="30d")

    assert result["calls"] == 10


async def test_an_organisation_without_records_gets_empty_results(
    committed, mallory_principal
):
    context = context_of(mallory_principal)

    summary = await toolbox.usage_summary(context)
    assert (summary["calls"], summary["first_record"]) == (0, None)
    assert (await toolbox.cost_breakdown(context))["jump"] is None
    assert (await toolbox.latency_report(context))["providers"] == []
    assert (await toolbox.recent_failures(context))["groups"] == []
    assert (await toolbox.savings_estimate(context))["options"] == []


@pytest.fixture
def longest_names(committed, acme, now):
    ledger.write(
        acme.pk,
        [
            ledger.call(
                now - timedelta(days=n % 90, hours=1),
                provider=f"{n % 50}{'🦆' * 60}",
                model=f"{n % 60}{'🐘' * 120}",
                feature=f"{n % 70}{'🦊' * 90}",
                error=f"{n}{'🐝' * 190}",
                status="ok" if n % 2 else "error",
            )
            for n in range(700)
        ],
    )


async def test_results_stay_within_eight_kibibytes_with_the_longest_names(
    longest_names, alice_principal
):
    context = context_of(alice_principal)

    for tool in TOOLS.values():
        for arguments in (
            {},
            {"by": "day", "period": "90d"},
            {"by": "model"},
            {"limit": 50},
        ):
            if not arguments.keys() <= tool.schema["properties"].keys():
                continue
            result = await tool.function(context, **arguments)
            assert (
                len(json.dumps(result, ensure_ascii=False).encode())
                <= tabulation.RESULT_BYTES
            )
            if (
                tool is not TOOLS["savings_estimate"]
            ):  # nothing of it is on the price list
                assert any(
                    isinstance(value, list) and value for value in result.values()
                )
