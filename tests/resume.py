"""`--resume FILE` resumes an interrupted test run; `--save-compatibility` writes its outcome by model.

Every finished test is a line of FILE at once. Tests that passed with the very same code are left out
of the next run. `--save-compatibility` makes a row for each model from the lines, in
`newnet_tf/results/compatibility.csv`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PASSED, SKIPPED, FAILED = "passed", "skipped", "failed"
TABLE = "compatibility"


def pytest_addoption(parser):
    group = parser.getgroup("resume")
    group.addoption("--resume", metavar="FILE", type=Path, help="log of the test run to resume")
    group.addoption(
        "--save-compatibility",
        action="store_true",
        help=f"write outcomes by model into {TABLE}.csv",
    )


def pytest_configure(config):
    path = config.getoption("--resume")
    if path:
        config.pluginmanager.register(TestLog(path, config), "newnet-resume")


def code_digest() -> str:
    """Returns a digest of everything in the project that a test's outcome depends on."""
    digest = hashlib.sha256()
    for folder in ("newnet_tf", "tests", "tools"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".npz", ".pyi"):
                digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class TestLog:
    """The log of finished tests: read before tests are collected, written as they finish."""

    __test__ = False  # not a class of tests

    def __init__(self, path: Path, config):
        self.path, self.digest = path, code_digest()
        self.is_worker = hasattr(config, "workerinput")
        self.saves_compatibility = config.getoption("--save-compatibility")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.before = self.lines()

    def lines(self) -> dict[str, dict]:
        """Returns the last line about each test of this code; an incomplete line counts as none."""
        lines = {}
        for text in (
            self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ()
        ):
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if line["code"] == self.digest:
                lines[line["test"]] = line
        return lines

    def pytest_collection_modifyitems(self, config, items):
        done = {test for test, line in self.before.items() if line["outcome"] != FAILED}
        left_out = [item for item in items if item.nodeid in done]
        items[:] = [item for item in items if item.nodeid not in done]
        config.hook.pytest_deselected(items=left_out)

    def pytest_runtest_logreport(self, report):
        if self.is_worker or (report.when != "call" and report.outcome == PASSED):
            return
        reason = f"{report.longrepr[2]}" if report.skipped and report.longrepr else ""
        line = {
            "test": report.nodeid,
            "outcome": report.outcome,
            "reason": reason,
            "code": self.digest,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if not self.is_worker and self.saves_compatibility:
            save_compatibility(self.lines().values())


def save_compatibility(lines: Iterable[Mapping[str, str]]) -> None:
    """Writes the table: one row for each model, one column for each test of it."""
    import newnet_tf
    from newnet_tf import results

    known, rows = set(newnet_tf.list_models()), {}
    for line in lines:
        test, _, case = line["test"].partition("::")[2].partition("[")
        parts = re.split(r"[-\]]", case)
        name = next((part for part in parts if part.partition(".")[0] in known), None)
        if name is None:
            continue
        others = [part for part in parts if part and part != name]
        rest = "-".join(others)
        column = f"{test.removeprefix('test_')}{f' {rest}' if rest else ''}".replace("_", " ")
        row = rows.setdefault(name.partition(".")[0], {"model": name.partition(".")[0]})
        outcome = line["reason"].removeprefix("Skipped: ") or line["outcome"]
        row[column] = FAILED if FAILED in (outcome, row.get(column)) else outcome
    columns = sorted({column for row in rows.values() for column in row} - {"model"})
    table = [{c: row.get(c, "") for c in ("model", *columns)} for _, row in sorted(rows.items())]
    if table:
        results.record(TABLE, table)
