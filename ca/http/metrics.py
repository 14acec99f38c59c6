# SPDX-License-Identifier: Apache-2.0
"""Counters for /metrics (Prometheus), in a registry of our own.

Rules: every label takes its values from a list that is closed in this code (routes, classes of status, outcomes, codes
of problems, parts of collateral) or is the key id of an issuing CA in force; nothing that a client sent becomes a label
or a value. A code that the list does not know is counted as "other". All children exist from the start, so that a rate
is right from its first event.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from attestca_client.protocol import HandleKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ca.http.admission import Admission

    ListAges = Callable[[], Mapping[str, float]]  # seconds by issuing CA; see `Doors.list_ages`

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
UNMATCHED: Final = "unmatched"  # the route label of what no route answers
OTHER: Final = "other"
CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class EnrollmentOutcome(StrEnum):
    """How a request for a certificate ended."""

    ISSUED = "issued"
    REPEATED = "repeated"  # the answer of before, to the same bytes
    DENIED = "denied"  # authentic evidence; on record
    REFUSED = "refused"  # anything else of the caller's; not on record
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    ERROR = "error"  # ours


class OcspOutcome(StrEnum):
    """How a question about certificates ended."""

    ANSWERED = "answered"
    MALFORMED = "malformed"
    UNAUTHORIZED = "unauthorized"  # about certificates of others
    TRY_LATER = "try-later"


class Alarm(StrEnum):
    """What an operator must look at. Alert on any increase."""

    UNHANDLED = "unhandled"  # an exception that nobody expected
    INTERNAL = "internal"  # one of our own checks failed
    CONFIGURATION = "configuration"  # no issuing CA in force, and the like
    DISAGREEMENT = "disagreement"  # a vendor's verifier accepts what ours refuses, or the reverse


class FetchCounts(Protocol):
    """What is read of the collateral cache's counters; both labels are closed lists there."""

    @property
    def fetches(self) -> Mapping[tuple[str, Any], int]:
        """GETs by part and outcome."""
        ...

    @property
    def hits(self) -> Mapping[str, int]:
        """Answers that waited for no GET, by part."""
        ...

    @property
    def stale(self) -> Mapping[str, int]:
        """Older answers where no fresh one was to be had, by part."""
        ...


class Metrics:
    """The registry and its counters. `describe` names the routes and codes before the first request."""

    def __init__(
        self,
        fetch_counters: FetchCounts,
        admission: Admission,
        log_halted: Callable[[], bool],
        list_ages: ListAges = dict,
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        registry = self.registry
        self._responses = Counter(
            "attestca_http_responses",
            "Responses by route and class of status.",
            ("route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "attestca_http_request_seconds",
            "Time from request to response, by route.",
            ("route",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._enrollments = Counter(
            "attestca_enrollments",
            "Requests for a certificate by outcome.",
            ("outcome",),
            registry=registry,
        )
        self._refusals = Counter(
            "attestca_refusals", "Problem answers by code.", ("code",), registry=registry
        )
        self._alarms = Counter(
            "attestca_alarms",
            "Faults of ours; alert on any increase.",
            ("kind",),
            registry=registry,
        )
        self._revocations = Counter(
            "attestca_revocations",
            "Revocations by operators at this process, by kind of handle.",
            ("kind",),
            registry=registry,
        )
        self._questions = Counter(
            "attestca_ocsp_questions",
            "OCSP questions by outcome.",
            ("outcome",),
            registry=registry,
        )
        self.nonces = Counter("attestca_nonces", "Nonces handed out.", registry=registry)
        self._codes: frozenset[str] = frozenset()
        self._routes: frozenset[str] = frozenset()
        for outcome in EnrollmentOutcome:
            self._enrollments.labels(outcome)
        for said in OcspOutcome:
            self._questions.labels(said)
        for kind in Alarm:
            self._alarms.labels(kind)
        for handle_kind in HandleKind:
            self._revocations.labels(handle_kind)
        _queue_gauges(registry, admission)
        halted = Gauge(
            "attestca_log_halted", "1 while the public log is not signed.", registry=registry
        )
        halted.set_function(lambda: float(log_halted()))
        registry.register(_FetchCollector(fetch_counters))
        registry.register(_ListCollector(list_ages))
        ProcessCollector(registry=registry)

    def watch_log(self, ahead: Callable[[], float]) -> None:
        """Have the time of the log's newest checkpoint exported, as far as it is in the future."""
        gauge = Gauge(
            "attestca_checkpoint_ahead_seconds",
            "By which the log's newest checkpoint is ahead of this clock.",
            registry=self.registry,
        )
        gauge.set_function(ahead)

    def describe(self, routes: Iterable[str], codes: Iterable[str]) -> None:
        """The closed lists of the labels `route` and `code`."""
        self._routes |= frozenset((*routes, UNMATCHED))
        self._codes |= frozenset((*codes, OTHER))
        for route in self._routes:
            self._seconds.labels(route)
            for status in CLASSES:
                self._responses.labels(route, status)
        for code in self._codes:
            self._refusals.labels(code)

    def responded(self, route: str, status: int, seconds: float) -> None:
        """One response left."""
        name = route if route in self._routes else UNMATCHED
        self._responses.labels(name, f"{status // 100}xx").inc()
        self._seconds.labels(name).observe(seconds)

    def refused(self, code: str) -> None:
        """One problem document left."""
        self._refusals.labels(code if code in self._codes else OTHER).inc()

    def enrolled(self, outcome: EnrollmentOutcome) -> None:
        """One request for a certificate ended."""
        self._enrollments.labels(outcome).inc()

    def ocsp(self, outcome: OcspOutcome) -> None:
        """One OCSP question ended."""
        self._questions.labels(outcome).inc()

    def alarm(self, kind: Alarm) -> None:
        """Something an operator must look at."""
        self._alarms.labels(kind).inc()

    def revoked(self, kind: HandleKind) -> None:
        """An operator revoked something that was not revoked before."""
        self._revocations.labels(kind).inc()

    def exposition(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return generate_latest(self.registry)


def _queue_gauges(registry: CollectorRegistry, admission: Admission) -> None:
    waiting = Gauge("attestca_enrollments_waiting", "In the queue now.", registry=registry)
    waiting.set_function(lambda: admission.waiting)
    under_way = Gauge("attestca_enrollments_under_way", "Under way now.", registry=registry)
    under_way.set_function(lambda: admission.under_way)


class _FetchCollector(Collector):
    """The collateral cache's counters, read when they are asked for."""

    def __init__(self, counters: FetchCounts) -> None:
        self._counters = counters

    def collect(self) -> Iterator[CounterMetricFamily]:
        fetches = CounterMetricFamily(
            "attestca_collateral_fetches",
            "GETs to vendors by part and outcome.",
            labels=("part", "outcome"),
        )
        for (part, outcome), count in self._counters.fetches.items():
            fetches.add_metric((part, str(outcome)), count)
        yield fetches
        for name, text, counts in (
            ("hits", "Answers of the cache, by part.", self._counters.hits),
            ("stale", "Older answers, no fresh one to be had, by part.", self._counters.stale),
        ):
            family = CounterMetricFamily(f"attestca_collateral_{name}", text, labels=("part",))
            for part, count in counts.items():
                family.add_metric((part,), count)
            yield family


class _ListCollector(Collector):
    """How old the lists of revoked certificates are, read when it is asked for."""

    def __init__(self, ages: ListAges) -> None:
        self._ages = ages

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "attestca_crl_age_seconds",
            "Since the newest CRL was signed, of the day whose newest is the oldest, by issuing CA.",
            labels=("issuer",),
        )
        for issuer, seconds in self._ages().items():
            family.add_metric((issuer,), seconds)
        yield family
