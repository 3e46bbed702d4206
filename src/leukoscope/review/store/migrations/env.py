"""What Alembic runs: the steps, on the connection that it was given, in one transaction."""

from __future__ import annotations

from alembic import context

from leukoscope.review.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
