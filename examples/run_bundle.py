"""A bundle without Leukoscope: python run_bundle.py MODEL.leuko CELL.bmp (see docs/bundle-format.md)."""

import json, sys
import numpy as np
import onnxruntime

folder, file = sys.argv[1:]
info = json.load(open(f"{folder}/bundle.json", encoding="utf-8"))
fit, novelty, point = info["calibration"], info["novelty"], info["operating_points"][0]
start, _, width, height = np.fromfile(file, "<i4", 4, offset=10)  # of a BMP of 24 bits, last row first
image = np.fromfile(file, "u1", offset=start).reshape(height, -1)[::-1, : 3 * width].reshape(height, width, 3)
solid = image.max(axis=2)
box = tuple(slice(on.argmax(), len(on) - on[::-1].argmax()) for on in (solid.any(1), solid.any(0)))
area, faint, corners = (solid > 0).sum(), (solid[solid > 0] <= 20).mean(), solid[:: height - 1, :: width - 1]
assert info["quality_limits"]["none_area"] <= area < 0.97 * solid[box].size, "no cell on black: see step 3"
assert faint <= 0.03 and (corners > 20).sum() <= 1, "not the clean black of a lossless file: steps 2 and 3"
field, size = info["preprocess"]["field"], info["preprocess"]["size"]
edges = np.arange(size + 1)[:, None] * field / size - field // 2
down, across = (np.diff(np.clip(edges + n // 2 - np.arange(n), 0, 1), axis=0) for n in image[box].shape[:2])
mean = np.einsum("ij,jkc,lk->ilc", down, image[box], across, optimize=True) * (size / field) ** 2
cell = np.rint(mean.round(6) + 1e-3 * (field == 2 * size)).astype(np.uint8)[:, :, ::-1]  # red, green, blue
views = [np.rot90(view, turns) for view in (cell, cell[:, ::-1]) for turns in range(4)][: info["views"]]
model = onnxruntime.InferenceSession(f"{folder}/model.onnx")
logits, embedding = model.run(["logits", "embedding"], {"cells": np.stack(views)})
assert fit["method"] in ("temperature", "platt") and novelty, "this bundle needs more: see steps 6 and 8"
odds = np.exp(logits.mean(axis=0) / fit["temperature"] + np.array(fit["bias"] or 0))
p = sum(odds[info["classes"].index(name)] for name in info["positive_classes"]) / odds.sum()
call = "blast" if p >= point["blast_from"] else "normal" if p < point["normal_below"] else "indeterminate"
away = np.sort(((np.load(f"{folder}/novelty.npz")["embeddings"] - embedding[0]) ** 2).mean(axis=1)) ** 0.5
print("indeterminate" if away[novelty["k"] - 1] > novelty["distance"] else call, p)
