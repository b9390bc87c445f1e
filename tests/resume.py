"""`--resume FILE`: a long run that was ended goes on where it was; `--proof` records its outcome.

Every finished test is a line of the file at once. Tests that passed, of the very same code, are left
out of the next run. `--proof` makes a row for each network of the lines, in `results/proof.csv`.
"""

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PASSED, SKIPPED, FAILED = "passed", "skipped", "failed"


def pytest_addoption(parser):
    group = parser.getgroup("resume")
    group.addoption("--resume", metavar="FILE", type=Path, help="journal of a run to go on with")
    group.addoption("--proof", action="store_true", help="record outcomes by network")


def pytest_configure(config):
    path = config.getoption("--resume")
    if path:
        config.pluginmanager.register(Resume(path, config), "newnet-resume")


def code_digest() -> str:
    """Digest of everything that a test's outcome depends on, within the project."""
    digest = hashlib.sha256()
    for folder in ("newnet_tf", "tests", "tools"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".npz", ".pyi"):
                digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Resume:
    """The journal: read before tests are collected, written as they finish."""

    def __init__(self, path: Path, config):
        self.path, self.digest = path, code_digest()
        self.is_worker = hasattr(config, "workerinput")
        self.wants_proof = config.getoption("--proof")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.before = self.lines()

    def lines(self) -> dict[str, dict]:
        """The last line about each test, of this code; a line that was cut off is none."""
        found = {}
        for text in (
            self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ()
        ):
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if line["code"] == self.digest:
                found[line["test"]] = line
        return found

    def pytest_collection_modifyitems(self, config, items):
        done = {test for test, line in self.before.items() if line["outcome"] != FAILED}
        left_out = [item for item in items if item.nodeid in done]
        items[:] = [item for item in items if item.nodeid not in done]
        config.hook.pytest_deselected(items=left_out)

    def pytest_runtest_logreport(self, report):
        if self.is_worker or (report.when != "call" and report.outcome == PASSED):
            return
        why = f"{report.longrepr[2]}" if report.skipped and report.longrepr else ""
        line = {"test": report.nodeid, "outcome": report.outcome, "why": why, "code": self.digest}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if not self.is_worker and self.wants_proof:
            record(self.lines().values())


def record(lines) -> None:
    """Writes the table `proof`: one row for each network, one column for each test of it."""
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
        said = line["why"].removeprefix("Skipped: ") or line["outcome"]
        row[column] = FAILED if FAILED in (said, row.get(column)) else said
    columns = sorted({column for row in rows.values() for column in row} - {"model"})
    table = [{c: row.get(c, "") for c in ("model", *columns)} for _, row in sorted(rows.items())]
    if table:
        results.record("proof", table)
