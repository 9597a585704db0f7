"""The SCIM endpoints: parse, one action, render. Exempt from CSRF: no cookie counts here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any, TypeVar, cast
from uuid import UUID

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from scim2_models import Context, ListResponse, Resource, ResponseParameters

from apps.accounts import actions
from apps.accounts.callers import Caller
from apps.accounts.directory import GroupChange, PersonChange
from apps.accounts.scim import (
    authentication,
    filters,
    mapping,
    queries,
    refusals,
    rendering,
    schemas,
)
from apps.accounts.scim.queries import Window
from apps.core import circumstances
from apps.core.addresses import client_address
from apps.core.bodies import StrictJSONParser
from apps.core.database import retrying, write_now
from apps.core.errors import InvalidInputError, NetraError

log = logging.getLogger(__name__)
Result = TypeVar("Result")
READABLE = frozenset({refusals.MEDIA_TYPE, "application/json"})
NUMBER_DIGITS = 9


@method_decorator(csrf_exempt, name="dispatch")
class Endpoint(View):
    """A view for directories: authenticated by their token, in their organisation's scope."""

    caller: Caller

    def dispatch(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        told = replace(
            circumstances.present(),
            door="scim",
            address=client_address(request),
            agent=request.headers.get("User-Agent", "")[:200],
        )
        with circumstances.under(told), schemas.SERVICE:
            response = self._answer(request, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response

    def _answer(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        caller = None
        try:
            caller = self.caller = authentication.authenticate(request)
            with caller.scope:
                return super().dispatch(request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - a door: refusals logs what is our fault
            told = refusals.explained(error)
            return refusals.document(told, reference=self._reference(caller, told))

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response = refusals.document(refusals.MethodError())
        offered = [name for name in self.http_method_names if hasattr(self, name)]
        response["Allow"] = ", ".join(offered).upper()
        return response

    def body(self) -> object:
        """The body as JSON; refuses other media types and what is too large."""
        if self.request.content_type not in READABLE:
            raise refusals.MediaTypeError
        return StrictJSONParser().parse(cast("IO[bytes]", self.request))

    def write(self, model: type[Resource[Any]], unit: Callable[[], Result]) -> Result:
        """The one transaction of this request; again after a passing conflict."""
        self.wanted(model)  # what cannot be answered is not done either
        scope = self.caller.scope
        return retrying(lambda: write_now(scope, unit))

    def number(self, name: str) -> int | None:
        text = self.request.GET.get(name)
        if text is None:
            return None
        if not text.removeprefix("-").isdecimal() or len(text) > NUMBER_DIGITS:
            raise InvalidInputError(
                f"{name} is no number.", field=name, fix="Send a whole number."
            )
        return int(text)

    def wanted(self, model: type[Resource[Any]]) -> ResponseParameters[Any]:
        """Which attributes the answer shall have."""
        given = self.request.GET
        told = {
            name: given[name]
            for name in ("attributes", "excludedAttributes")
            if given.get(name)
        }
        bound: Any = ResponseParameters.__class_getitem__(model)
        parameters: ResponseParameters[Any] = bound.model_validate(told)
        return parameters

    def told(
        self,
        resource: Resource[Any],
        context: Context = Context.RESOURCE_QUERY_RESPONSE,
        *,
        status: int = 200,
    ) -> HttpResponse:
        """One resource as an answer."""
        body = resource.model_dump(
            scim_ctx=context, response_parameters=self.wanted(type(resource))
        )
        response = _json(body, status)
        if resource.meta and resource.meta.location:
            response["Location"] = resource.meta.location
        return response

    def listed(
        self, resources: list[Any], model: Any, *, total: int, window: Window
    ) -> HttpResponse:
        """A page of resources as an answer."""
        answer = ListResponse[model](
            total_results=total,
            start_index=window.start,
            items_per_page=len(resources),
            resources=resources,
        )
        body = answer.model_dump(
            scim_ctx=Context.RESOURCE_QUERY_RESPONSE,
            response_parameters=self.wanted(model),
        )
        body.setdefault("Resources", [])
        return _json(body)

    def _reference(self, caller: Caller | None, error: Exception) -> UUID | None:
        """Keep a refusal by a rule of safety on record, in a transaction of its own."""
        if caller is None or not isinstance(error, NetraError):
            return None
        if not actions.is_decision(error):
            return None
        rule = f"{self.request.method} {self.request.path}"[:200]
        try:
            return self._kept(caller, error, rule)
        except DatabaseError:
            log.exception(
                "a refusal could not be stored",
                extra={"action": "scim.refusal_lost", "code": error.code},
            )
            return None

    def _kept(self, caller: Caller, error: NetraError, rule: str) -> UUID:
        def unit() -> UUID:
            return actions.refuse_directory_change(
                actor=caller.actor, error=error, rule=rule
            )

        return retrying(lambda: write_now(caller.scope, unit))


class Users(Endpoint):
    """The people of the directory."""

    def get(self, request: HttpRequest) -> HttpResponse:
        window = Window.of(self.number("startIndex"), self.number("count"))
        found = queries.users(_asked(request, schemas.User, filters.USER_NAMES))
        rows = queries.within_bounds(list(found[window.span]), by="person")
        resources = rendering.users(request, rows)
        return self.listed(resources, schemas.User, total=found.count(), window=window)

    def post(self, request: HttpRequest) -> HttpResponse:
        person = mapping.person_in(self.body(), Context.RESOURCE_CREATION_REQUEST)
        made = self.write(
            schemas.User,
            lambda: actions.create_directory_user(
                actor=self.caller.actor, person=person
            ),
        )
        resource = rendering.user(request, made.pk)
        return self.told(resource, Context.RESOURCE_CREATION_RESPONSE, status=201)


class OneUser(Endpoint):
    """One person of the directory."""

    def get(self, request: HttpRequest, entry_id: UUID) -> HttpResponse:
        return self.told(rendering.user(request, entry_id))

    def put(self, request: HttpRequest, entry_id: UUID) -> HttpResponse:
        change = mapping.person_replacement(self.body())
        return self._changed(entry_id, change, Context.RESOURCE_REPLACEMENT_RESPONSE)

    def patch(self, request: HttpRequest, entry_id: UUID) -> HttpResponse:
        change = mapping.person_patch(self.body())
        return self._changed(entry_id, change, Context.RESOURCE_PATCH_RESPONSE)

    def delete(self, request: HttpRequest, entry_id: UUID) -> HttpResponse:
        self.write(
            schemas.User,
            lambda: actions.remove_directory_user(
                actor=self.caller.actor, entry_id=entry_id
            ),
        )
        return HttpResponse(status=204)

    def _changed(
        self, entry_id: UUID, change: PersonChange, context: Context
    ) -> HttpResponse:
        self.write(
            schemas.User,
            lambda: actions.change_directory_user(
                actor=self.caller.actor, entry_id=entry_id, change=change
            ),
        )
        return self.told(rendering.user(self.request, entry_id), context)


class Groups(Endpoint):
    """The groups of the directory."""

    def get(self, request: HttpRequest) -> HttpResponse:
        window = Window.of(self.number("startIndex"), self.number("count"))
        found = queries.groups(_asked(request, schemas.Group, filters.GROUP_NAMES))
        rows = list(found[window.span])
        if with_members := self._with_members():
            rows = queries.within_bounds(rows, by="group")
        resources = rendering.groups(request, rows, with_members=with_members)
        return self.listed(resources, schemas.Group, total=found.count(), window=window)

    def post(self, request: HttpRequest) -> HttpResponse:
        group = mapping.group_in(self.body(), Context.RESOURCE_CREATION_REQUEST)
        made = self.write(
            schemas.Group,
            lambda: actions.create_directory_group(
                actor=self.caller.actor, group=group
            ),
        )
        resource = rendering.group(request, made.pk)
        return self.told(resource, Context.RESOURCE_CREATION_RESPONSE, status=201)

    def _with_members(self) -> bool:
        wanted = self.wanted(schemas.Group)
        excluded = [path.lower() for path in wanted.excluded_attributes or []]
        return "members" not in excluded


class OneGroup(Endpoint):
    """One group of the directory."""

    def get(self, request: HttpRequest, group_id: UUID) -> HttpResponse:
        return self.told(rendering.group(request, group_id))

    def put(self, request: HttpRequest, group_id: UUID) -> HttpResponse:
        wanted = mapping.group_in(self.body(), Context.RESOURCE_REPLACEMENT_REQUEST)
        return self._changed(
            group_id, lambda _: wanted, Context.RESOURCE_REPLACEMENT_RESPONSE
        )

    def patch(self, request: HttpRequest, group_id: UUID) -> HttpResponse:
        change = mapping.group_patch(self.body())
        return self._changed(group_id, change, Context.RESOURCE_PATCH_RESPONSE)

    def delete(self, request: HttpRequest, group_id: UUID) -> HttpResponse:
        self.write(
            schemas.Group,
            lambda: actions.remove_directory_group(
                actor=self.caller.actor, group_id=group_id
            ),
        )
        return HttpResponse(status=204)

    def _changed(
        self, group_id: UUID, change: GroupChange, context: Context
    ) -> HttpResponse:
        self.write(
            schemas.Group,
            lambda: actions.change_directory_group(
                actor=self.caller.actor, group_id=group_id, change=change
            ),
        )
        return self.told(rendering.group(self.request, group_id), context)


class Config(Endpoint):
    """What the service can do."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.told(rendering.described(request, schemas.CONFIG))


class Described(Endpoint):
    """The lists of schemas and of resource types, and each of them."""

    what: str = ""

    def get(self, request: HttpRequest, name: str | None = None) -> HttpResponse:
        rows = schemas.SERVICE.schemas
        found = rows if self.what == "schemas" else schemas.SERVICE.resource_types
        resources = [rendering.described(request, row) for row in found]
        if name is None:
            return self.listed(
                resources, type(resources[0]), total=len(resources), window=Window()
            )
        for resource in resources:
            if str(resource.id).lower() == name.lower():
                return self.told(resource)
        raise refusals.NowhereError


class NotOffered(Endpoint):
    """Parts of SCIM that are not built: bulk, /Me, search by POST."""

    def refuse(self, request: HttpRequest) -> HttpResponse:
        response = refusals.document(refusals.NotOfferedError())
        # Django would log an error for each; to ask for what nobody announced is no fault of ours.
        response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
        return response

    get = post = put = patch = delete = refuse


class Nowhere(Endpoint):
    """Every other address."""

    def nothing(self, request: HttpRequest, **rest: str) -> HttpResponse:
        raise refusals.NowhereError

    get = post = put = patch = delete = nothing


def _asked(
    request: HttpRequest, model: type[Resource[Any]], names: frozenset[str]
) -> filters.Conditions:
    text = request.GET.get("filter", "").strip()
    return filters.conditions(text, model, names) if text else ()


def _json(body: dict[str, Any], status: int = 200) -> HttpResponse:
    return JsonResponse(body, status=status, content_type=refusals.MEDIA_TYPE)
