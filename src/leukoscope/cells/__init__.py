"""One cell image: read it (``decode``), know its size and stain (``measure``), tell whether it is fit to be used
(``quality``), and cut out what a model sees (``preprocess``). Numpy, OpenCV and Pillow only.
"""
