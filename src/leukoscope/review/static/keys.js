// Keys by what they do: which key means which action comes with the page, from the account.
const OWN = new Set(["enter", "space", "arrowleft", "arrowright", "arrowup", "arrowdown", "home", "end"]);

export function nameOf(event) {
  return event.key === " " ? "space" : event.key.toLowerCase();
}

// Call act(action, event) for each key that means one; keys that a field or a button needs stay theirs.
export function listen(keys, act) {
  const actions = Object.fromEntries(Object.entries(keys).map(([action, key]) => [key, action]));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    if (event.target.matches("textarea, select, input:not([type=range])")) return;
    const name = nameOf(event);
    if (OWN.has(name) && event.target.matches("a, button, summary, input")) return;
    const action = actions[name];
    if (action && act(action, event) !== false) event.preventDefault();
  });
}

export function help() {
  document.getElementById("help").showModal();
}
