"""`make bench`: every measurement in one run, as ratios against named baselines.

    run.py [--only NAME…] [--quick] [--big] [--readme]

It prints a table, and keeps in `results/` the same as Markdown and as JSON, and a plot of cost against the log's
length. Exit code 1: a goal was missed, or a part failed. Believe the ratios, not the times: both sides of each are
measured in the same run on the same machine.

Rule: what this run did not measure is kept from an earlier one (of parts left out by `--only`, of the longest logs
without `--big`), and every row says when it was measured.
"""

import argparse
import gc
import json
import os
import platform
import sys
import time
import traceback
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from measuring import Row, Size

HERE = Path(__file__).parent
RESULTS = HERE / "results"
README, PICTURE = HERE.parent / "README.md", HERE.parent / "docs" / "speed.png"
PARTS = (
    *("append", "contention", "durable", "decode", "fold", "rebuild", "status", "mail", "wake", "idle", "burst"),
    *("sync", "replay", "merging", "orchestration", "landings", "scaling"),
)
BIG = 10_000_000


def main() -> int:
    """Measure, print, keep."""
    asked = _asked()
    size = Size(asked.quick, asked.big)
    path = RESULTS / ("quick.json" if size.quick else "latest.json")
    found = measured(asked.only or PARTS, size)
    kept = merged(json.loads(path.read_text()) if path.exists() else {}, found, asked.only or PARTS, size)
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")
    path.with_suffix(".md").write_text(table(kept["rows"]) + "\n")
    if kept["points"]:
        _plot(kept["points"], path.with_suffix(".png"))
    if asked.readme:
        into_readme(kept)
    print(table(found["rows"]))
    missed = (f"missed: {row['what']}, beside {row['baseline']}" for row in found["rows"] if not reached(row))
    for line in (*missed, *found["failed"]):
        print(line, file=sys.stderr)
    return 1 if found["failed"] or not all(reached(row) for row in found["rows"]) else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the speed of swarm, as ratios against named baselines.")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=f"Of: {', '.join(PARTS)}.")
    parser.add_argument("--quick", action="store_true", help="See that everything runs; believe no figure.")
    parser.add_argument("--big", action="store_true", help="The logs of 10 M events too (3.4 GB of temporary files).")
    parser.add_argument("--readme", action="store_true", help="Put the table and the plot into the README.")
    asked = parser.parse_args()
    if asked.quick and (asked.readme or asked.big):
        parser.error("--quick measures nothing that could be shown")
    return asked


def measured(parts: list[str] | tuple[str, ...], size: Size) -> dict[str, Any]:
    """{rows, points, failed}: all that these parts found; one that fails does not stop the others."""
    found: dict[str, Any] = {"rows": [], "points": [], "failed": []}
    for name in parts:
        begun = time.monotonic()
        when = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            part = import_module(name)
            if name == "scaling":
                found["points"] += part.points(size)
            else:
                rows: list[Row] = part.measure(size)
                found["rows"] += [{"part": name, "when": when, "big": False} | row for row in rows]
        except Exception:  # noqa: BLE001  # the other parts are worth measuring all the same
            traceback.print_exc()
            found["failed"].append(f"failed: {name}")
        gc.collect()
        print(f"… {name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return found


def merged(old: dict[str, Any], new: dict[str, Any], parts: list[str] | tuple[str, ...], size: Size) -> dict[str, Any]:
    """What is kept: the new, and of the old what was not measured again; in the order of the parts."""
    failed = {words.removeprefix("failed: ") for words in new["failed"]}

    def stands(row: Row) -> bool:
        return row["part"] not in parts or row["part"] in failed or (row["big"] and not size.big)

    rows = [*new["rows"], *(row for row in old.get("rows", []) if stands(row))]
    again = {(point["what"], point["events"]) for point in new["points"]}
    whats = {point["what"] for point in new["points"]}
    points = [
        point
        for point in old.get("points", [])
        if not whats or (point["events"] >= BIG and point["what"] in whats and (point["what"], BIG) not in again)
    ]
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "rows": sorted(rows, key=lambda row: (PARTS.index(row["part"]), row["big"])),
        "points": [*new["points"], *points],
    }


def reached(row: Row) -> bool:
    """Whether the ratio is on the right side of its goal, if it has one."""
    goal: float | None = row["goal"]
    ratio: float = row["ratio"]
    if goal is None:
        return True
    return ratio >= goal if row.get("more_is_better") else ratio <= goal


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| what | measured | baseline, same run | ratio | goal |", "|---|---|---|---|---|"]
    for row in rows:
        sign = "≥" if row.get("more_is_better") else "≤"
        goal = "-" if row["goal"] is None else f"{sign} {row['goal']:g}" + ("" if reached(row) else " (missed)")
        cells = (row["what"], row["measured"], f"{row['baseline']}: {row['base']}", number(row["ratio"]), goal)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def number(ratio: float) -> str:
    """A ratio as people read it: 0, 0.004, 0.09, 1.45, 31."""
    if ratio >= 10 or ratio == 0:
        return f"{ratio:.0f}"
    return f"{ratio:.2f}" if ratio >= 0.01 else f"{ratio:.1g}"


def into_readme(kept: dict[str, Any]) -> None:
    """Put the table and the plot between their marks in the README."""
    days = sorted({row["when"][:10] for row in kept["rows"]})
    measured = f"Measured on {' to '.join(dict.fromkeys((days[0], days[-1])))}: {kept['machine']}."
    text = f"{table(kept['rows'])}\n\n{measured}\n"
    if kept["points"]:
        _plot(kept["points"], PICTURE)
        text += "\n![Cost against the length of the log](docs/speed.png)\n"
    before, begin, rest = README.read_text().partition("<!-- bench:begin -->\n")
    _, end, after = rest.partition("<!-- bench:end -->")
    README.write_text(f"{before}{begin}{text}{end}{after}")


def _plot(points: list[dict[str, Any]], path: Path) -> None:
    from plot import draw  # the rest of a run needs no matplotlib

    draw(points, path)


if __name__ == "__main__":
    sys.exit(main())
