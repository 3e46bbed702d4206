// Files to a case: a few at a time, those that are there skipped by their hash, a broken connection tried again.
import { post, Refused, said } from "./sending.js";

const FILES_AT_ONCE = 24;
const BYTES_AT_ONCE = 8e6;
const SIDE_BY_SIDE = 2;
const MOST_HASHED = 64 * 2 ** 20;
const TRIES = 4;

export class Transfer {
  // said is what their sender says of all of them; tell() is called when anything has changed.
  constructor(address, files, said, tell) {
    Object.assign(this, { address, files, said, tell });
    this.numDone = this.numSkipped = this.numTwice = this.numSent = this.bytesDone = 0;
    this.refused = [];
    this.bytes = files.reduce((sum, file) => sum + file.size, 0);
    this.underway = new Map();
    this.seen = new Map();
    this.next = 0;
    this.isStopped = false;
  }

  // All bytes have left, and the server has not answered yet: a photograph takes it a while.
  get isWaiting() {
    return this.underway.size > 0 && this.numDone < this.files.length && this.bytesSent >= this.bytes;
  }

  get bytesSent() {
    return this.bytesDone + [...this.underway.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  // True when all files are at the server; false when it was stopped; again to go on.
  async run() {
    this.isStopped = false;
    const lanes = Array.from({ length: SIDE_BY_SIDE }, () => this.lane());
    const ends = await Promise.allSettled(lanes);
    const bad = ends.find((end) => end.status === "rejected");
    if (bad) throw bad.reason;
    return !this.isStopped;
  }

  stop() {
    this.isStopped = true;
    for (const request of this.underway.keys()) request.abort();
  }

  async lane() {
    while (!this.isStopped) {
      const batch = this.back?.pop() ?? this.batch();
      if (!batch.length) return;
      try {
        await this.send(batch);
      } catch (error) {
        (this.back ??= []).push(batch);
        if (this.isStopped) return;
        this.stop();
        throw error;
      }
    }
  }

  batch() {
    const batch = [];
    for (let bytes = 0; this.next < this.files.length && batch.length < FILES_AT_ONCE; this.next += 1) {
      const file = this.files[this.next];
      if (batch.length && bytes + file.size > BYTES_AT_ONCE) break;
      bytes += file.size;
      batch.push(file);
    }
    return batch;
  }

  async send(batch) {
    const wanted = await this.unknown(batch);
    if (wanted.length) {
      const answer = await this.upload(wanted);
      this.numSent += wanted.length;
      for (const file of answer.files) if (file.reason) this.refused.push(file);
    }
    this.numDone += batch.length;
    this.bytesDone += batch.reduce((sum, file) => sum + file.size, 0);
    this.tell();
  }

  // Those whose bytes are not in the case, and were not among the files before.
  async unknown(batch) {
    const hashes = new Map();
    for (const file of batch) hashes.set(file, await hashOf(file));
    const asked = [...hashes.values()].filter(Boolean);
    const known = asked.length ? new Set((await again(() => post(`${this.address}/known`, { sha256s: asked.join(","), kind: this.said.kind }), this)).known) : new Set();
    return batch.filter((file) => {
      const hash = hashes.get(file);
      if (!hash) return true;
      if ((this.seen.get(hash) ?? file) !== file) {
        this.numTwice += 1;
        return false;
      }
      this.seen.set(hash, file);
      if (known.has(hash)) this.numSkipped += 1;
      return !known.has(hash);
    });
  }

  upload(files) {
    const form = new FormData();
    for (const [name, value] of Object.entries(this.said)) form.append(name, value);
    for (const file of files) form.append("files", file, file.name);
    return again(() => this.once(form), this);
  }

  once(form) {
    return new Promise((done, fail) => {
      const request = new XMLHttpRequest(); // fetch does not say how many bytes have left
      request.open("POST", `${this.address}/files`);
      request.setRequestHeader("X-CSRF-Token", document.body.dataset.csrf);
      request.upload.addEventListener("progress", (event) => {
        this.underway.set(request, event.loaded);
        this.tell();
      });
      request.addEventListener("loadend", () => {
        this.underway.delete(request);
        if (request.status === 200) return done(JSON.parse(request.responseText));
        const words = request.status ? (said(request.responseText) ?? `The server answered ${request.status}.`) : "The connection broke.";
        return fail(new Refused(words, request.status));
      });
      this.underway.set(request, 0);
      request.send(form);
    });
  }
}

// A connection that breaks is tried again, each time a little later; what the server refuses is not.
async function again(what, transfer) {
  for (let number = 1; ; number += 1) {
    try {
      return await what();
    } catch (error) {
      if (error.status || number === TRIES || transfer.isStopped) throw error;
      await new Promise((wake) => setTimeout(wake, 500 * 2 ** number));
    }
  }
}

// SHA-256 in hexadecimal; null for what is too large to be held, and where a browser has no such function.
async function hashOf(file) {
  if (!globalThis.crypto?.subtle || file.size > MOST_HASHED) return null;
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
