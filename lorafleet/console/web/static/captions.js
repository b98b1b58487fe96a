// Marks captions that were changed and not saved yet, and asks before they are lost.

const form = document.getElementById("captions");
const unsaved = document.getElementById("unsaved");

function changed() {
  return [...form.querySelectorAll("textarea")].filter((area) => area.value !== area.defaultValue);
}

if (form && unsaved) {
  let saving = false;
  form.addEventListener("input", (event) => {
    event.target.closest(".picture")?.classList.toggle("changed", event.target.value !== event.target.defaultValue);
    const count = changed().length;
    unsaved.textContent = count ? form.dataset.unsaved.replace("{count}", count) : "";
  });
  form.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") form.requestSubmit();
  });
  // Taking a picture out saves no captions.
  form.addEventListener("submit", (event) => (saving = event.submitter?.name !== "file"));
  window.addEventListener("beforeunload", (event) => {
    if (!saving && changed().length) event.preventDefault();
  });
}
