"""A picture of the loss, drawn from the log."""

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lorafleet.whole_files import replacing
from trainer.loggers.jsonl import read_log

# Smoothing as TensorBoard does it, without its bias towards zero at the start.
_SMOOTHING = 0.9


def draw_loss(log: Path, out: Path) -> None:
    """Draw training loss (raw and smoothed), validation loss and learning rate of ``log`` into the PNG ``out``.

    Raises:
        OSError: a file cannot be read or written.
    """
    lines = read_log(log)
    losses = _series(lines, "loss")
    if not losses[0]:
        return
    figure = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*losses, color="#9db7d5", linewidth=1)
    axes.plot(losses[0], smoothed(losses[1]), color="#1f5a9e", linewidth=2, label="training loss")
    validation = _series(lines, "validation_loss")
    if validation[0]:
        axes.plot(*validation, color="#d1495b", marker="o", markersize=4, linewidth=1.5, label="validation loss")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.25)
    rates = axes.twinx()
    rates.plot(*_series(lines, "learning_rate"), color="#5b8c5a", linewidth=1, linestyle="--", label="learning rate")
    rates.set_ylabel("learning rate")
    rates.set_ylim(bottom=0)
    handles = [*axes.get_legend_handles_labels()[0], *rates.get_legend_handles_labels()[0]]
    axes.legend(handles=handles, loc="upper right", frameon=False)
    for side in (axes, rates):
        side.spines["top"].set_visible(False)
    with replacing(out, durable=False) as building:
        figure.savefig(building, format="png")


def smoothed(values: list[float]) -> list[float]:
    """An exponential moving average, corrected for its start."""
    average, result = 0.0, []
    for count, value in enumerate(values, start=1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * value
        result.append(average / (1 - _SMOOTHING**count))
    return result


def _series(lines: list[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    found = [(line["step"], line[key]) for line in lines if isinstance(line.get(key), int | float)]
    return [step for step, _ in found], [value for _, value in found]
