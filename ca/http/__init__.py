# SPDX-License-Identifier: Apache-2.0
"""The HTTP API: two aiohttp applications over the use cases, for everybody and for operators.

    doors        what the composition root gives      routes       THE table; application: built from it
    handlers     the public answers                   admin        the operators' answers; auth: their tokens
    wire         bytes <-> requests and answers       schema       the objects of the API; openapi: its description
    problems     THE table error -> status            middleware   around every request
    queries, records, export                          the operators' searches and what they are shown
    limiter, admission, refusals, metrics             what is remembered, all of it bounded
    serving      how both are served

Certificates, policies and evidence are judged elsewhere: here are limits, words and statuses.
"""

from __future__ import annotations

from ca.http.application import admin_application, public_application
from ca.http.doors import DoorLimits, Doors
from ca.http.serving import Site, runner

__all__ = ["DoorLimits", "Doors", "Site", "admin_application", "public_application", "runner"]
