"""Whose the rows of streams are: scopes of rows, and single rows within the scope of another site."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "bookkeeping_0002"
down_revision = "bookkeeping_0001"
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


def upgrade() -> None:
    op.create_table(
        "pusher_scope",
        sa.Column("table_name", _exact(128), nullable=False),
        sa.Column("scope", _exact(32), nullable=False),
        sa.Column("site", _exact(100), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "scope", name="pk_pusher_scope"),
        **_OPTIONS,
    )
    op.create_table(
        "pusher_row",
        sa.Column("table_name", _exact(128), nullable=False),
        sa.Column("row_key", _exact(32), nullable=False),
        sa.Column("site", _exact(100), nullable=False),
        sa.PrimaryKeyConstraint("table_name", "row_key", name="pk_pusher_row"),
        **_OPTIONS,
    )
