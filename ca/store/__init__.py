# SPDX-License-Identifier: Apache-2.0
"""The database: `sql.SqlStore` keeps what `ca.ports.Store` promises, on SQLite and on PostgreSQL.

    sql        SqlStore, the door: one method of the port, one transaction
    schema     bring a database to this version's schema, and refuse any other
    backup     every row into one portable file, and back into an empty database
    database   units of work, and foreign errors turned into ours
    engines    connections, threads, waiting times
    dialect    the SQL in which the two databases differ
    tables     the schema
    enrollments  decisions  certificates  revocations  policies  operators  collateral  health    SQL, by subject

The subject modules hold plain functions over one `Connection` that is inside a transaction; they neither begin nor
commit. Nothing here reads a clock.
"""

from __future__ import annotations
