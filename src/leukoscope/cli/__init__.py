"""The program ``leukoscope``: what a user types. Rooms are imported inside the commands."""
