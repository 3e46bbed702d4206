"""One cell image.

``decode`` reads it, ``measure`` knows its size and stain, ``quality`` tells whether it is fit to be used,
``preprocess`` cuts out what a model sees. Numpy, OpenCV and Pillow only.
"""
