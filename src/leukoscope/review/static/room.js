// What every page needs: requests that change something carry the word of this session.
"use strict";
document.addEventListener("htmx:configRequest", (event) => {
  const word = document.body.dataset.csrf;
  if (word && event.detail.verb !== "get") event.detail.headers["X-CSRF-Token"] = word;
});
// What is shown once stands ready to be copied.
document.addEventListener("DOMContentLoaded", () => document.querySelector(".secret")?.select());
document.addEventListener("click", (event) => event.target.matches?.(".secret") && event.target.select());
// A form whose answer takes its time says so.
document.addEventListener("submit", (event) => {
  if (!event.target.dataset.wait || !event.submitter) return;
  event.submitter.textContent = event.target.dataset.wait;
  event.submitter.disabled = true;
});
