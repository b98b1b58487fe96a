// Files, folders and zip archives into a new version: several requests, each small enough to be sent again, with their progress.

const drop = document.getElementById("drop");
const bar = document.getElementById("upload-bar");
const text = document.getElementById("upload-text");
const refused = document.getElementById("upload-refused");
const BATCH_BYTES = 32 * 1024 * 1024;
const BATCH_FILES = 50;
const TRIES = 3;

const said = (name, values = {}) =>
  Object.entries(values).reduce((line, [key, value]) => line.replace(`{${key}}`, value), drop.dataset[`text${name}`]);

function size(bytes) {
  return bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

// A folder's entries come in parts of at most 100.
async function entries(directory) {
  const reader = directory.createReader();
  const found = [];
  for (;;) {
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!part.length) return found;
    found.push(...part);
  }
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, name: entry.fullPath.replace(/^\//, "") });
  } else {
    for (const child of await entries(entry)) await walk(child, found);
  }
}

export function batches(files) {
  const made = [];
  let bytes = Infinity;
  for (const item of files) {
    const last = made[made.length - 1];
    if (!last || bytes + item.file.size > BATCH_BYTES || last.length >= BATCH_FILES) {
      made.push([item]);
      bytes = item.file.size;
    } else {
      last.push(item);
      bytes += item.file.size;
    }
  }
  return made;
}

function send(method, address, body, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, address);
    request.responseType = "json";
    request.setRequestHeader("Accept", "application/json");
    if (progress) request.upload.addEventListener("progress", progress);
    request.addEventListener("load", () => {
      if (request.status < 400) resolve(request.response);
      else reject(Object.assign(new Error(request.response?.detail ?? request.statusText), { status: request.status }));
    });
    request.addEventListener("error", () => reject(new Error(drop.dataset.textOffline)));
    request.send(body);
  });
}

// A broken connection or a console that starts again is no reason to begin anew; files that came twice are harmless.
async function sendAgain(...request) {
  for (let left = TRIES; ; left -= 1) {
    try {
      return await send(...request);
    } catch (error) {
      if (left <= 1 || (error.status && error.status < 500)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  }
}

function list(lines) {
  refused.replaceChildren(
    ...lines.map(({ name, refused: reason }) => {
      const item = document.createElement("li");
      item.textContent = reason ? `${name}: ${reason}` : name;
      return item;
    }),
  );
  refused.hidden = !lines.length;
}

let busy = false;

async function upload(files) {
  if (busy) return;
  if (!files.length) {
    text.textContent = said("Nothing");
    return;
  }
  busy = true;
  list([]);
  bar.hidden = false;
  bar.value = 0;
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  const base = `/api/v1/datasets/${drop.dataset.dataset}/drafts`;
  const left = [];
  try {
    const keep = document.getElementById("keep-files")?.checked ? `?base=${drop.dataset.base}` : "";
    const { draft } = await sendAgain("POST", base + keep);
    let done = 0;
    const told = (bytes) => {
      bar.value = total ? (100 * bytes) / total : 100;
      text.textContent = said("Sending", { done: size(Math.min(bytes, total)), total: size(total) });
    };
    for (const batch of batches(files)) {
      const form = new FormData();
      for (const { file, name } of batch) form.append("files", file, name);
      told(done);
      try {
        const taken = await sendAgain("POST", `${base}/${draft}/uploads`, form, (event) => told(done + event.loaded));
        left.push(...taken.filter((item) => item.refused));
      } catch (error) {
        // One bad file refuses its request: the others are sent by themselves.
        if (error.status !== 422 || batch.length === 1) {
          if (error.status !== 422 || files.length === 1) throw error;
          left.push({ name: batch[0].name, refused: error.message });
        } else {
          for (const { file, name } of batch) {
            const single = new FormData();
            single.append("files", file, name);
            try {
              const taken = await sendAgain("POST", `${base}/${draft}/uploads`, single);
              left.push(...taken.filter((item) => item.refused));
            } catch (problem) {
              if (problem.status !== 422) throw problem;
              left.push({ name, refused: problem.message });
            }
          }
        }
      }
      done += batch.reduce((sum, { file }) => sum + file.size, 0);
    }
    bar.removeAttribute("value");
    text.textContent = said("Checking");
    await sendAgain("POST", `${base}/${draft}/finish`);
    if (left.length) sessionStorage.setItem("refused", JSON.stringify({ dataset: drop.dataset.dataset, left }));
    window.location.assign(`/datasets/${drop.dataset.dataset}`);
  } catch (error) {
    busy = false;
    bar.hidden = true;
    text.textContent = said("Failed", { reason: error.message });
    list(left);
  }
}

if (drop) {
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", (event) => {
    if (!drop.contains(event.relatedTarget)) drop.classList.remove("over");
  });
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    // The entries are gone after the first wait.
    const roots = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    text.textContent = said("Reading");
    const found = [];
    for (const root of roots) await walk(root, found);
    await upload(found);
  });
  for (const id of ["pick-files", "pick-folder"]) {
    const input = document.getElementById(id);
    const take = () => {
      const files = [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }));
      input.value = "";
      if (files.length) upload(files);
    };
    input.addEventListener("change", take);
    // Files that were chosen before this script was there.
    take();
  }
  // What was left out is told on the page that follows.
  const kept = JSON.parse(sessionStorage.getItem("refused") ?? "null");
  sessionStorage.removeItem("refused");
  if (kept?.dataset === drop.dataset.dataset) {
    drop.closest("details").open = true;
    text.textContent = said("Left");
    list(kept.left);
  }
}
