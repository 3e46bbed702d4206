"""The plain way to predict in torch: torchvision's network, a DataLoader over files, a CSV of probabilities.

    python plain_torch/predict.py WEIGHTS.safetensors FOLDER OUT.csv [--workers 2] [--batch 32] [--contiguous]

The network is the bundle's ResNet50, of torchvision, whose layers are those of timm. Pillow reads the files
(torchvision decodes no BMP) and resizes them to 224. Prints a line of JSON as keras/predict.py does.
"""

import argparse
import csv
import json
import time
from pathlib import Path

import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

SIZE = 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Files(Dataset[Tensor]):
    """Pictures as (3, 224, 224) float32, standardised as ImageNet's are."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        resized = [transforms.Resize((SIZE, SIZE)), transforms.ToTensor()]
        self.transform = transforms.Compose([*resized, transforms.Normalize(MEAN, DEVIATION)])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Tensor:
        with Image.open(self.paths[number]) as image:
            pixels: Tensor = self.transform(image.convert("RGB"))
        return pixels


def resnet50(weights: Path | str) -> nn.Module:
    """torchvision's, ready to predict, with the weights of a bundle: one logit, of the second class."""
    model: nn.Module = torchvision.models.resnet50(weights=None, num_classes=1)
    given = {name.removeprefix("backbone."): value for name, value in load_file(weights).items()}
    for part in ("weight", "bias"):
        given[f"fc.{part}"] = given.pop(f"head.linear.{part}")
    model.load_state_dict(given)
    return model.eval()


def predict(
    model: nn.Module, loader: DataLoader[Tensor], order: torch.memory_format
) -> tuple[list[float], list[tuple[int, float]]]:
    """Probabilities, and for each batch how many cells it had and when it ended."""
    model, found, batches = model.to(memory_format=order), list[float](), []
    with torch.inference_mode():
        for pixels in loader:
            found += model(pixels.to(memory_format=order)).sigmoid()[:, 0].tolist()
            batches.append((len(pixels), time.perf_counter()))
    return found, batches


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--contiguous", action="store_true", help="instead of channels-last")
    options = parser.parse_args()
    paths = sorted(options.folder.rglob("*.bmp"))
    loader = DataLoader(Files(paths), batch_size=options.batch, num_workers=options.workers)
    order = torch.contiguous_format if options.contiguous else torch.channels_last
    found, batches = predict(resnet50(options.weights), loader, order)
    with options.out.open("w", newline="") as target:
        rows = csv.writer(target)
        rows.writerow(["path", "blast_probability"])
        rows.writerows(zip(paths, found, strict=True))
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    print(json.dumps({"batches": batches, "written": time.perf_counter(), "versions": versions}))


if __name__ == "__main__":
    main()
