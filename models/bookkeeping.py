"""The tables in which pusher notes at central what arrived, from whom, and under which id."""

from __future__ import annotations

import sqlalchemy as sa

from models.columns import NAMING_CONVENTION, TABLE_OPTIONS, exact, long_text, moment

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

# Which database this is: one row, made once, so that a restored or exchanged central is noticed.
instance = sa.Table(
    "pusher_instance",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("instance", exact(32), nullable=False),
    sa.Column("created", moment(), nullable=False),
    **TABLE_OPTIONS,
)

site = sa.Table(
    "pusher_site",
    metadata,
    sa.Column("name", exact(100), primary_key=True),
    sa.Column("epoch", exact(32)),
    sa.Column("hostname", exact(255)),
    sa.Column("agent_version", exact(50)),
    sa.Column("schema_hash", exact(64)),
    sa.Column("clock_skew_seconds", sa.Double),
    # How many messages that ask for ids it was answered: a restored central has answered fewer than the site counts.
    sa.Column("resolved", sa.BigInteger, nullable=False, default=0),
    sa.Column("first_contact", moment(), nullable=False),
    sa.Column("last_contact", moment(), nullable=False),
    **TABLE_OPTIONS,
)

# No foreign key to pusher_site: a token is made before its site first calls.
token = sa.Table(
    "pusher_token",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("token_hash", exact(64), nullable=False, unique=True),
    sa.Column("site", exact(100), nullable=False),
    sa.Column("scope", exact(10), nullable=False),
    sa.Column("created", moment(), nullable=False),
    sa.Column("last_used", moment()),
    sa.Column("revoked", moment()),
    **TABLE_OPTIONS,
)

batch = sa.Table(
    "pusher_batch",
    metadata,
    sa.Column("site", exact(100), primary_key=True),
    sa.Column("epoch", exact(32), primary_key=True),
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("fingerprint", exact(64), nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("first_cursor", sa.Text),
    sa.Column("last_cursor", sa.Text),
    sa.Column("receipt", long_text(), nullable=False),
    sa.Column("applied", moment(), nullable=False),
    **TABLE_OPTIONS,
)

checkpoint = sa.Table(
    "pusher_checkpoint",
    metadata,
    sa.Column("site", exact(100), primary_key=True),
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("epoch", exact(32), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("cursor", sa.Text),
    sa.Column("rows_total", sa.BigInteger, nullable=False),
    sa.Column("updated", moment(), nullable=False),
    **TABLE_OPTIONS,
)

identity = sa.Table(
    "pusher_identity",
    metadata,
    sa.Column("site", exact(100), primary_key=True),
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("local_key", exact(255), primary_key=True),
    sa.Column("central_key", exact(255), nullable=False),
    sa.Column("row_hash", exact(32), nullable=False),
    # Whose word counts where two sites bring the same row: the one that made it.
    sa.Column("owns", sa.Boolean, nullable=False),
    # Answers which sites know a row of central.
    sa.Index(None, "table_name", "central_key"),
    **TABLE_OPTIONS,
)

# Whose the rows of a stream are. A scope is all rows with the same foreign keys in their key, such as the readings of
# one node, or the whole table; it belongs to the site that first pushed into it. `shared`: another site has, too.
scope = sa.Table(
    "pusher_scope",
    metadata,
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("scope", exact(32), primary_key=True),
    sa.Column("site", exact(100), nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False),
    **TABLE_OPTIONS,
)

# The rows that a site has in the scope of another one. `row_key`: the hash of the row's key.
row = sa.Table(
    "pusher_row",
    metadata,
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("row_key", exact(32), primary_key=True),
    sa.Column("site", exact(100), nullable=False),
    **TABLE_OPTIONS,
)

# A row to lock where the thing to be locked does not exist yet.
lock = sa.Table("pusher_lock", metadata, sa.Column("name", exact(255), primary_key=True), **TABLE_OPTIONS)

# What arrived of each block of a site's stream. `total` is null where it has to be computed from the rows first, since
# rows came there again.
block = sa.Table(
    "pusher_block",
    metadata,
    sa.Column("site", exact(100), primary_key=True),
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("start", exact(40), primary_key=True),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("total", exact(32)),
    **TABLE_OPTIONS,
)

# What was deleted because its site has deleted it: the row as JSON, by column name.
tombstone = sa.Table(
    "pusher_tombstone",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("site", exact(100), nullable=False),
    sa.Column("table_name", exact(128), nullable=False),
    sa.Column("row_key", sa.Text, nullable=False),
    sa.Column("row", long_text(), nullable=False),
    sa.Column("deleted", moment(), nullable=False),
    **TABLE_OPTIONS,
)

# What a site's last comparison of both sides found. `passed`: when it last found them equal; `passed_deep`: the same,
# when every row was read.
verdict = sa.Table(
    "pusher_verdict",
    metadata,
    sa.Column("site", exact(100), primary_key=True),
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("verified", moment(), nullable=False),
    sa.Column("deep", sa.Boolean, nullable=False),
    sa.Column("verdict", exact(20), nullable=False),
    sa.Column("rows_here", sa.BigInteger, nullable=False),
    sa.Column("rows_there", sa.BigInteger, nullable=False),
    sa.Column("missing", sa.BigInteger, nullable=False),
    sa.Column("different", sa.BigInteger, nullable=False),
    sa.Column("only_central", sa.BigInteger, nullable=False),
    sa.Column("passed", moment()),
    sa.Column("passed_deep", moment()),
    **TABLE_OPTIONS,
)

# How often a row of an entity that goes both ways has changed, and what it was then. `site`: whose change was the last.
version = sa.Table(
    "pusher_version",
    metadata,
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("central_key", exact(255), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("row_hash", exact(32), nullable=False),
    sa.Column("site", exact(100)),
    sa.Column("changed", moment(), nullable=False),
    **TABLE_OPTIONS,
)

# What a site said of each table at the end of its last cycle. `pending`: rows that still waited there, null if it did
# not count them.
report = sa.Table(
    "pusher_report",
    metadata,
    sa.Column("site", exact(100), primary_key=True),
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("sent", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("pending", sa.BigInteger),
    sa.Column("reported", moment(), nullable=False),
    **TABLE_OPTIONS,
)

# What happened to a site that people may want to know: verdicts that were not equal, rows deleted, errors reported.
event = sa.Table(
    "pusher_event",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("site", exact(100), nullable=False),
    sa.Column("kind", exact(30), nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("happened", moment(), nullable=False),
    sa.Index(None, "site", "happened"),
    **TABLE_OPTIONS,
)

# Which site made a row of an entity over REST; what others made it does not change.
author = sa.Table(
    "pusher_author",
    metadata,
    sa.Column("table_name", exact(128), primary_key=True),
    sa.Column("central_key", exact(255), primary_key=True),
    sa.Column("site", exact(100), nullable=False),
    **TABLE_OPTIONS,
)

# Every write over REST: who, what, when, and what came of it (the HTTP status).
audit = sa.Table(
    "pusher_audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("happened", moment(), nullable=False),
    sa.Column("token_id", sa.Integer, nullable=False),
    sa.Column("site", exact(100), nullable=False),
    sa.Column("method", exact(10), nullable=False),
    sa.Column("table_name", exact(128), nullable=False),
    sa.Column("row_key", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Index(None, "site", "happened"),
    **TABLE_OPTIONS,
)
