// Files are dropped or chosen on the page of a case, or with the form of a new one, and sent with progress.
import { filesOf } from "./dropped.js";
import { Refused, said } from "./sending.js";
import { Transfer } from "./transfer.js";

const drop = document.getElementById("drop");
const form = document.getElementById("new-case");
const part = (id) => document.getElementById(id);
const endings = new Set([...drop.dataset.endings.split(" "), ".zip"]);
const isWanted = (name) => !name.startsWith(".") && endings.has(name.slice(name.lastIndexOf(".")).toLowerCase());
const files = (num) => (num === 1 ? "1 file" : `${num.toLocaleString("en")} files`);
const megabytes = (bytes) => `${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 })} MB`;
let address = drop.dataset.case ? `/cases/${drop.dataset.case}` : null;
let waiting = [];
let numLeft = 0;
let transfer = null;

// A new case keeps its files until it is made; a case that is there takes them at once.
function collect({ files: came, left }) {
  if (!came.length && !left) return;
  numLeft += left;
  if (transfer) return notes(["Wait until the files before are sent, then drop these again."]);
  waiting.push(...came);
  if (address) return start();
  const bytes = waiting.reduce((sum, file) => sum + file.size, 0);
  part("collected").textContent = `${files(waiting.length)}, ${megabytes(bytes)}, will be sent with it${numLeft ? `; ${files(numLeft)} that are no images by their names are left out` : ""}.`;
  drop.classList.add("full");
}

function notes(lines) {
  part("sent-notes").replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
}

function tell() {
  const bar = part("sent");
  bar.max = Math.max(1, transfer.bytes);
  bar.value = Math.min(transfer.bytes, transfer.bytesSent);
  part("sent-words").textContent = `${transfer.numDone.toLocaleString("en")} of ${files(transfer.files.length)}, ${megabytes(bar.value)} of ${megabytes(transfer.bytes)}.${transfer.isWaiting ? " All is sent; the server looks at what came …" : ""}`;
  const lines = [];
  if (transfer.numSkipped) lines.push(`${files(transfer.numSkipped)} were in this case already, and were skipped.`);
  if (transfer.numTwice) lines.push(`${files(transfer.numTwice)} were dropped twice, and are sent once.`);
  if (numLeft) lines.push(`${files(numLeft)} are no images by their names, and were left out.`);
  for (const file of transfer.refused.slice(0, 20)) lines.push(`${file.name}: ${file.reason}`);
  if (transfer.refused.length > 20) lines.push(`… and ${files(transfer.refused.length - 20)} more that were not taken.`);
  notes(lines);
}

// What all files are, by the word of who sends them.
function toldOf() {
  const kind = document.querySelector("#kinds [name=kind]:checked").value;
  return { kind, pixel_size: kind === "photographs" ? part("pixel_size").value.trim() : "" };
}

function showKind() {
  const { kind } = toldOf();
  part("pixels").hidden = kind !== "photographs";
  part("what-files").textContent = kind;
}

async function start() {
  transfer ??= new Transfer(address, waiting.splice(0), toldOf(), tell);
  transfer.said = toldOf(); // what was refused may have been mended
  part("kinds").disabled = true;
  drop.dataset.sending = "";
  part("sending").hidden = false;
  part("go-on").hidden = true;
  part("stop").hidden = false;
  if (part("more")) part("more").open = true;
  drop.scrollIntoView({ block: "nearest" });
  try {
    tell();
    if (await transfer.run()) return finish();
    pause("Stopped.");
  } catch (error) {
    pause(error.message);
  }
}

// What was sent is kept: only the rest is sent again, now or when the same files are dropped another day.
function pause(words) {
  delete drop.dataset.sending;
  part("kinds").disabled = false;
  part("sent-words").textContent = `${words} ${transfer.numDone.toLocaleString("en")} of ${files(transfer.files.length)} are safe. Go on, or drop the same files again later.`;
  part("go-on").hidden = false;
  part("stop").hidden = true;
}

function finish() {
  const numTaken = transfer.numSent - transfer.refused.length;
  const isSilent = !form && !numTaken && !transfer.refused.length;
  transfer = null;
  delete drop.dataset.sending;
  if (!isSilent) return location.assign(address);
  part("kinds").disabled = false;
  part("stop").hidden = true;
  part("sent-words").textContent = "All of these files were in the case already.";
}

async function make(event) {
  if (!waiting.length || address) return;
  event.preventDefault();
  part("make").disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    if (!answer.ok) throw new Refused(said(await answer.text()) ?? `The server answered ${answer.status}.`, answer.status);
    const path = new URL(answer.url).pathname;
    if (!/^\/cases\/\d+$/.test(path)) return location.assign(path);
    address = path;
    for (const field of form.querySelectorAll(".field :is(input, select):not(#pixel_size)")) field.disabled = true;
    part("collected").textContent = "The case is made; its files are being sent.";
    await start();
  } catch (error) {
    const words = Object.assign(document.createElement("p"), { className: "said", textContent: error.message });
    words.setAttribute("role", "alert");
    part("form-said").replaceChildren(words);
    part("make").disabled = false;
  }
}

form?.addEventListener("submit", make);
part("kinds").addEventListener("change", showKind);
showKind(); // a browser that went back keeps what was chosen
for (const id of ["files", "folder"]) {
  part(id).addEventListener("change", (event) => {
    const chosen = [...event.target.files];
    const wanted = id === "folder" ? chosen.filter((file) => isWanted(file.name)) : chosen;
    collect({ files: wanted, left: chosen.length - wanted.length });
    event.target.value = "";
  });
}
part("stop").addEventListener("click", () => transfer?.stop());
part("go-on").addEventListener("click", start);

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (part("more")) part("more").open = true;
    drop.classList.add("over");
  });
}
addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  drop.classList.remove("over");
  collect(await filesOf(event.dataTransfer, isWanted));
});
addEventListener("beforeunload", (event) => transfer && !transfer.isStopped && event.preventDefault());
// A page that is sending files does not load itself anew when what was sent before has been read.
document.addEventListener("htmx:configRequest", (event) => {
  if (transfer && event.detail.path.endsWith("/progress")) event.detail.parameters.sending = "true";
});
