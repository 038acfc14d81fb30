"""Runs migrations on the connection that pusher.central.migrate hands over, as Alembic asks of a file of this name."""

from alembic import context

context.configure(**context.config.attributes["configure"])
with context.begin_transaction():
    context.run_migrations()
