# SPDX-License-Identifier: Apache-2.0
"""Counters: closed labels, all of them there from the start, and the cache's counters read when asked for."""

from __future__ import annotations

from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from ca.fetch.cache import FetchCounters
from ca.fetch.client import FetchOutcome
from ca.http.admission import Admission
from ca.http.metrics import Alarm, EnrollmentOutcome, Metrics


def make(counters: FetchCounters | None = None) -> Metrics:
    metrics = Metrics(counters or FetchCounters(), Admission(workers=1, queue=1), bool)
    metrics.describe(["/v1/nonce"], ["malformed"])
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(s.name, frozenset(s.labels.values())): s.value for f in families for s in f.samples}


def test_everything_is_there_before_it_happens() -> None:
    found = samples(make())
    for outcome in EnrollmentOutcome:
        assert found["attestca_enrollments_total", frozenset({outcome.value})] == 0
    for kind in Alarm:
        assert found["attestca_alarms_total", frozenset({kind.value})] == 0
    assert found["attestca_http_responses_total", frozenset({"/v1/nonce", "5xx"})] == 0


def test_labels_that_are_not_listed_are_counted_together() -> None:
    metrics = make()
    before = set(samples(metrics))
    metrics.responded("/a/path/of/a/client", 404, 0.1)
    metrics.refused("a-code-of-a-client")
    after = samples(metrics)
    assert set(after) == before
    assert after["attestca_http_responses_total", frozenset({"unmatched", "4xx"})] == 1
    assert after["attestca_refusals_total", frozenset({"other"})] == 1


def test_the_caches_counters_are_read_when_asked_for() -> None:
    counters = FetchCounters(
        Counter({("tcb_info", FetchOutcome.OK): 3}), Counter(tcb_info=2), Counter(pck_crl=1)
    )
    metrics = make(counters)
    counters.hits["tcb_info"] += 5
    found = samples(metrics)
    assert found["attestca_collateral_fetches_total", frozenset({"tcb_info", "ok"})] == 3
    assert found["attestca_collateral_hits_total", frozenset({"tcb_info"})] == 7
    assert found["attestca_collateral_stale_total", frozenset({"pck_crl"})] == 1


def test_the_age_of_lists_is_read_when_asked_for() -> None:
    ages: dict[str, float] = {}
    metrics = Metrics(FetchCounters(), Admission(workers=1, queue=1), bool, lambda: ages)
    assert not any(name == "attestca_crl_age_seconds" for name, _ in samples(metrics))
    ages["ab12"] = 61.5
    assert samples(metrics)["attestca_crl_age_seconds", frozenset({"ab12"})] == 61.5


def test_two_sets_of_counters_do_not_meet() -> None:
    one, other = make(), make()
    one.alarm(Alarm.UNHANDLED)
    key = ("attestca_alarms_total", frozenset({"unhandled"}))
    assert (samples(one)[key], samples(other)[key]) == (1, 0)
