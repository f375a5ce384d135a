"""What runners print when they ran nothing, as they print it; and what only looks so."""

import pytest

from swarm.runtimes.runners import TABLE, ran_nothing

CARGO = """\
   Compiling e v0.1.0
    Finished `test` profile [unoptimized + debuginfo] target(s) in 2.64s
     Running unittests src/lib.rs (target/debug/deps/e-d294a99d2b35f633)

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests e

running 0 tests

test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
"""

NOTHING = {
    "pytest": (5, "collected 0 items\n\n============ no tests ran in 0.02s ============"),
    "pytest -q": (5, "\nno tests ran in 0.69s"),
    "pytest -k zzz": (
        5,
        "collected 1 item / 1 deselected / 0 selected\n\n=== 1 deselected in 0.69s ===",
    ),
    "pytest through make": (2, "no tests ran in 0.01s\nmake: *** [Makefile:2: test] Error 5"),
    "pytest || true": (0, "no tests ran in 0.01s"),
    "jest": (1, "No tests found, exiting with code 1\nRun with `--passWithNoTests` to exit with code 0\nIn /app"),
    "jest --passWithNoTests": (0, "No tests found, exiting with code 0"),
    "vitest": (1, " RUN  v3.2.4 /app\n\n\nNo test files found, exiting with code 1\n\nfilter:  zzz"),
    "vitest --passWithNoTests": (0, "No test files found, exiting with code 0"),
    "mocha": (0, "\n\n  0 passing (1ms)\n"),
    "mocha without files": (1, 'Error: No test files found: "test"'),
    "node --test": (0, "TAP version 13\n1..0\n# tests 0\n# suites 0\n# pass 0\n# fail 0"),
    "node --test, for people": (0, "ℹ tests 0\nℹ suites 0\nℹ pass 0\nℹ fail 0"),  # noqa: RUF001
    "playwright": (1, "Error: No tests found\n\nTo open last HTML report run:"),
    "deno": (1, "error: No test modules found"),
    "unittest": (0, "\n" + "-" * 70 + "\nRan 0 tests in 0.000s\n\nOK"),
    "unittest of Python 3.12": (5, "\n" + "-" * 70 + "\nRan 0 tests in 0.000s\n\nNO TESTS RAN"),
    "go": (0, "?   \texample.org/a\t[no test files]\n?   \texample.org/b\t[no test files]"),
    "go -run zzz": (0, "testing: warning: no tests to run\nPASS\nok  \texample.org/a\t0.002s [no tests to run]"),
    "cargo": (
        0,
        CARGO,
    ),
    "nextest": (
        4,
        "    Starting 0 tests across 1 binary\n     Summary [   0.000s] 0 tests run\nerror: no tests to run",
    ),
    "dotnet": (
        0,
        "No test is available in /app/T.dll. Make sure that test discoverer & executors are registered",
    ),
    "dotnet --filter": (0, "No test matches the given testcase filter `zzz` in /app/T.dll"),
    "gradle": (0, "> Task :compileJava UP-TO-DATE\n> Task :test NO-SOURCE\n\nBUILD SUCCESSFUL in 1s"),
    "gradle --tests": (
        1,
        "Execution failed for task ':test'.\n> No tests found for given includes: [zzz](--tests filter)",
    ),
    "maven": (
        0,
        "[INFO] --- surefire:3.2.5:test (default-test) @ e ---\n[INFO] No tests to run.\n[INFO] BUILD SUCCESS",
    ),
    "maven -Dtest": (1, '[ERROR] No tests matching pattern "zzz" were executed! (Set -Dsurefire.failIfNo…'),
    "phpunit": (0, "PHPUnit 11.5.3 by Sebastian Bergmann and contributors.\n\nNo tests executed!"),
    "phpunit, strict": (1, "No tests executed!"),
    "rspec": (0, "No examples found.\n\n\nFinished in 0.0003 seconds\n0 examples, 0 failures"),
    "minitest": (0, "Finished in 0.000s\n0 runs, 0 assertions, 0 failures, 0 errors, 0 skips"),
    "ctest": (0, "Test project /app/build\nNo tests were found!!!"),
    "prove": (2, "Files=0, Tests=0,  0 wallclock secs ( 0.01 usr +  0.00 sys =  0.01 CPU)\nResult: NOTESTS"),
    "swift": (0, "Test Suite 'All tests' passed.\n\t Executed 0 tests, with 0 failures (0 unexpected)"),
    "exunit": (0, "There are no tests to run"),
}

SOMETHING = {
    "nothing that is known": (0, "all is well"),
    "nothing at all": (0, ""),
    "an error of its own": (5, ""),
    "pytest": (0, "collected 2 items\n\n=== 2 passed in 0.10s ==="),
    "pytest with deselected": (0, "=== 1 passed, 3 deselected in 0.10s ==="),
    "pytest that cannot import": (2, "collected 0 items / 1 error\n\n=== 1 error in 0.83s ==="),
    "pytest whose tests are skipped on purpose": (0, "=== 4 skipped in 0.10s ==="),
    "pytest of two folders, one of them empty": (5, "=== 12 passed in 1.0s ===\nno tests ran in 0.01s"),
    "pytest that tells of no tests": (1, "E   AssertionError: no tests ran in vain\n=== 1 failed in 0.1s ==="),
    "jest of two packages": (0, "Tests:       3 passed, 3 total\nNo tests found, exiting with code 0"),
    "jest is content, the linter is not": (1, "No tests found, exiting with code 0\n\n1 problem (1 error)"),
    "vitest": (0, " Test Files  1 passed (1)\n      Tests  3 passed (3)"),
    "mocha that fails": (1, "\n  0 passing (4ms)\n  1 failing\n"),
    "node --test": (0, "# tests 3\n# suites 0\n# pass 3"),
    "unittest twice": (0, "Ran 0 tests in 0.000s\n\nOK\n\nRan 7 tests in 0.100s\n\nOK"),
    "go, one package without tests": (0, "?   \texample.org/a\t[no test files]\nok  \texample.org/b\t0.002s"),
    "go -run in many packages": (0, "ok  \texample.org/a\t0.1s [no tests to run]\nok  \texample.org/b\t0.1s"),
    "go from its cache": (0, "?   \texample.org/a\t[no test files]\nok  \texample.org/b\t(cached)"),
    "go that does not build": (1, "?   \texample.org/a\t[no test files]\nFAIL\texample.org/b [build failed]\nFAIL"),
    "cargo without doc-tests": (
        0,
        "running 12 tests\n\ntest result: ok. 12 passed\n\n   Doc-tests e\n\nrunning 0 tests",
    ),
    "cargo is content, clippy is not": (101, "running 0 tests\n\nerror: could not compile `e` (lib)"),
    "dotnet, one project without tests": (
        0,
        "No test is available in /app/Lib.dll.\nPassed!  - Failed:     0, Passed:     5, Skipped:     0, Total:     5",
    ),
    "gradle, one project without tests": (0, "> Task :a:test NO-SOURCE\n> Task :b:test\n\nBUILD SUCCESSFUL in 1s"),
    "gradle, nothing to do again": (0, "> Task :a:test NO-SOURCE\n> Task :b:test UP-TO-DATE"),
    "maven, one module without tests": (0, "[INFO] No tests to run.\n[INFO] Tests run: 4, Failures: 0, Errors: 0"),
    "phpunit": (0, "OK (1 test, 1 assertion)"),
    "rspec that cannot load": (1, "0 examples, 0 failures, 1 error occurred outside of examples"),
    "ctest": (0, "100% tests passed, 0 tests failed out of 1"),
    "swift with both libraries": (0, "Executed 0 tests, with 0 failures\n✔ Test run with 5 tests passed"),
}


@pytest.mark.parametrize("shape", NOTHING)
def test_a_runner_that_ran_nothing_is_known_by_what_it_prints(shape: str) -> None:
    code, output = NOTHING[shape]
    assert ran_nothing("make test", code, output, whole=True) == shape.partition(" ")[0].partition(",")[0] + (
        " --test" if shape.startswith("node") else ""
    )


@pytest.mark.parametrize("shape", SOMETHING)
def test_in_doubt_a_test_did_run(shape: str) -> None:
    code, output = SOMETHING[shape]
    assert ran_nothing("make test", code, output, whole=True) == ""


@pytest.mark.parametrize("shape", ["go", "cargo", "dotnet", "gradle", "maven"])
def test_of_a_report_package_by_package_all_must_be_known(shape: str) -> None:
    code, output = NOTHING[shape]
    assert ran_nothing("make test", code, output, whole=False) == ""


def test_a_quiet_pytest_says_it_by_its_exit_code() -> None:
    assert ran_nothing("python -m pytest -qq -k zzz", 5, "\n", whole=True) == "pytest"
    assert ran_nothing("python -m pytest -qq", 5, "", whole=True) == "pytest"
    assert ran_nothing("./check", 5, "", whole=True) == ""
    assert ran_nothing("python -m pytest", 5, "E   something else", whole=True) == ""


def test_every_runner_of_the_table_has_its_shapes_here() -> None:
    shapes = " ".join(NOTHING)
    assert [runner.name for runner in TABLE if runner.name not in shapes] == []
