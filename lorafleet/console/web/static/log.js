// The log stays at its end while one watches the end, and stays put while one reads further up.

const place = document.getElementById("log");
const NEAR_PX = 40;
let atEnd = true;
let top = 0;

const lines = () => place.querySelector("pre");

function toEnd() {
  const pre = lines();
  if (pre) pre.scrollTop = pre.scrollHeight;
}

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target !== place) return;
  const pre = lines();
  atEnd = !pre || pre.scrollHeight - pre.scrollTop - pre.clientHeight < NEAR_PX;
  top = pre ? pre.scrollTop : 0;
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== place) return;
  if (atEnd) toEnd();
  else lines().scrollTop = top;
});

toEnd();
