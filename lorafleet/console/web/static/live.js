// The job's events as they come. The browser's EventSource names the last event it saw when it connects again, so nothing is missed.

const status = document.getElementById("status");
const stale = document.getElementById("stale");
const NEWS_EVERY_MS = 1000;
const AGAIN_AFTER_MS = 3000;
const CHANGES = ["submitted", "leased", "started", "sample", "checkpoint", "ended", "lost", "revoked", "order", "finished"];

let last = Number(status.dataset.after);

function say(name, detail) {
  document.body.dispatchEvent(new CustomEvent(name, { detail }));
}

// At most once a second, and the last piece of news is never dropped.
function gathered(name) {
  let timer = null;
  let again = false;
  return () => {
    if (timer) {
      again = true;
      return;
    }
    say(name);
    timer = setTimeout(function next() {
      timer = null;
      if (again) {
        again = false;
        say(name);
        timer = setTimeout(next, NEWS_EVERY_MS);
      }
    }, NEWS_EVERY_MS);
  };
}

const news = gathered("job:news");
const log = gathered("job:log");
const changed = gathered("job:changed");

function listen() {
  const source = new EventSource(`${status.dataset.stream}?after=${last}`);
  const heard = (event) => {
    last = Math.max(last, Number(event.lastEventId) || 0);
    stale.hidden = true;
  };
  source.addEventListener("open", () => (stale.hidden = true));
  source.addEventListener("progress", (event) => {
    heard(event);
    say("job:progress", JSON.parse(event.data));
    news();
  });
  source.addEventListener("log", (event) => {
    heard(event);
    log();
  });
  for (const kind of CHANGES) {
    source.addEventListener(kind, (event) => {
      heard(event);
      changed();
    });
  }
  source.addEventListener("end", () => {
    source.close();
    changed();
    log();
    // Files, checkpoints and attempts are whole now.
    setTimeout(() => window.location.reload(), 1200);
  });
  source.addEventListener("error", () => {
    stale.hidden = false;
    // The browser gives up by itself only where the answer was no stream, such as while the console starts again.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_AFTER_MS);
  });
  window.addEventListener("pagehide", () => source.close(), { once: true });
}

if (status.dataset.over !== "true") listen();
