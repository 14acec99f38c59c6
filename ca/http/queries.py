# SPDX-License-Identifier: Apache-2.0
"""Query strings of the operators' API: one model each, from which the API description takes its parameters.

Strict like a body: a parameter that is not listed, or that stands twice, is refused; text is printable ASCII.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ca.errors import RequestRefused
from ca.http.schema import MAX_PAGE, Serial
from ca.http.wire import told
from ca.ports import Outcome

if TYPE_CHECKING:
    from aiohttp import web

_YEARS = range(1970, 2200)


def _in_range(instant: datetime) -> datetime:
    if instant.year not in _YEARS:
        raise ValueError("not a time that anything here could be about")
    return instant.astimezone(UTC)


Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=253, pattern="^[ -~]+$")]
When: TypeAlias = Annotated[AwareDatetime, AfterValidator(_in_range)]
Limit: TypeAlias = Annotated[int, Field(ge=1, le=MAX_PAGE)]
RowId: TypeAlias = Annotated[int, Field(ge=1, le=2**63 - 1)]


class Query(BaseModel):
    """Frozen, with no parameter that is not listed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ExportFormat(StrEnum):
    """How a search is exported."""

    JSON = "json"
    CSV = "csv"


class CertificateFilter(Query):
    """Which certificates: all conditions that are given hold."""

    san: Text | None = Field(default=None, description="Part of one name, e.g. dns:web.")
    policy: Text | None = Field(default=None, description="Name of the policy.")
    tcb_status: Text | None = Field(default=None, description="In the vendor's words.")
    outcome: Outcome | None = None
    valid_at: When | None = Field(default=None, description="RFC 3339 with an offset.")


class CertificateSearch(CertificateFilter):
    """A page of them."""

    limit: Limit = 100
    after: Serial | None = Field(default=None, description="`next` of the page before.")


class ExportQuery(CertificateFilter):
    """All of them."""

    format: ExportFormat = ExportFormat.JSON


class RefusalKind(StrEnum):
    """Of authentic evidence and on record, or a sample of the others."""

    RECORDED = "recorded"
    SAMPLED = "sampled"


class RefusalQuery(Query):
    """A page of refusals, newest first."""

    kind: RefusalKind = RefusalKind.RECORDED
    limit: Limit = 100
    before: RowId | None = Field(
        default=None, description="`next` of the page before; recorded ones only."
    )


class RevocationQuery(Query):
    """A page of revocations, newest first."""

    limit: Limit = 100
    before: RowId | None = Field(default=None, description="`next` of the page before.")


class FeedQuery(Query):
    """A page of the public feed, oldest first."""

    after: Annotated[int, Field(ge=0, le=2**63 - 1)] = Field(
        default=0, description="`next` of the page before."
    )


class ActionQuery(Query):
    """A page of the operators' log, newest first."""

    limit: Limit = 100
    before: When | None = Field(default=None, description="`next` of the page before.")


Q = TypeVar("Q", bound=Query)


def query_of(request: web.Request, model: type[Q]) -> Q:
    """The query string of `request`. Raises RequestRefused `malformed`."""
    pairs = request.query
    if len(set(pairs)) != len(pairs):
        raise RequestRefused("a query parameter stands twice")
    try:
        return model.model_validate(dict(pairs))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestRefused("; ".join(map(told, faults[:5]))) from None
