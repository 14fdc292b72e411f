//! Closing lines as the runners print them.

use super::*;

/// What the lines of `output` come to: `3`, `3+` for at least three, `-` where nothing tells.
#[track_caller]
fn check(wanted: &str, output: &str) {
    let mut tally = Tally::default();
    output.lines().for_each(|line| tally.line(line.as_bytes()));
    let told = tally
        .count()
        .map_or("-".to_owned(), |count| format!("{}{}", count.ran, if count.is_at_least { "+" } else { "" }));
    assert_eq!(told, wanted, "of\n{output}");
}

#[test]
fn cargo_test() {
    let none =
        "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
    check("0", &format!("running 0 tests\n\n{none}\n\n   Doc-tests x\n\nrunning 0 tests\n\n{none}"));
    let filtered =
        "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s";
    check("0", filtered);
    let some =
        "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 1 filtered out; finished in 1.20s";
    check("4", &format!("{some}\n{filtered}\n{none}"));
    check(
        "2",
        "test result: \u{1b}[32mok\u{1b}[m. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    );
}

#[test]
fn nextest_run() {
    check("3", "────────────\n     Summary [   0.012s] 3 tests run: 3 passed, 1 skipped");
    check("1", "     Summary [   0.012s] 1 test run: 1 passed, 0 skipped");
    check("2", "     Summary [   0.012s] 2/5 tests run: 1 passed, 1 failed, 0 skipped");
    check("0", "     Summary [   0.000s] 0 tests run: 0 passed, 7 skipped\nerror: no tests to run");
    check(
        "2",
        "\u{1b}[32;1m     Summary\u{1b}[0m [   0.012s] \u{1b}[1m2\u{1b}[0m tests run: 2 passed, 0 skipped",
    );
}

#[test]
fn pytest_and_unittest() {
    check("4", "========= 1 failed, 2 passed, 3 skipped, 1 xfailed, 2 warnings in 0.12s =========");
    check("3", "3 passed in 0.01s");
    check("65", "======== 65 passed in 61.02s (0:01:01) ========");
    check("0", "collected 0 items\n\n============ no tests ran in 0.01s ============");
    check("0", "============ 2 deselected in 0.01s ============");
    check("0", "======== 2 skipped in 0.01s ========");
    check("1", "===== 1 error in 0.05s =====");
    check("3", "...\n----------\nRan 3 tests in 0.001s\n\nOK");
    check("2", "Ran 3 tests in 0.001s\n\nOK (skipped=1)");
    check("1", "Ran 3 tests in 0.001s\n\nFAILED (failures=1, skipped=2)");
    check("0", "Ran 0 tests in 0.000s\n\nNO TESTS RAN");
}

#[test]
fn jest_vitest_mocha_and_node() {
    check(
        "3",
        "Test Suites: 1 failed, 1 passed, 2 total\nTests:       1 failed, 1 skipped, 2 passed, 4 total\nSnapshots:   0 total\nTime:        0.5 s",
    );
    check("0", "No tests found, exiting with code 0");
    check("0", "Tests:       2 skipped, 2 total");
    check(
        "3",
        " Test Files  1 passed (1)\n      Tests  1 failed | 2 passed | 1 skipped (4)\n   Start at  10:00:00",
    );
    check("0", "No test files found, exiting with code 0");
    check("0", " Test Files  1 passed (1)\n      Tests  no tests (0)");
    check("4", "  3 passing (4ms)\n  1 pending\n  1 failing");
    check("0", "\n  0 passing (1ms)\n");
    check("3", "ℹ tests 4\nℹ suites 0\nℹ pass 2\nℹ fail 1\nℹ cancelled 0\nℹ skipped 1\nℹ todo 0");
    check("2", "TAP version 13\nok 1 - a\nok 2 - b\n1..2\n# tests 2\n# suites 0\n# pass 2\n# fail 0");
    check("0", "ℹ tests 0\nℹ suites 0\nℹ pass 0\nℹ fail 0");
}

#[test]
fn go_test() {
    check(
        "2+",
        "ok  \texample.com/a\t0.003s\nok  \texample.com/b\t(cached)\n?   \texample.com/c\t[no test files]",
    );
    check("0", "ok  \texample.com/a\t0.003s [no tests to run]\n?   \texample.com/c\t[no test files]");
    check("0", "testing: warning: no tests to run\nPASS\nok  \texample.com/a\t0.003s [no tests to run]");
    check("0", "FAIL\texample.com/a [build failed]");
    check("1+", "FAIL\texample.com/a\t0.004s\nFAIL");
    check(
        "2",
        "=== RUN   TestA\n--- PASS: TestA (0.00s)\n    --- PASS: TestA/sub (0.00s)\n--- FAIL: TestB (0.00s)\nFAIL\nFAIL\texample.com/a\t0.003s",
    );
}

#[test]
fn ctest_prove_and_maven() {
    check("3", "100% tests passed, 0 tests failed out of 3\n\nTotal Test time (real) =   0.01 sec");
    check("3", "67% tests passed, 1 tests failed out of 3");
    check("0", "No tests were found!!!");
    check("10", "All tests successful.\nFiles=2, Tests=10,  0 wallclock secs ( 0.02 usr)\nResult: PASS");
    check("0", "Files=0, Tests=0,  0 wallclock secs ( 0.00 usr)\nResult: NOTESTS");
    check("2", "1..3\nok 1 - a\nnot ok 2 - b\nok 3 # SKIP no network");
    check("0", "1..0 # SKIP nothing here");
    check(
        "4",
        "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.05 s -- in a.ATest\n[INFO] Tests run: 2, Failures: 0, Errors: 0, Skipped: 1, Time elapsed: 0.01 s -- in a.BTest\n[INFO] Results:\n[INFO] Tests run: 5, Failures: 0, Errors: 0, Skipped: 1",
    );
    check("0", "[WARNING] Tests run: 2, Failures: 0, Errors: 0, Skipped: 2");
    check("3", "OK (3 tests)");
    check("4", "[         3 tests successful      ]\n[         1 tests failed          ]");
}

/// Words that look a little like sums, in what gates print that test nothing.
#[test]
fn other_output_tells_nothing() {
    for line in [
        "",
        "    Finished `dev` profile [unoptimized + debuginfo] target(s) in 0.02s",
        "ok",
        "ok then, 3 files are fine",
        "Tests are important",
        "# Title of a page",
        "# pass",
        "Ran the linter in 3 s",
        "3 files changed in 2s",
        "built in 3s",
        "OK (all of it)",
        "12 passing thoughts",
        "[INFO] BUILD SUCCESS",
    ] {
        check("-", line);
    }
    check("-", &format!("{} passed in 0.1s", "9".repeat(500)));
}
