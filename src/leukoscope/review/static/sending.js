// Requests of our own pages, and errors in the server's own words.
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function reading(answer) {
  if (answer.status === 204) return null;
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") throw new Refused("Your session has ended: sign in again.", 401);
  if (!answer.ok) throw new Refused(said(await answer.text()) ?? `The server answered ${answer.status}.`, answer.status);
  return answer.headers.get("Content-Type").includes("json") ? answer.json() : answer.text();
}

// What a page of the server says went wrong.
export function said(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const words = page.querySelector(".said");
  if (!words) return null;
  const hint = words.nextElementSibling?.matches("p:not(:has(.button))") ? ` ${words.nextElementSibling.textContent}` : "";
  const text = words.textContent.trim();
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}${hint}`;
}

export const get = async (address) => reading(await reach(address, {}));

export const post = async (address, fields) =>
  reading(await reach(address, { method: "POST", body: new URLSearchParams(fields), headers: { "X-CSRF-Token": document.body.dataset.csrf } }));

async function reach(address, how) {
  try {
    return await fetch(address, how);
  } catch {
    throw new Refused("The server cannot be reached. What was done before is kept.", 0);
  }
}
