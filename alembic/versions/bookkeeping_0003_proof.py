"""What proves that all arrived, and what people look at: blocks, tombstones, verdicts, reports, events and others."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "bookkeeping_0003"
down_revision = "bookkeeping_0002"
branch_labels = None
depends_on = None

_MYSQL = ("mysql", "mariadb")
_OPTIONS = {
    "if_not_exists": True,
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}


def _exact(length: int) -> sa.String:
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), *_MYSQL)


def _moment() -> sa.DateTime:
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL)


def _of_site_and_table() -> list[sa.Column]:
    return [
        sa.Column("site", _exact(100), nullable=False),
        sa.Column("table_name", _exact(128), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "pusher_block",
        *_of_site_and_table(),
        sa.Column("start", _exact(40), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("total", _exact(32)),
        sa.PrimaryKeyConstraint("site", "table_name", "start", name="pk_pusher_block"),
        **_OPTIONS,
    )
    op.create_table(
        "pusher_tombstone",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        *_of_site_and_table(),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("row", sa.Text().with_variant(mysql.LONGTEXT(), *_MYSQL), nullable=False),
        sa.Column("deleted", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pusher_tombstone"),
        **_OPTIONS,
    )
    counts = ("rows_here", "rows_there", "missing", "different", "only_central")
    op.create_table(
        "pusher_verdict",
        *_of_site_and_table(),
        sa.Column("verified", _moment(), nullable=False),
        sa.Column("deep", sa.Boolean(), nullable=False),
        sa.Column("verdict", _exact(20), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counts),
        sa.Column("passed", _moment()),
        sa.Column("passed_deep", _moment()),
        sa.PrimaryKeyConstraint("site", "table_name", name="pk_pusher_verdict"),
        **_OPTIONS,
    )
    op.create_table(
        "pusher_version",
        sa.Column("table_name", _exact(128), nullable=False),
        sa.Column("central_key", _exact(255), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("row_hash", _exact(32), nullable=False),
        sa.Column("site", _exact(100)),
        sa.Column("changed", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "central_key", name="pk_pusher_version"),
        **_OPTIONS,
    )
    _create_for_people()


def _create_for_people() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "pusher_report",
        *_of_site_and_table(),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.BigInteger()),
        sa.Column("reported", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("site", "table_name", name="pk_pusher_report"),
        **_OPTIONS,
    )
    op.create_table(
        "pusher_event",
        sa.Column("id", big, nullable=False),
        sa.Column("site", _exact(100), nullable=False),
        sa.Column("kind", _exact(30), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("happened", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pusher_event"),
        **_OPTIONS,
    )
    _index_by_site("pusher_event")
    op.create_table(
        "pusher_author",
        sa.Column("table_name", _exact(128), nullable=False),
        sa.Column("central_key", _exact(255), nullable=False),
        sa.Column("site", _exact(100), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "central_key", name="pk_pusher_author"),
        **_OPTIONS,
    )
    op.create_table(
        "pusher_audit",
        sa.Column("id", big, nullable=False),
        sa.Column("happened", _moment(), nullable=False),
        sa.Column("token_id", sa.Integer(), nullable=False),
        sa.Column("site", _exact(100), nullable=False),
        sa.Column("method", _exact(10), nullable=False),
        sa.Column("table_name", _exact(128), nullable=False),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_pusher_audit"),
        **_OPTIONS,
    )
    _index_by_site("pusher_audit")


def _index_by_site(table: str) -> None:
    """MySQL has no IF NOT EXISTS here."""
    index = f"ix_{table}_site_happened"
    if index not in {known["name"] for known in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(index, table, ["site", "happened"])
