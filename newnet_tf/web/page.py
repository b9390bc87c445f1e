"""The page's own files, filled in for a model: HTML, manifest, headers, licenses."""

import html
import json
from pathlib import Path
from string import Template

from newnet_tf.models.config.metadata import CLASSIFICATION, MULTILABEL
from newnet_tf.web import litert_js, serve

STATIC = Path(__file__).with_name("static")
PAGE, LICENSE = "index.html", "LICENSES.txt"
DETECTION = "detection"
TASKS = (CLASSIFICATION, MULTILABEL, DETECTION)  # that the page can show
SUMMARIES = {
    CLASSIFICATION: "Classifies images into {} {}.",
    MULTILABEL: "Says which of {} {} an image shows, each on its own.",
    DETECTION: "Finds objects of {} {} in images.",
}


def static_files(title: str, classes: int, task: str) -> dict[str, bytes]:
    """Returns the files of a site that do not depend on its model's files, by name.

    Args:
        title: str, title of the page.

        classes: int, number of classes.

        task: str, among `TASKS`.
    """
    contents = {file.name: file.read_bytes() for file in sorted(STATIC.iterdir())}
    page = Template(contents[PAGE].decode())
    summary = SUMMARIES[task].format(f"{classes:,}", "class" if classes == 1 else "classes")
    deed = "finds objects in images" if task == DETECTION else "classifies images"
    filled = page.substitute(
        title=html.escape(title),
        summary=summary,
        deed=deed,
        policy=html.escape(serve.POLICY),
    )
    manifest = {
        "name": title,
        "start_url": "./",
        "display": "standalone",
        "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}],
    }
    contents[PAGE] = filled.encode()
    contents["site.webmanifest"] = json.dumps(manifest, ensure_ascii=False).encode()
    contents["_headers"] = serve.headers_file().encode()
    contents[LICENSE] = _licenses(contents.pop("APACHE-2.0.txt"))
    return contents


def _licenses(apache: bytes) -> bytes:
    version = litert_js.VERSION
    head = (
        f"The files in litert-{version}/ but {litert_js.LOADER} are LiteRT.js, the npm package "
        f"{litert_js.PACKAGE} {version},\nCopyright Google LLC, under the Apache License 2.0. "
        f"{litert_js.MODULE} is changed in one word: it imports ./{litert_js.LOADER}.\n"
        "The page itself is part of newnet_tf, under the same license. The model's weights are "
        "under\nthe license that they were published with.\n\n"
    )
    return head.encode() + apache
