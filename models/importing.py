"""The table in which the import job notes, in the database that it changes, how far each file is."""

from __future__ import annotations

import sqlalchemy as sa

from models.columns import NAMING_CONVENTION, TABLE_OPTIONS, exact, long_text, moment

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)

# One row a run. `position`: rows of the file that are done; it changes in one transaction with them. `ended`: when all
# were. `state`: what came of them so far, and how long the files with the results are, as JSON.
imports = sa.Table(
    "pusher_import",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("run", exact(32), nullable=False, unique=True),
    sa.Column("location", exact(100), nullable=False),
    sa.Column("name", exact(255), nullable=False),
    sa.Column("digest", exact(64), nullable=False, index=True),
    sa.Column("began", moment(), nullable=False),
    sa.Column("ended", moment()),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("state", long_text(), nullable=False),
    sa.Index(None, "location", "name"),
    **TABLE_OPTIONS,
)
