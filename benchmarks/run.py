"""`make bench`: every measurement in one run, as ratios against named baselines; a table, and the same as JSON.

Believe the ratios, not the times: both sides of each are measured in the same run on the same machine.
"""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def main() -> int:
    """Run them all; returns 1 if a goal was missed."""
    import append
    import mail
    import orchestration
    import wake

    rows: list[dict[str, Any]] = []
    for part in (append, mail, wake, orchestration):
        print(f"… {part.__name__}", file=sys.stderr, flush=True)
        rows += part.measure()
    print(table(rows))
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "latest.json").write_text(json.dumps(rows, indent=1) + "\n")
    (results / "latest.md").write_text(table(rows) + "\n")
    if "--readme" in sys.argv:
        into_readme(table(rows))
    return 1 if any(row.get("goal") and not reached(row) for row in rows) else 0


def into_readme(text: str) -> None:
    """Put the table between its marks in the README."""
    readme = HERE.parent / "README.md"
    before, begin, rest = readme.read_text().partition("<!-- bench:begin -->\n")
    _, end, after = rest.partition("<!-- bench:end -->")
    readme.write_text(f"{before}{begin}{text}\n{end}{after}")


def reached(row: dict[str, Any]) -> bool:
    """Whether the ratio is on the right side of its goal."""
    goal: float = row["goal"]
    ratio: float = row["ratio"]
    return ratio >= goal if row.get("more_is_better") else ratio <= goal


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| what | measured | baseline, same run | ratio | goal |", "|---|---|---|---|---|"]
    for row in rows:
        sign = "≥" if row.get("more_is_better") else "≤"
        goal = f"{sign} {row['goal']:g}" if row.get("goal") else "-"
        lines.append(
            f"| {row['what']} | {row['measured']} | {row['baseline']}: {row['base']} | {row['ratio']:.2f} | {goal} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
