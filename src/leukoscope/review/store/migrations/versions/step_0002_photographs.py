"""Photographs of smears, and the cells that were cut out of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNTED = ["case_id", "decision", "reviewed_at", "model_decision", "photograph"]


def upgrade() -> None:
    """One step forward."""
    # In words of SQL: to add a constraint, SQLite's tables would be made anew, and others name their rows.
    op.execute(
        "ALTER TABLE images ADD COLUMN kind VARCHAR(16) DEFAULT 'cell' NOT NULL "
        "CONSTRAINT ck_images_kind CHECK (kind IN ('cell', 'photograph', 'cut'))"
    )
    op.add_column("cells", sa.Column("apart", sa.String(length=16), server_default="", nullable=False))
    op.drop_index("ix_cells_counted", "cells")
    op.create_index("ix_cells_counted", "cells", [*COUNTED, "apart"])
    for name in ("num_photographs_done", "num_photographs"):
        op.add_column("jobs", sa.Column(name, KEY, server_default="0", nullable=False))
    op.create_table(
        "photographs",
        sa.Column("photograph_id", KEY, nullable=False),
        sa.Column("case_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("micrometres_per_pixel", sa.Double(), nullable=True),
        sa.Column("scale_source", sa.String(length=32), nullable=True),
        sa.Column("num_red_cells", KEY, nullable=False),
        sa.Column("num_cells", KEY, nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_photographs_case_id")),
        sa.ForeignKeyConstraint(
            ["photograph_id"], ["images.image_id"], name=op.f("fk_photographs_photograph_id")
        ),
        sa.PrimaryKeyConstraint("photograph_id", name=op.f("pk_photographs")),
        sa.UniqueConstraint("case_id", "name", name=op.f("uq_photographs_case_id_name")),
    )
    op.create_table(
        "cuts",
        sa.Column("image_id", KEY, nullable=False),
        sa.Column("photograph_id", KEY, nullable=False),
        sa.Column("number", KEY, nullable=False),
        sa.Column("box", sa.JSON(), nullable=False),
        sa.Column("outline", sa.JSON(), nullable=False),
        sa.Column("flags", sa.String(length=128), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.image_id"], name=op.f("fk_cuts_image_id")),
        sa.ForeignKeyConstraint(
            ["photograph_id"], ["photographs.photograph_id"], name=op.f("fk_cuts_photograph_id")
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_cuts")),
        sa.UniqueConstraint("photograph_id", "number", name=op.f("uq_cuts_photograph_id_number")),
    )


def downgrade() -> None:
    """One step back."""
    op.drop_table("cuts")
    op.drop_table("photographs")
    for name in ("num_photographs_done", "num_photographs"):
        op.drop_column("jobs", name)
    op.drop_index("ix_cells_counted", "cells")
    op.create_index("ix_cells_counted", "cells", COUNTED)
    op.drop_column("cells", "apart")
    op.drop_column("images", "kind")
