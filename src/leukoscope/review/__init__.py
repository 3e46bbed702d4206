"""The review room: a web app in which a laboratory goes from images to a signed, traceable result."""
