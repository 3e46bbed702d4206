// A bundle in JavaScript: node run_bundle.js MODEL.leuko CELL.bmp..., every step of docs/bundle-format.md.
// It needs onnxruntime-web (npm install onnxruntime-web), which runs in browsers, too; onnxruntime-node is used alike.
"use strict";
const fs = require("node:fs");
const ort = require("onnxruntime-web");

/** Step 1, of a BMP of 24 bits: rows from the top, red green blue. */
function decode(file) {
  const data = fs.readFileSync(file);
  const start = data.readUInt32LE(10), width = data.readInt32LE(18), height = data.readInt32LE(22);
  const stride = (width * 3 + 3) & ~3, rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++)
        rgb[(y * width + x) * 3 + c] = data[start + (height - 1 - y) * stride + x * 3 + 2 - c];
  return { width, height, rgb };
}

/** The body of a mask: its box and area; null where there is none. */
function bodyOf(mask, width, height) {
  let left = width, top = height, right = -1, bottom = -1, area = 0;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      if (mask[y * width + x] > 0) {
        area++;
        left = Math.min(left, x); right = Math.max(right, x);
        top = Math.min(top, y); bottom = Math.max(bottom, y);
      }
  return area ? { left, top, width: right - left + 1, height: bottom - top + 1, area } : null;
}

/** Steps 2 and 3. */
function findCell({ width, height, rgb }) {
  const mask = new Uint8Array(width * height);
  for (let i = 0; i < mask.length; i++) mask[i] = Math.max(rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]);
  let body = bodyOf(mask, width, height);
  const isNoisy = (step) => {
    let faint = 0;
    for (let y = body.top; y < body.top + body.height; y += step)
      for (let x = 0; x < width; x++) if (mask[y * width + x] > 0 && mask[y * width + x] <= 20) faint++;
    return step * faint > 0.03 * body.area;
  };
  if (body && isNoisy(8) && isNoisy(1)) {
    for (let i = 0; i < mask.length; i++) if (mask[i] <= 20) mask[i] = 0;
    body = bodyOf(mask, width, height);
  }
  const corners = [0, width - 1, (height - 1) * width, height * width - 1].filter((i) => mask[i] > 20);
  const segmented = body !== null && body.area < 0.97 * body.width * body.height && corners.length <= 1;
  return { mask, body, segmented };
}

/** Step 4: size x size x 3 bytes. */
function modelInput(image, { mask, body, segmented }, { field, size }) {
  const taken = segmented ? body : { left: 0, top: 0, width: image.width, height: image.height };
  const value = (row, column, c) => { // of the window
    const y = row - Math.floor(field / 2) + Math.floor(taken.height / 2);
    const x = column - Math.floor(field / 2) + Math.floor(taken.width / 2);
    if (y < 0 || x < 0 || y >= taken.height || x >= taken.width) return 0;
    const i = (y + taken.top) * image.width + x + taken.left;
    return segmented && mask[i] === 0 ? 0 : image.rgb[3 * i + c];
  };
  const step = field / size, result = new Uint8Array(size * size * 3);
  const share = (place, pixel) => Math.min((place + 1) * step, pixel + 1) - Math.max(place * step, pixel);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++)
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let y = Math.floor(i * step); y < (i + 1) * step; y++)
          for (let x = Math.floor(j * step); x < (j + 1) * step; x++)
            sum += share(i, y) * share(j, x) * value(y, x, c);
        const mean = sum / (step * step), low = Math.floor(mean), rest = mean - low;
        const up = rest > 0.5 || (rest === 0.5 && (step === 2 || low % 2 === 1));
        result[(i * size + j) * 3 + c] = up ? low + 1 : low;
      }
  return result;
}

/** A quarter turn, or the picture mirrored left to right. */
function moved(cell, size, from) {
  const result = new Uint8Array(cell.length);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      const [y, x] = from(i, j);
      for (let c = 0; c < 3; c++) result[(i * size + j) * 3 + c] = cell[(y * size + x) * 3 + c];
    }
  return result;
}

/** Step 5: the mean logits, and the embedding of the cell as it lies. */
async function run(session, cell, size, numViews) {
  const views = [cell];
  for (let turn = 1; turn < 4; turn++) views.push(moved(views[turn - 1], size, (i, j) => [j, size - 1 - i]));
  for (let turn = 0; turn < 4; turn++) views.push(moved(views[turn], size, (i, j) => [i, size - 1 - j]));
  let logits = [], embedding = [];
  for (const view of views.slice(0, numViews)) {
    const out = await session.run({ cells: new ort.Tensor("uint8", view, [1, size, size, 3]) });
    if (view === cell) embedding = Array.from(out.embedding.data);
    logits = Array.from(out.logits.data, (value, k) => (logits[k] ?? 0) + value / numViews);
  }
  return { logits, embedding };
}

/** Step 6. */
function calibrate(logits, fit) {
  const logistic = (z) => 1 / (1 + Math.exp(-z)), z = logits[1] - logits[0];
  if (fit.method === "beta") {
    const [a, b, c] = fit.beta;
    const second = logistic(a * Math.log(logistic(z)) - b * Math.log(logistic(-z)) + c);
    return [1 - second, second];
  }
  if (fit.method === "isotonic") {
    const next = fit.knots.findIndex(([at]) => at >= z);
    if (next <= 0) { const end = fit.knots.at(next)[1]; return [1 - end, end]; }
    const [[z0, p0], [z1, p1]] = fit.knots.slice(next - 1, next + 1);
    const second = p0 + ((p1 - p0) * (z - z0)) / (z1 - z0);
    return [1 - second, second];
  }
  const scores = logits.map((value, k) => value / fit.temperature + (fit.bias[k] ?? 0));
  const odds = scores.map((score) => Math.exp(score - Math.max(...scores)));
  return odds.map((value) => value / odds.reduce((sum, other) => sum + other));
}

/** The references of novelty.npz: a zip whose one member, embeddings.npy, is stored as it is. */
function references(file) {
  const data = fs.readFileSync(file);
  const npy = 30 + data.readUInt16LE(26) + data.readUInt16LE(28); // behind the member's own header
  const head = 10 + data.readUInt16LE(npy + 8), text = data.toString("latin1", npy + 10, npy + head);
  const [num, wide] = /'shape': \((\d+), (\d+)\)/.exec(text).slice(1).map(Number);
  const half = (bits) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  };
  return Array.from({ length: num }, (_, row) =>
    Array.from({ length: wide }, (_, k) => half(data.readUInt16LE(npy + head + 2 * (row * wide + k)))));
}

/** Step 8. */
function noveltyOf(embedding, known, k) {
  const apart = known.map((row) =>
    Math.sqrt(row.reduce((sum, value, d) => sum + (value - embedding[d]) ** 2, 0) / row.length));
  return apart.sort((a, b) => a - b)[k - 1];
}

/** Step 9: the flag of the three that is set. */
function flagOf(image, { body, segmented }, limits) {
  if (segmented) return body.area < limits.none_area ? "none" : null;
  if (!body) return "blank";
  const sums = [0, 0, 0], squares = [0, 0, 0], step = Math.max(1, Math.floor(image.height / 128));
  let num = 0;
  for (let y = 0; y < image.height; y += step)
    for (let x = 0; x < image.width; x++, num++)
      for (let c = 0; c < 3; c++) {
        const value = image.rgb[(y * image.width + x) * 3 + c];
        sums[c] += value; squares[c] += value * value;
      }
  const spread = sums.map((sum, c) => Math.sqrt(Math.max(squares[c] / num - (sum / num) ** 2, 0)));
  return Math.max(...spread) < 2 ? "blank" : "not-segmented";
}

async function main([folder, ...files]) {
  const info = JSON.parse(fs.readFileSync(`${folder}/bundle.json`, "utf8"));
  const session = await ort.InferenceSession.create(fs.readFileSync(`${folder}/model.onnx`));
  const known = info.novelty ? references(`${folder}/novelty.npz`) : null, point = info.operating_points[0];
  for (const file of files) {
    const image = decode(file), found = findCell(image);
    const cell = modelInput(image, found, info.preprocess);
    const { logits, embedding } = await run(session, cell, info.preprocess.size, info.views);
    const probabilities = calibrate(logits, info.calibration);
    const p = info.positive_classes.reduce((sum, name) => sum + probabilities[info.classes.indexOf(name)], 0);
    const flag = flagOf(image, found, info.quality_limits); // steps 7 and 10 from here
    const novelty = known ? noveltyOf(embedding, known, info.novelty.k) : null;
    let reason = null;
    if (info.forbidding_flags.includes(flag)) reason = `quality: ${flag}`;
    else if (known && novelty > info.novelty.distance) reason = "novel";
    else if (p >= point.normal_below && p < point.blast_from) reason = "between thresholds";
    const decision = reason ? "indeterminate" : p >= point.blast_from ? "blast" : "normal";
    console.log(JSON.stringify({ file, decision, reason, blast_probability: p, novelty }));
  }
}

main(process.argv.slice(2));
