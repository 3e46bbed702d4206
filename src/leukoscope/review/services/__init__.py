"""What can be done in the review room, one file for each thing; pages and API call the same functions."""
