"""Save the network of a recipe, with random weights, as Keras does.

keras/.venv/bin/python keras/save.py RECIPE.json NETWORK.keras
"""

import json
import sys
from pathlib import Path

from peer import plain_cnn

plain_cnn(json.loads(Path(sys.argv[1]).read_text())).save(sys.argv[2])
