# SPDX-License-Identifier: Apache-2.0
"""/openapi.json: OpenAPI 3.1 made from the table of routes and the models of the API. Nothing in it is written twice.

It describes both listeners; operations of the operators' say so by their tag and the token that they need.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic.json_schema import models_json_schema

from ca.http import problems
from ca.http.routes import ROUTES, Access, On, Route
from ca.http.schema import ProblemAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from ca.http.routes import Content

Json: TypeAlias = dict[str, Any]
_REF: Final = "#/components/schemas/"
_IN_PATH: Final = re.compile(r"\{(\w+)\}")
_TILE: Final = "^(entries|[0-7])/(x[0-9]{3}/)*[0-9]{3}(\\.p/[1-9][0-9]{0,2})?$"
_PATH_SCHEMAS: Final[dict[str, Json]] = {
    "serial": {"type": "string", "pattern": "^[1-9a-f][0-9a-f]{0,39}$"},
    "issuer_key_id": {"type": "string", "pattern": "^[0-9a-f]{40}$"},
    "day": {"type": "string", "format": "date"},
    "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"},
    "request": {"type": "string", "pattern": "^[A-Za-z0-9+/]+={0,2}$", "maxLength": 5464},
    "number": {"type": "integer", "minimum": 2, "maximum": 10**9 - 1},
    "tile": {"type": "string", "pattern": _TILE, "maxLength": 40},
    "version": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
}
_TAGS: Final = {
    "public": "The service's listener; no authentication.",
    "operators": "The operators' listener, which has an address of its own.",
}


def document() -> Json:
    """The whole description, as JSON values."""
    schemas = _schemas()
    paths: Json = {}
    for route in ROUTES:
        operations = paths.setdefault(route.path, {})
        operations[route.method.lower()] = _operation(route, schemas)
    for route in ROUTES:
        if route.query is not None:
            schemas.pop(route.query.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "attestca",
            "version": "1",
            "summary": "An attestation certification authority: hardware evidence in, certificates out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


@lru_cache(maxsize=1)
def document_bytes() -> bytes:
    """The same as it is served."""
    return json.dumps(document(), sort_keys=True).encode()


def _schemas() -> Json:
    """Every model that a route names, and what those are made of."""
    taken = {content.model for route in ROUTES for content in route.bodies if content.model}
    taken |= {route.query for route in ROUTES if route.query}
    given = {
        content.model
        for route in ROUTES
        for contents in route.answers.values()
        for content in contents
        if content.model
    }
    _, schema = models_json_schema(
        [
            *((model, "validation") for model in sorted(taken, key=_name)),
            *((model, "serialization") for model in sorted(given | {ProblemAnswer}, key=_name)),
        ],
        ref_template=_REF + "{model}",
    )
    found: Json = schema["$defs"]
    return found


def _name(model: type[BaseModel]) -> str:
    return model.__name__


def _operation(route: Route, schemas: Json) -> Json:
    said: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [*(["public"] if route.on & On.PUBLIC else []), *_operators(route)],
        "parameters": [*_path_parameters(route), *_query_parameters(route, schemas)],
        "responses": {
            str(status): {"description": "Done.", "content": _contents(contents)}
            for status, contents in route.answers.items()
        }
        | {"default": _problem()},
    }
    if route.bodies:
        said["requestBody"] = {"required": True, "content": _contents(route.bodies)}
    if route.access is not Access.ANYBODY:
        scopes = [] if isinstance(route.access, Access) else [route.access.value]
        said["security"] = [{"token": scopes}]
    return said


def _operators(route: Route) -> list[str]:
    return ["operators"] if route.on & On.ADMIN else []


def _path_parameters(route: Route) -> Iterator[Json]:
    for name in _IN_PATH.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": _PATH_SCHEMAS[name]}


def _query_parameters(route: Route, schemas: Json) -> Iterator[Json]:
    if route.query is None:
        return
    for name, schema in schemas[route.query.__name__]["properties"].items():
        yield {"name": name, "in": "query", "required": False, "schema": _given(schema)}


def _given(schema: Json) -> Json:
    """The schema of a parameter that is there: null is how a model says that it is not."""
    kept = {key: value for key, value in schema.items() if key not in {"title", "anyOf"}}
    for choice in schema.get("anyOf", ()):
        if choice.get("type") != "null":
            kept |= choice
    if kept.get("default", "") is None:
        del kept["default"]
    return kept


def _contents(contents: tuple[Content, ...]) -> Json:
    return {
        content.media_type.partition(";")[0]: {
            "schema": {"$ref": _REF + content.model.__name__} if content.model else {}
        }
        for content in contents
    }


def _problem() -> Json:
    seconds = {"description": "Seconds, with 429 and 503.", "schema": {"type": "integer"}}
    return {
        "description": "A problem document (RFC 9457).",
        "headers": {"Retry-After": seconds},
        "content": {problems.CONTENT_TYPE: {"schema": {"$ref": _REF + "ProblemAnswer"}}},
    }
