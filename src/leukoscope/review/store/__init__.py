"""What the review room keeps: tables, their migrations, and how they are read and written."""
