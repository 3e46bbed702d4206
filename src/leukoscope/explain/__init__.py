"""Heat maps of what a bundle's answer rests on, and the checks that say how far to believe them."""
