"""Helpers: files are whole or absent, softmax is stable, progress goes to stderr."""

import csv
import hashlib

import numpy as np
import pytest

from newnet_tf.utils import io, math, progress


def test_atomic_write_renames_at_the_end(tmp_path):
    path = tmp_path / "deep" / "model.weights.h5"
    with io.atomic_write(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.endswith(".weights.h5")
        temporary.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_atomic_write_leaves_the_old_file_on_an_error(tmp_path):
    path = tmp_path / "table.csv"
    io.write_text(path, "old")

    def fail():
        with io.atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_of_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), io.atomic_write(tmp_path / "a.bin"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_csv_takes_mappings_and_sequences(tmp_path):
    path = tmp_path / "table.csv"
    io.write_csv(path, ("a", "b"), [{"a": 1}, (2, "x,y")])
    assert path.read_bytes() == b'a,b\n1,\n2,"x,y"\n'
    with path.open(newline="") as file:
        assert next(csv.DictReader(file)) == {"a": "1", "b": ""}
    with pytest.raises(ValueError, match=r"must be among a, b. Received: c"):
        io.write_csv(path, ("a", "b"), [{"c": 1}])


def test_digests_of_files_and_bytes_agree(tmp_path):
    data = b"x" * 100_000
    io.write_bytes(tmp_path / "a", data)
    assert io.sha256(tmp_path / "a") == io.sha256_bytes(data) == hashlib.sha256(data).hexdigest()


def test_softmax_does_not_overflow():
    logits = np.array([[1000.0, 1000.0], [-1000.0, 0.0]])
    np.testing.assert_allclose(math.softmax(logits), [[0.5, 0.5], [0, 1]])
    np.testing.assert_allclose(math.log_softmax(logits), [[np.log(0.5)] * 2, [-1000, 0]])
    np.testing.assert_allclose(math.softmax(logits, axis=0).sum(axis=0), 1)


def test_progress_bar_yields_the_items_and_writes_to_stderr(capsys):
    assert list(progress.progress_bar([1, 2, 3], "Counting")) == [1, 2, 3]
    assert list(progress.progress_bar(iter("ab"), "Spelling")) == ["a", "b"]
    progress.note("done")
    captured = capsys.readouterr()
    assert not captured.out
    assert "Counting" in captured.err
    assert "newnet: done\n" in captured.err


def test_progress_bar_in_a_notebook_is_a_line_that_is_removed(capsys, monkeypatch):
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell_type = type("ZMQInteractiveShell", (interactive.InteractiveShell,), {})
    shell = shell_type.instance()
    try:
        with interactive_outputs(shell) as outputs:
            assert list(progress.progress_bar([1, 2], "Counting")) == [1, 2]
    finally:
        shell_type.clear_instance()
    assert outputs[0]["text/plain"] == "Counting: 0 of 2"
    assert outputs[-1]["text/plain"] == ""
    assert not capsys.readouterr().err


class interactive_outputs:
    """Records what an IPython shell displays."""

    def __init__(self, shell):
        self.publisher, self.outputs = shell.display_pub, []

    def __enter__(self):
        self.publisher.publish = lambda data, **options: self.outputs.append(data)
        return self.outputs

    def __exit__(self, *error):
        del self.publisher.publish
