"""Code for phones that fits a bundle's files: templates filled from `model.json`.

The templates are in `templates/`. A word between two `@` is a placeholder. What depends on the types of
input and outputs (floats, pixels, integers; RGB, BGR, gray; logits, probabilities) comes from
`languages`. Classifiers get a class with probabilities and labels; models of other tasks get a class
that returns their outputs by name. Standard library only.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from newnet_tf.deploy.bundle import languages, resizing
from newnet_tf.deploy.bundle.languages import BYTES
from newnet_tf.deploy.bundle.resizing import GENERATED, STRETCH

FOLDER = Path(__file__).parent / "templates"
CLASSIFIER_FILES = ("Classifier.kt", "Classifier.swift", "classifier.h")
DETECTOR_FILES = ("Detector.kt", "Detector.swift", "detector.h")
MODEL_FILES = ("Model.kt", "Model.swift", "model.h")
CHECK, README = "check.py", "README.md"
SHARED = ("image", "interpreter", "android")  # parts of templates
MATH = ("ceil", "exp", "floor", "max", "min", "round")  # of kotlin.math
PACKAGE = "com.example.app"  # of the Kotlin code, where none is given
KOTLIN_KEYWORDS = (
    *("as", "break", "class", "continue", "do", "else", "false", "for", "fun", "if", "in"),
    *("interface", "is", "null", "object", "package", "return", "super", "this", "throw", "true"),
    *("try", "typealias", "typeof", "val", "var", "when", "while"),
)


def code_files(info: Mapping) -> tuple[str, str, str]:
    """Returns the names of the generated files: Kotlin, Swift, C++.

    Args:
        info: mapping, the content of `model.json`.
    """
    if languages.is_classifier(info):
        return CLASSIFIER_FILES
    return DETECTOR_FILES if info["decoder"] else MODEL_FILES


def generate(info: Mapping, package: str = PACKAGE) -> dict[str, str]:
    """Returns the text of each generated file, and of `check.py` and `README.md`, by name.

    Args:
        info: mapping, the content of `model.json`.

        package: str, package of the Kotlin code. Default: `"com.example.app"`.

    Raises:
        ValueError: for another `package`, or an output of a type that the generated code cannot read.
    """
    check_package(package)
    for output in info["outputs"]:
        if output["dtype"] not in BYTES:
            raise ValueError(
                f"outputs must be of type {', '.join(BYTES)}. "
                f"Received: {output['name']!r} of type {output['dtype']}"
            )
    if info["image"]["resize_mode"] not in GENERATED:
        raise ValueError(
            f"a bundle's images must be resized in one of the modes {', '.join(GENERATED)}, as its "
            f"code knows no other. Received: resize_mode={info['image']['resize_mode']!r}"
        )
    if info["decoder"] and (info["image"]["resize_mode"], info["input"]["shape"][3]) != (
        STRETCH,
        3,
    ):
        raise ValueError(
            "a detector's bundle must take colors with `resize_mode='stretch'`. Received: "
            f"{info['image']['resize_mode']!r}, {info['input']['shape'][3]} channels"
        )
    words = {**_words(info), "PACKAGE": package}
    texts = {README: _fill(README, words)}
    for name in code_files(info):
        parts = resizing.parts(Path(name).suffix, info)
        texts[name] = _fill(name, {**words, **languages.lines(name, info)}, parts)
    return {**texts, CHECK: (FOLDER / CHECK).read_text(encoding="utf-8")}


def check_package(package: str) -> None:
    """Raises ValueError unless `package` can be the name of a Kotlin package."""
    parts = package.split(".") if isinstance(package, str) else [""]
    if any(not re.fullmatch(r"[A-Za-z_]\w*", p, re.A) or p in KOTLIN_KEYWORDS for p in parts):
        raise ValueError(
            "`package` must be the name of a Kotlin package, such as 'com.example.app'. "
            f"Received: {package!r}"
        )


def _words(info: Mapping) -> dict[str, object]:
    image, config = info["input"], info["image"]
    shape = " x ".join(map(str, image["shape"][1:]))
    content = "pixels in 0-255" if image["values"] == "pixels" else "normalized"
    content += f", {config['colors']}"
    rows = [
        f"| `{file['file']}` | {file['precision']}, {file['bytes'] / 1e6:.2f} MB, XNNPACK runs "
        f"{file['xnnpack']} |"
        for file in info["files"]
    ]
    file, labels = info["files"][-1]["file"], info["labels"]
    kotlin, swift, _ = code_files(info)
    is_classifier = languages.is_classifier(info)
    activation = languages.activation(info)
    call, result = "run", "Map<String, FloatArray>"
    if is_classifier:
        call, result = "classify", "List<Pair<String, Float>>"
    elif info["decoder"]:
        call, result = "detect", "List<Detector.Detection>"
    return {
        "NAME": info["name"],
        "TASK": info["task"].replace("_", " "),
        "FILE": file,
        "ASSETS": f"{file} and {labels}" if labels else file,
        "LABELS_ROW": _labels_row(info),
        "EXPECTED": info["expected"]["file"],
        "CODE_FILES": ", ".join(f"`{name}`" for name in code_files(info)),
        "KOTLIN": kotlin,
        "SWIFT": swift,
        "CLASS": Path(kotlin).stem,
        "CALL": call,
        "RESULT": result,
        "ACTIVATION": activation,
        "MEANING": (
            "the probability of each class on its own (an image may show several)"
            if info["task"] == languages.MULTILABEL
            else "the probability of each class"
        ),
        "INPUT": f"one image, {shape} {image['dtype']}, {content}",
        "OUTPUTS_TEXT": "; ".join(_description(output, info) for output in info["outputs"]),
        "SIZE": config["image_size"],
        "INTERPOLATION": config["interpolation"],
        "PIXELS": "gray" if image["shape"][3] == 1 else "RGB",
        "CHANNELS": image["shape"][3],
        "LICENSE": info["license"] or "not stated",
        "AUTHOR": info["provenance"]["author"] or "not stated",
        "TABLE": "\n".join(rows),
    }


def _labels_row(info: Mapping) -> str:
    if info["labels"]:
        return f"| `{info['labels']}` | name of each class, in the order of the probabilities |"
    if languages.is_classifier(info):
        return (
            "| no file of labels | the names of the classes were unknown: the code says `class 3` |"
        )
    return ""


def _description(output: Mapping, info: Mapping) -> str:
    shape = " x ".join(map(str, output["shape"][1:]))
    if not languages.is_classifier(info):
        return f"{output['name']}, {shape} {output['dtype']}"
    scores = {"sigmoid": "probabilities, each on its own"}.get(
        info["output_type"], info["output_type"]
    )
    if languages.is_binary(info):
        scores = "logit of the second of two classes"
        if info["output_type"] != languages.LOGITS:
            scores = "probability of the second of two classes"
    return f"{shape} {scores}, {output['dtype']}"


def _fill(name: str, words: Mapping, parts: Mapping[str, str] | None = None) -> str:
    """Fills a template. A line with nothing but an empty placeholder is removed.

    Args:
        name: str, name of the template.

        words: mapping from placeholder to value.

        parts: mapping from placeholder to the name of another template, which takes its place; `""`
            for none.
    """
    suffix = Path(name).suffix
    text = (FOLDER / name).read_text(encoding="utf-8")
    shared = {part.upper(): part for part in SHARED}
    shared |= {
        "OUTPUT_FUNCTION": "output",
        "ACTIVATION_FUNCTION": words["ACTIVATION"],
        **(parts or {}),
    }
    for word, part in shared.items():
        if f"@{word}@" in text:
            other = (FOLDER / f"{part}{suffix}").read_text(encoding="utf-8") if part else ""
            text = text.replace(f"@{word}@\n", other)
    for word in (word for word, value in words.items() if value == ""):
        text = re.sub(rf"^ *@{word}@\n", "", text, flags=re.MULTILINE)
    words = {**words, "MATH_IMPORTS": "@MATH_IMPORTS@"}
    while re.search(r"@(?!MATH)[A-Z_]+@", text):
        text = re.sub(r"@([A-Z_]+)@", lambda match: f"{words[match[1]]}", text)
    imports = [
        f"import kotlin.math.{call}" for call in MATH if re.search(rf"(?<![.\w]){call}\(", text)
    ]
    if ".roundToInt(" in text:
        imports.append("import kotlin.math.roundToInt")
    text = text.replace("@MATH_IMPORTS@", "\n".join(imports))
    return re.sub(r"\n{3,}", "\n\n", text)
