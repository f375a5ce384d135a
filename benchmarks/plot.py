"""The picture of cost against the length of the log, both axes logarithmic. Rule: it draws what `scaling.py` found."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Write the PNG."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for what in dict.fromkeys(point["what"] for point in points):
        line = sorted((point["events"], point["seconds"]) for point in points if point["what"] == what)
        beside = what.startswith("python")
        axes.plot(*zip(*line, strict=True), label=what, **(_THIN if beside else _FULL))
    axes.set(xscale="log", yscale="log", xlabel="events in the log", title="What the length of the log costs")
    axes.set_ylabel("seconds, whole process")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.grid(which="major", alpha=0.3)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


_FULL = {"marker": "o", "linewidth": 1.8}
_THIN = {"color": "grey", "linestyle": ":", "linewidth": 1.2}
