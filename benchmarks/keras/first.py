"""One picture, from a cold process to the answer, as the documents' users would: a saved network of Keras.

keras/.venv/bin/python keras/first.py NETWORK.keras IMAGE
"""

import sys

import numpy as np
from tensorflow.keras.models import load_model
from tensorflow.keras.preprocessing.image import img_to_array, load_img

model = load_model(sys.argv[1])
_, height, width, _ = model.input_shape
pixels = img_to_array(load_img(sys.argv[2], target_size=(height, width))) / 255
print(float(model.predict(np.expand_dims(pixels, 0), verbose=0)[0, 0]))
