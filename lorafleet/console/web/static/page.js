// What every page has: a question before what cannot be undone, and no second click while the first is on its way.

document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  if (form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});

// Going back shows the page as it was left, with its forms ready again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// A part that is exchanged while somebody is in it with the keyboard gives the focus back to the same place.
let focused = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  const active = document.activeElement;
  const target = event.detail.target;
  // What a person has opened or is about to answer must not be pulled away.
  if (target.contains(active) && active.matches("input, textarea, select") && target.id === "live") event.detail.shouldSwap = false;
  const all = [...target.querySelectorAll("a, button, summary, [tabindex]")];
  focused = target.contains(active) ? { id: target.id, index: all.indexOf(active) } : null;
});
document.addEventListener("htmx:afterSwap", () => {
  if (!focused || focused.index < 0) return;
  const target = document.getElementById(focused.id);
  const all = target ? [...target.querySelectorAll("a, button, summary, [tabindex]")] : [];
  all[focused.index]?.focus({ preventScroll: true });
  focused = null;
});
