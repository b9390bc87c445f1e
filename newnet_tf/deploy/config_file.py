"""The record inside a TFLite file: its `ExportConfig`, and a digest of the model.

Standard library only.

TFLite metadata may be followed by files of any kind, as a zip archive at the end of the file, which
interpreters do not read. The record is one of them, the labels another.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from newnet_tf.deploy.export_config import ExportConfig
from newnet_tf.models.config.metadata import ENTRY
from newnet_tf.utils.io import DAMAGED_ARCHIVE, file_stem, lines_of

LABELS = "labels.txt"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of a zip archive: the same bytes every time
MAX_BYTES = 16 * 2**20  # of the record


def append_record(model: bytes, config: ExportConfig) -> bytes:
    """Returns a TFLite file with its record, and its labels if they are known, behind it.

    Args:
        model: bytes of the file, with TFLite metadata that name the labels.

        config: `ExportConfig`.
    """
    fields = config.to_dict()
    if fields["calibration"]:
        fields["calibration"]["image_names"] = []  # names of the user's files stay with the user
    record = {"sha256": hashlib.sha256(model).hexdigest(), "config": fields}
    files = {ENTRY: json.dumps(record, ensure_ascii=False).encode()}
    if config.class_names:
        files[LABELS] = lines_of(config.class_names).encode()
    return model + archive(files)


def with_config(file: str | os.PathLike, config: ExportConfig) -> bytes:
    """Returns a TFLite file with another record behind it.

    Args:
        file: path of a file with a record.

        config: `ExportConfig`.
    """
    with zipfile.ZipFile(file) as zipped:
        size = min(entry.header_offset for entry in zipped.infolist())
    return append_record(Path(file).read_bytes()[:size], config)


def read_config(file: str | os.PathLike) -> ExportConfig | None:
    """Returns the config inside a TFLite file, None where there is none.

    Args:
        file: path of the TFLite file.

    Raises:
        ValueError: for a damaged file, or the record of another version; it names the file.
    """
    if not Path(file).is_file():
        return None  # whoever runs the file says that it is missing
    try:
        with zipfile.ZipFile(file) as zipped:
            entries = {entry.filename: entry for entry in zipped.infolist()}
            if ENTRY not in entries:
                raise ValueError("an archive of other files")
            if entries[ENTRY].file_size > MAX_BYTES:
                raise ValueError(f"a record of {entries[ENTRY].file_size} bytes")
            record = json.loads(zipped.read(ENTRY).decode())
            size = min(entry.header_offset for entry in entries.values())
    except DAMAGED_ARCHIVE as error:
        if ENTRY.encode() not in Path(file).read_bytes():
            return None  # of another package
        raise ValueError(
            f"{file} must be a whole TFLite file, with its record ({ENTRY}) at the end. "
            f"Received: {error}"
        ) from error
    with open(file, "rb") as model:
        digest = hashlib.sha256(model.read(size)).hexdigest()
    if not isinstance(record, Mapping) or record.get("sha256") != digest:
        raise ValueError(
            f"{file} must be the model that the record inside it describes, by sha256. "
            "Received: other bytes; export it anew"
        )
    try:
        return ExportConfig.from_dict(record["config"])
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{file} must hold an export config that this version wrote. Received: {error}"
        ) from error


def description_path(file: str | os.PathLike) -> Path:
    """Returns the path of the description next to a TFLite file: the same name with `.json`.

    It says for people what the file holds, and how it was verified. It is not read.
    """
    file = Path(file)
    return file.with_name(f"{file.name.removesuffix('.tflite')}.json")


def write_labels(folder: Path, config: ExportConfig) -> None:
    """Writes the class names next to a model's files, a class a line, if known. They are not read."""
    if config.class_names:
        labels = folder / f"{file_stem(config.model)}.labels.txt"
        labels.write_text(lines_of(config.class_names), encoding="utf-8")


def archive(files: Mapping[str, bytes]) -> bytes:
    """Returns a zip archive of files by name; the same files give the same bytes."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as zipped:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            zipped.writestr(entry, data)
    return memory.getvalue()
