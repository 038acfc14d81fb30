"""The tables in which pusher notes at central what arrived.

Types are written out and not imported: a migration must stay what it was when the models move on.
Every step may run twice, since MariaDB cannot take back a half-done migration.
Forward only: pusher drops no table.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "bookkeeping_0001"
down_revision = None
branch_labels = ("bookkeeping",)
depends_on = None

_MYSQL = ("mysql", "mariadb")
_OPTIONS = {
    "if_not_exists": True,
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}
_MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL)
_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), *_MYSQL)


def _exact(length: int) -> sa.String:
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), *_MYSQL)


def upgrade() -> None:
    _create_parties()
    _create_ledger()
    _create_identity()
    op.create_table(
        "pusher_lock",
        sa.Column("name", _exact(255), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_pusher_lock"),
        **_OPTIONS,
    )


def _create_parties() -> None:
    op.create_table(
        "pusher_instance",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("instance", _exact(32), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pusher_instance"),
        **_OPTIONS,
    )
    op.create_table(
        "pusher_site",
        sa.Column("name", _exact(100), nullable=False),
        sa.Column("epoch", _exact(32), nullable=True),
        sa.Column("hostname", _exact(255), nullable=True),
        sa.Column("agent_version", _exact(50), nullable=True),
        sa.Column("schema_hash", _exact(64), nullable=True),
        sa.Column("clock_skew_seconds", sa.Double(), nullable=True),
        sa.Column("resolved", sa.BigInteger(), nullable=False),
        sa.Column("first_contact", _MOMENT, nullable=False),
        sa.Column("last_contact", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_pusher_site"),
        **_OPTIONS,
    )
    op.create_table(
        "pusher_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", _exact(64), nullable=False),
        sa.Column("site", _exact(100), nullable=False),
        sa.Column("scope", _exact(10), nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("last_used", _MOMENT, nullable=True),
        sa.Column("revoked", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_pusher_token"),
        sa.UniqueConstraint("token_hash", name="uq_pusher_token_token_hash"),
        **_OPTIONS,
    )


def _create_ledger() -> None:
    op.create_table(
        "pusher_batch",
        sa.Column("site", _exact(100), nullable=False),
        sa.Column("epoch", _exact(32), nullable=False),
        sa.Column("table_name", _exact(128), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", _exact(64), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("first_cursor", sa.Text(), nullable=True),
        sa.Column("last_cursor", sa.Text(), nullable=True),
        sa.Column("receipt", _LONG_TEXT, nullable=False),
        sa.Column("applied", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("site", "epoch", "table_name", "sequence", name="pk_pusher_batch"),
        **_OPTIONS,
    )
    op.create_table(
        "pusher_checkpoint",
        sa.Column("site", _exact(100), nullable=False),
        sa.Column("table_name", _exact(128), nullable=False),
        sa.Column("epoch", _exact(32), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("rows_total", sa.BigInteger(), nullable=False),
        sa.Column("updated", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("site", "table_name", name="pk_pusher_checkpoint"),
        **_OPTIONS,
    )


def _create_identity() -> None:
    op.create_table(
        "pusher_identity",
        sa.Column("site", _exact(100), nullable=False),
        sa.Column("table_name", _exact(128), nullable=False),
        sa.Column("local_key", _exact(255), nullable=False),
        sa.Column("central_key", _exact(255), nullable=False),
        sa.Column("row_hash", _exact(32), nullable=False),
        sa.Column("owns", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("site", "table_name", "local_key", name="pk_pusher_identity"),
        **_OPTIONS,
    )
    index = "ix_pusher_identity_table_name_central_key"
    # Asked and not left to IF NOT EXISTS, which MySQL has no word for here.
    if index not in {known["name"] for known in sa.inspect(op.get_bind()).get_indexes("pusher_identity")}:
        op.create_index(index, "pusher_identity", ["table_name", "central_key"])
