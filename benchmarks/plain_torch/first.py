"""One picture, from a cold process to the answer: torchvision's SqueezeNet 1.1 and a saved state dict.

    python plain_torch/first.py STATE.pt IMAGE

The starter's network has the shapes of SqueezeNet 1.1 without its last module.
"""

import sys

import torch
import torchvision
from PIL import Image
from torchvision import transforms

SIZE = 112

model = torchvision.models.squeezenet1_1(weights=None, num_classes=2)
model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
model.eval()
resized = [transforms.Resize((SIZE, SIZE)), transforms.ToTensor()]
transform = transforms.Compose([*resized, transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
with torch.inference_mode(), Image.open(sys.argv[2]) as image:
    print(float(model(transform(image.convert("RGB"))[None]).softmax(1)[0, 1]))
