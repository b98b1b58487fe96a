// Loss over steps, with a coloured band for each attempt on its site. The table below it says the same in words.

const place = document.getElementById("chart");
const tools = document.getElementById("chart-tools");
const smoothing = document.getElementById("smooth");
const logScale = document.getElementById("log-scale");

let data = null;
let chart = null;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// An exponential mean that does not start too low.
export function smoothed(values, weight) {
  let mean = 0;
  let count = 0;
  return values.map((value) => {
    if (value === null) return null;
    count += 1;
    mean = mean * weight + value * (1 - weight);
    return mean / (1 - weight ** count);
  });
}

function bands(plot) {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const band of data.bands) {
    const left = Math.max(bbox.left, plot.valToPos(band.first, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(band.last, "x", true));
    if (right <= left) continue;
    ctx.fillStyle = colour(`--site-${band.colour % 6}`);
    ctx.globalAlpha = 0.1;
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.globalAlpha = 1;
    ctx.fillRect(left, bbox.top + bbox.height - 4 * devicePixelRatio, right - left, 4 * devicePixelRatio);
  }
  ctx.restore();
}

function short(value) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? Number(value.toPrecision(4)).toString() : value.toExponential(2);
}

function columns() {
  return [data.steps, data.loss, smoothed(data.loss, Number(smoothing.value)), data.validation];
}

function draw() {
  chart?.destroy();
  const axis = {
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    font: "12px system-ui",
  };
  const names = place.dataset;
  const value = (_, raw) => short(raw);
  chart = new uPlot(
    {
      width: place.clientWidth,
      height: 300,
      scales: { x: { time: false }, y: { distr: logScale.checked ? 3 : 1 } },
      axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : short(tick))) }],
      series: [
        { label: names.step },
        { label: names.loss, stroke: `${colour("--quiet")}66`, width: 1, value, spanGaps: true, points: { show: data.steps.length < 3 } },
        { label: names.smooth, stroke: colour("--accent"), width: 2, value, spanGaps: true, points: { show: false } },
        { label: names.validation, stroke: colour("--site-2"), width: 2, dash: [6, 4], value, spanGaps: true, points: { show: true, size: 6 } },
      ],
      hooks: { drawClear: [bands] },
      cursor: { drag: { x: true, y: false } },
    },
    columns(),
    place,
  );
}

async function load() {
  const answer = await fetch(place.dataset.curve, { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  data = await answer.json();
  const none = !data.steps.length;
  tools.hidden = place.hidden = none;
  document.getElementById("chart-empty").hidden = !none;
  if (none) return;
  if (chart) chart.setData(columns());
  else draw();
}

function add(event) {
  if (!chart) {
    load();
    return;
  }
  const { step, metrics } = event.detail.values;
  const index = data.steps.length - 1;
  const loss = metrics?.loss ?? null;
  const validation = metrics?.validation_loss ?? null;
  // An attempt that went on from a checkpoint says steps again: the server knows which of them count.
  if (index >= 0 && step < data.steps[index]) {
    load();
    return;
  }
  if (index >= 0 && step === data.steps[index]) {
    data.loss[index] = loss ?? data.loss[index];
    data.validation[index] = validation ?? data.validation[index];
  } else {
    data.steps.push(step);
    data.loss.push(loss);
    data.validation.push(validation);
    const band = data.bands.find((each) => each.fence === event.detail.fence);
    if (band) band.last = Math.max(band.last, step);
  }
  chart.setData(columns());
}

if (place && window.uPlot) {
  load();
  document.body.addEventListener("job:progress", add);
  document.body.addEventListener("job:changed", load);
  smoothing.addEventListener("input", () => chart.setData(columns()));
  logScale.addEventListener("change", draw);
  new ResizeObserver(() => chart?.setSize({ width: place.clientWidth, height: 300 })).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
