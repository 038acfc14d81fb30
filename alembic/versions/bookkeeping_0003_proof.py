"""What arrived of each block, what was deleted, what comparisons found, and the versions of rows that go both ways."""

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
