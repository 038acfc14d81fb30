"""The domain tables: houses, what is in them and what was measured there.

Types are written out and not imported: a migration must stay what it was when the models move on.
Every step may run twice, since MariaDB cannot take back a half-done migration.
Forward only: pusher drops no table.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "domain_0001"
down_revision = None
branch_labels = ("domain",)
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
_KEY = sa.String(255).with_variant(mysql.VARCHAR(255, collation="utf8mb4_bin"), *_MYSQL)
_GLOBAL_ID = sa.Integer().with_variant(sa.BigInteger(), "sqlite")


def upgrade() -> None:
    _create_places()
    _create_devices()
    _create_streams()


def _create_places() -> None:
    _create_named("Deployment", "name", sa.Column("description", sa.String(255), nullable=True), *_period())
    _create_named("Server", "hostname")
    op.create_table(
        "House",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("deploymentId", sa.Integer(), nullable=True),
        sa.Column("address", _KEY, nullable=False),
        *_period(),
        sa.Column("serverid", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_House"),
        sa.UniqueConstraint("address", name="uq_House_address"),
        _refer("House", "deploymentId", "Deployment"),
        _refer("House", "serverid", "Server"),
        **_OPTIONS,
    )
    _create_named("RoomType", "name")
    _create_named(
        "Room",
        "name",
        sa.Column("roomTypeId", sa.Integer(), nullable=True),
        _refer("Room", "roomTypeId", "RoomType"),
    )
    op.create_table(
        "Location",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("houseId", sa.Integer(), nullable=False),
        sa.Column("roomId", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_Location"),
        sa.UniqueConstraint("houseId", "roomId", name="uq_Location_houseId_roomId"),
        _refer("Location", "houseId", "House"),
        _refer("Location", "roomId", "Room"),
        **_OPTIONS,
    )
    op.create_table(
        "Pushstatus",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("time", _MOMENT, nullable=True),
        sa.Column("localtime", _MOMENT, nullable=True),
        sa.Column("hostname", sa.String(255), nullable=True),
        sa.Column("version", sa.String(255), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_Pushstatus"),
        **_OPTIONS,
    )


def _create_devices() -> None:
    op.create_table(
        "NodeType",
        sa.Column("id", _GLOBAL_ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(255), nullable=True),
        sa.Column("time", _MOMENT, nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("updated_seq", sa.Integer(), nullable=True),
        sa.Column("period", sa.Integer(), nullable=True),
        sa.Column("blink", sa.Boolean(), nullable=True),
        sa.Column("configured", sa.String(255), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_NodeType"),
        **_OPTIONS,
    )
    op.create_table(
        "Node",
        sa.Column("id", _GLOBAL_ID, autoincrement=False, nullable=False),
        sa.Column("locationId", sa.Integer(), nullable=True),
        sa.Column("nodeTypeId", _GLOBAL_ID, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_Node"),
        _refer("Node", "locationId", "Location"),
        _refer("Node", "nodeTypeId", "NodeType"),
        **_OPTIONS,
    )
    op.create_table(
        "SensorType",
        sa.Column("id", _GLOBAL_ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(255), nullable=True),
        sa.Column("code", sa.String(50), nullable=True),
        sa.Column("units", sa.String(20), nullable=True),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("c0", "c1", "c2", "c3")),
        sa.PrimaryKeyConstraint("id", name="pk_SensorType"),
        **_OPTIONS,
    )
    op.create_table(
        "Sensor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sensorTypeId", _GLOBAL_ID, nullable=False),
        sa.Column("nodeId", _GLOBAL_ID, nullable=False),
        sa.Column("calibrationSlope", sa.Double(), nullable=True),
        sa.Column("calibrationOffset", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_Sensor"),
        sa.UniqueConstraint("nodeId", "sensorTypeId", name="uq_Sensor_nodeId_sensorTypeId"),
        _refer("Sensor", "sensorTypeId", "SensorType"),
        _refer("Sensor", "nodeId", "Node"),
        **_OPTIONS,
    )


def _create_streams() -> None:
    op.create_table(
        "Reading",
        sa.Column("time", _MOMENT, nullable=False),
        sa.Column("nodeId", _GLOBAL_ID, nullable=False),
        sa.Column("type", _GLOBAL_ID, nullable=False),
        sa.Column("locationId", sa.Integer(), nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("time", "nodeId", "type", name="pk_Reading"),
        _refer("Reading", "nodeId", "Node"),
        _refer("Reading", "type", "SensorType"),
        _refer("Reading", "locationId", "Location"),
        **_OPTIONS,
    )
    op.create_table(
        "NodeState",
        sa.Column("time", _MOMENT, nullable=False),
        sa.Column("nodeId", _GLOBAL_ID, nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("localtime", sa.BigInteger(), nullable=True),
        sa.Column("seq_num", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rssi", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("time", "nodeId", "seq_num", name="pk_NodeState"),
        _refer("NodeState", "nodeId", "Node"),
        **_OPTIONS,
    )


def _create_named(table: str, key: str, *rest: sa.schema.SchemaItem) -> None:
    """A numbered table whose rows `key` names."""
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(key, _KEY, nullable=False),
        *rest,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint(key, name=f"uq_{table}_{key}"),
        **_OPTIONS,
    )


def _period() -> tuple[sa.Column, sa.Column]:
    return sa.Column("startDate", _MOMENT, nullable=True), sa.Column("endDate", _MOMENT, nullable=True)


def _refer(table: str, column: str, parent: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=f"fk_{table}_{column}_{parent}")
