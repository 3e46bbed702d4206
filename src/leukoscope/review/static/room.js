// What every page needs: requests that change something carry the word of this session.
"use strict";
document.addEventListener("htmx:configRequest", (event) => {
  const word = document.body.dataset.csrf;
  if (word && event.detail.verb !== "get") event.detail.headers["X-CSRF-Token"] = word;
});
