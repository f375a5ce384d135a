"""What known test runners print when they ran no test at all. Rule: a table, and in doubt a test did run.

A run without a test is no verdict, whatever the exit code: the folder was renamed, the filter misspelt, the report cut
short. But one package without tests among others that have some is none of this, nor is a linter that fails after a
runner which is content with nothing. So no row counts where any runner says that a test ran; where the exit code is
not 0, only runners that themselves fail for want of a test count; and those that report package by package only where
all they printed is known.
"""

import re
from collections.abc import Iterable

import msgspec


class Runner(msgspec.Struct, frozen=True):
    """`none` is what it prints when it ran nothing, `ran` when it ran something. `fails`: it exits with an error then.
    `sums`: it speaks of all it ran, not of one package after the other.
    """

    name: str
    none: str
    ran: str = ""
    fails: bool = False
    sums: bool = True


SOME = r"[1-9]\d*"

TABLE = (
    Runner(
        "pytest",
        r"^(=+ )?no tests ran in |^(=+ )?\d+ deselected(, \d+ warnings?)? in |^collected 0 items$",
        rf"\b{SOME} (passed|failed|errors?|skipped|xfailed|xpassed)\b",
        fails=True,
    ),
    Runner("jest", r"^No tests found, exiting with code 1", rf"^Tests: .*\b{SOME} total", fails=True),
    Runner("jest", r"^No tests found, exiting with code 0"),
    Runner("vitest", r"^No test files found, exiting with code 1", rf"^\s*Tests  .*\({SOME}\)", fails=True),
    Runner("vitest", r"^No test files found, exiting with code 0"),
    Runner("mocha", r"^\s*0 passing", rf"^\s*{SOME} (passing|failing|pending)\b"),
    Runner("mocha", r"^Error: No test files found", fails=True),
    Runner("node --test", r"^(#|ℹ) tests 0$", rf"^(#|ℹ) tests {SOME}$"),  # noqa: RUF001  # node prints that sign
    Runner("playwright", r"^Error: No tests found", fails=True),
    Runner("deno", r"^error: No test modules found", rf"^(ok|FAILED) \| {SOME} passed", fails=True),
    Runner("unittest", r"^Ran 0 tests in ", rf"^Ran {SOME} tests? in "),
    Runner("unittest", r"^NO TESTS RAN", fails=True),
    Runner(
        "go",
        r"^\?\s.*\[no test files\]$|^ok\s.*\[no tests to run\]$|^no packages to test$",
        r"^ok\s(?!.*\[no tests to run\]$)|^(--- )?(PASS: |FAIL\b)",
        sums=False,
    ),
    Runner("cargo", r"^running 0 tests$", rf"^running {SOME} tests?$", sums=False),
    Runner("nextest", r"^error: no tests to run$", rf"^\s*Summary .* {SOME} tests? run", fails=True),
    Runner(
        "dotnet",
        r"^No test is available in |^No test matches the given testcase filter",
        rf"^(Passed|Failed)!  - |^Total tests: {SOME}",
        sums=False,
    ),
    Runner("gradle", r"^> Task :\S*[tT]est NO-SOURCE$", r"^> Task :\S*[tT]est(?! NO-SOURCE)( |$)", sums=False),
    Runner("gradle", r"No tests found for given includes", fails=True),
    Runner("maven", r"No tests to run\.$|Tests run: 0, ", rf"Tests run: {SOME}, ", sums=False),
    Runner("maven", r"No tests were executed!|No tests matching pattern", fails=True),
    Runner("phpunit", r"^No tests executed!", rf"^OK \({SOME} tests?|^Tests: {SOME}, ", fails=True),
    Runner("rspec", r"^0 examples, 0 failures$", rf"^{SOME} examples?, |errors? occurred outside of examples"),
    Runner("minitest", r"^0 runs, 0 assertions", rf"^{SOME} runs, "),
    Runner("ctest", r"^No tests were found!!!", r"^\d+% tests passed"),
    Runner("prove", r"^Result: NOTESTS$|^Files=0, Tests=0", rf"^Files=\d+, Tests={SOME}", fails=True),
    Runner("swift", r"^\s*Executed 0 tests", rf"^\s*Executed {SOME} tests?|Test run with {SOME} tests?"),
    Runner("exunit", r"^There are no tests to run$|^0 tests, 0 failures$", rf"^{SOME} (tests?|doctests?), "),
)

SEARCHED = 16 << 20
"""Bytes: whoever printed more ran something, as far as is known."""

_NONE = [(runner, re.compile(runner.none, re.MULTILINE)) for runner in TABLE]
_RAN = re.compile("|".join(f"(?:{runner.ran})" for runner in TABLE if runner.ran), re.MULTILINE)


def ran_nothing(command: str, code: int, output: str, whole: bool) -> str:
    """The runner that says it ran no test; empty if none does, or if some test ran. `output` is the end of what was
    printed, or the `whole` of it.
    """
    if code == 5 and not output.strip() and re.search(r"\b(pytest|py\.test|tox|nox)\b", command):
        return "pytest"  # told to be quiet, it says so by its exit code alone
    if _RAN.search(output):
        return ""
    found = (runner for runner, none in _NONE if none.search(output))
    return next((runner.name for runner in found if (whole or runner.sums) and (code == 0 or runner.fails)), "")


def ran_some(lines: Iterable[str]) -> bool:
    """Whether any of these lines says that a test ran."""
    return any(_RAN.search(line) for line in lines)
