"""Code for phones that fits a bundle's files: templates filled from `model.json`.

The templates lie in `templates/`; a word between two `@` is filled in. What differs by what the files
take and give (floats, pixels, integers; one channel or three) is a line of code, chosen here. Standard
library only.
"""

import re
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "templates"
KOTLIN, SWIFT, CPP = GENERATED = ("Classifier.kt", "Classifier.swift", "classifier.h")
CHECK, README = "check.py", "README.md"
BYTES = {"float32": 4, "int8": 1, "uint8": 1}
GRAY = "(19595 * red + 38470 * green + 7471 * blue + 32768) @SHIFT@ 16"  # as Pillow's convert("L")
SWIFT_TYPES = {"float32": "Float", "int8": "Int8", "uint8": "UInt8"}
CPP_TYPES = {"float32": "float", "int8": "std::int8_t", "uint8": "std::uint8_t"}


def generate(record: Mapping) -> dict[str, str]:
    """Returns the text of each file by name, `check.py` and `README.md` too.

    Args:
        record: mapping, what is in `model.json`.
    """
    words = _words(record)
    texts = {name: _fill(name, {**words, **_code(name, record)}) for name in (*GENERATED, README)}
    return {**texts, CHECK: (FOLDER / CHECK).read_text(encoding="utf-8")}


def _words(record: Mapping) -> dict[str, object]:
    given, scores, config = record["input"], record["output"], record["image"]
    channels = given["shape"][3]
    shape = " x ".join(map(str, given["shape"][1:]))
    kind = "pixels in 0-255" if given["takes"] == "pixels" else "normalized"
    rows = [
        f"| `{file['file']}` | {file['precision']}, {file['bytes'] / 1e6:.2f} MB, XNNPACK takes "
        f"{file['xnnpack']} |"
        for file in record["files"]
    ]
    return {
        "NAME": record["name"],
        "FILE": record["files"][-1]["file"],
        "LABELS": record["labels"],
        "ANSWERS": record["answers"]["file"],
        "TAKES": f"one image, {shape} {given['dtype']}, {kind}",
        "GIVES": f"{scores['shape'][1]} {scores['name']}, {scores['dtype']}",
        "SIZE": config["size"],
        "RESIZE": config["resize"],
        "INTERPOLATION": config["interpolation"],
        "COLORS": config["colors"],
        "CHANNELS": channels,
        "CLASSES": scores["shape"][1],
        "INPUT_BYTES": BYTES[given["dtype"]],
        "OUTPUT_BYTES": BYTES[scores["dtype"]],
        "LICENSE": record["license"] or "not stated",
        "ORIGIN": record["provenance"]["author"] or "not stated",
        "TABLE": "\n".join(rows),
    }


def _code(name: str, record: Mapping) -> dict[str, str]:
    """The lines of one language."""
    if name == README:
        return {}
    image, scores = record["input"], record["output"]
    values = "red, green, blue" if image["shape"][3] == 3 else GRAY
    write = {KOTLIN: _kotlin, SWIFT: _swift, CPP: _cpp}[name]
    constants, put, read = write(image, scores)
    softmax = {KOTLIN: "softmax", SWIFT: "Classifier.softmax", CPP: "Softmax"}[name]
    finish = f"return {softmax}(scores)" if scores["name"] == "logits" else "return scores"
    types = CPP_TYPES if name == CPP else SWIFT_TYPES
    return {
        "CONSTANTS": constants,
        "PUT": put,
        "READ": read,
        "FINISH": f"{finish};" if name == CPP else finish,
        "VALUES": values.replace("@SHIFT@", "shr" if name == KOTLIN else ">>"),
        "INDEX": "_" if image["takes"] == "pixels" else "c",
        "INPUT_TYPE": types[image["dtype"]],
        "OUTPUT_TYPE": types[scores["dtype"]],
    }


def _kotlin(image: Mapping, scores: Mapping) -> tuple[str, str, str]:
    constants = ""
    if image["takes"] != "pixels":
        scale, offset = (
            f"floatArrayOf({', '.join(f'{float(v)!r}f' for v in image[key])})"
            for key in ("scale", "offset")
        )
        constants = f"val SCALE = {scale}\n        val OFFSET = {offset}"
    put = "input.put(values[c].toByte())"
    if image["dtype"] == "float32":
        put = "input.putFloat(values[c] * SCALE[c] + OFFSET[c])"
    elif image["takes"] != "pixels":
        step, zero, low, high = _steps(image)
        real = f"(values[c] * SCALE[c] + OFFSET[c]) / {step}f"
        put = f"input.put((({real}).roundToInt() + {zero}).coerceIn({low}, {high}).toByte())"
    read = "output.getFloat()"
    if scores["dtype"] != "float32":
        step, zero, *_ = _steps(scores)
        whole = "output.get()" if scores["dtype"] == "int8" else "(output.get().toInt() and 255)"
        read = f"({whole} - {zero}) * {step}f"
    return constants, put, read


def _swift(image: Mapping, scores: Mapping) -> tuple[str, str, str]:
    if image["takes"] == "pixels":
        return "", "values.append(UInt8(value))", _swift_read(scores)
    scale, offset = (
        f"[Float] = [{', '.join(f'{float(v)!r}' for v in image[key])}]"
        for key in ("scale", "offset")
    )
    constants = f"static let scale: {scale}\n  static let offset: {offset}"
    real = "Float(value) * scale[c] + offset[c]"
    if image["dtype"] != "float32":
        step, zero, low, high = _steps(image)
        whole = f"Int((({real}) / {step}).rounded()) + {zero}"
        real = f"{SWIFT_TYPES[image['dtype']]}(min(max({whole}, {low}), {high}))"
    return constants, f"values.append({real})", _swift_read(scores)


def _swift_read(scores: Mapping) -> str:
    if scores["dtype"] == "float32":
        return "$0"
    step, zero, *_ = _steps(scores)
    return f"Float(Int($0) - {zero}) * {step}"


def _cpp(image: Mapping, scores: Mapping) -> tuple[str, str, str]:
    read = "output[i]"
    if scores["dtype"] != "float32":
        step, zero, *_ = _steps(scores)
        read = f"(output[i] - {zero}) * {step}f"
    if image["takes"] == "pixels":
        return "", "input[i] = pixels[i];", read
    scale, offset = (
        f"{{{', '.join(f'{float(v)!r}f' for v in image[key])}}}" for key in ("scale", "offset")
    )
    array = "static constexpr std::array<float, kChannels>"
    constants = f"{array} kScale = {scale};\n  {array} kOffset = {offset};"
    value = "pixels[i] * kScale[c] + kOffset[c]"
    if image["dtype"] != "float32":
        step, zero, low, high = _steps(image)
        whole = f"std::nearbyint(({value}) / {step}f) + {zero}.0f"
        kind = CPP_TYPES[image["dtype"]]
        value = f"static_cast<{kind}>(std::clamp({whole}, {low}.0f, {high}.0f))"
    return constants, f"const std::size_t c = i % kChannels;\n      input[i] = {value};", read


def _steps(tensor: Mapping) -> tuple:
    """Scale, zero point, least and largest value of an integer tensor."""
    bounds = (-128, 127) if tensor["dtype"] == "int8" else (0, 255)
    return float(tensor["quantization"]["scale"]), tensor["quantization"]["zero_point"], *bounds


def _fill(name: str, words: Mapping) -> str:
    """Fills a template; a line that holds nothing but an empty word goes."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    for word in (word for word, value in words.items() if value == ""):
        text = re.sub(rf"^ *@{word}@\n", "", text, flags=re.MULTILINE)
    return re.sub(r"@([A-Z_]+)@", lambda found: f"{words[found[1]]}", text)
