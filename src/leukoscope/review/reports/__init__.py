"""What a case leaves the room as: one document, shown as HTML, PDF and JSON."""
