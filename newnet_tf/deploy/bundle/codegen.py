"""Code for phones that fits a bundle's files: templates filled from `model.json`.

The templates are in `templates/`. A word between two `@` is a placeholder. What depends on the types of
input and outputs (floats, pixels, integers; one channel or three) is a line of code, chosen here.
Classifiers get a class with probabilities and labels; models of other tasks get a class that returns
their outputs by name. Standard library only.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "templates"
CLASSIFICATION = "classification"
CLASSIFIER_FILES = ("Classifier.kt", "Classifier.swift", "classifier.h")
MODEL_FILES = ("Model.kt", "Model.swift", "model.h")
CHECK, README = "check.py", "README.md"
BYTES = {"float32": 4, "int8": 1, "uint8": 1, "int32": 4, "int64": 8}
# as Pillow's convert("L")
GRAY = "(19595 * red + 38470 * green + 7471 * blue + 32768) @SHIFT@ 16"
SWIFT_TYPES = {
    "float32": "Float",
    "int8": "Int8",
    "uint8": "UInt8",
    "int32": "Int32",
    "int64": "Int64",
}
CPP_TYPES = {
    "float32": "float",
    "int8": "std::int8_t",
    "uint8": "std::uint8_t",
    "int32": "std::int32_t",
    "int64": "std::int64_t",
}
KOTLIN_READS = {
    "float32": "{}.getFloat()",
    "int8": "{}.get()",
    "uint8": "({}.get().toInt() and 255)",
    "int32": "{}.getInt().toFloat()",
    "int64": "{}.getLong().toFloat()",
}


def code_files(task: str) -> tuple[str, str, str]:
    """Returns the names of the generated files of a task: Kotlin, Swift, C++."""
    return CLASSIFIER_FILES if task == CLASSIFICATION else MODEL_FILES


def generate(info: Mapping) -> dict[str, str]:
    """Returns the text of each generated file, and of `check.py` and `README.md`, by name.

    Args:
        info: mapping, the content of `model.json`.

    Raises:
        ValueError: for an output of a type that the generated code cannot read.
    """
    for output in info["outputs"]:
        if output["dtype"] not in BYTES:
            raise ValueError(
                f"outputs must be of type {', '.join(BYTES)}. "
                f"Received: {output['name']!r} of type {output['dtype']}"
            )
    words, texts = _words(info), {README: ""}
    texts |= dict.fromkeys(code_files(info["task"]), "")
    for name in texts:
        texts[name] = _fill(name, {**words, **_code(name, info)})
    return {**texts, CHECK: (FOLDER / CHECK).read_text(encoding="utf-8")}


def _words(info: Mapping) -> dict[str, object]:
    image, config = info["input"], info["image"]
    shape = " x ".join(map(str, image["shape"][1:]))
    content = "pixels in 0-255" if image["values"] == "pixels" else "normalized"
    rows = [
        f"| `{file['file']}` | {file['precision']}, {file['bytes'] / 1e6:.2f} MB, XNNPACK runs "
        f"{file['xnnpack']} |"
        for file in info["files"]
    ]
    labels = info["labels"]
    labels_row = (
        f"| `{labels}` | name of each class, in the order of the scores |" if labels else ""
    )
    return {
        "NAME": info["name"],
        "TASK": info["task"].replace("_", " "),
        "FILE": info["files"][-1]["file"],
        "LABELS": labels or "",
        "LABELS_ROW": labels_row,
        "EXPECTED": info["expected"]["file"],
        "CODE_FILES": ", ".join(f"`{name}`" for name in code_files(info["task"])),
        "INPUT": f"one image, {shape} {image['dtype']}, {content}",
        "OUTPUTS": "; ".join(_description(output, info["task"]) for output in info["outputs"]),
        "SIZE": config["image_size"],
        "RESIZE": config["resize"],
        "INTERPOLATION": config["interpolation"],
        "COLORS": config["colors"],
        "CHANNELS": image["shape"][3],
        "LICENSE": info["license"] or "not stated",
        "AUTHOR": info["provenance"]["author"] or "not stated",
        "TABLE": "\n".join(rows),
    }


def _description(output: Mapping, task: str) -> str:
    if task == CLASSIFICATION:
        return f"{output['shape'][1]} {output['name']}, {output['dtype']}"
    return f"{output['name']}, {' x '.join(map(str, output['shape'][1:]))} {output['dtype']}"


def _code(name: str, info: Mapping) -> dict[str, object]:
    """Returns the lines that depend on types, in the language of the file `name`."""
    if name == README:
        return {}
    suffix = Path(name).suffix
    image, outputs = info["input"], info["outputs"]
    values = "red, green, blue" if image["shape"][3] == 3 else GRAY
    constants, put = {".kt": _kotlin, ".swift": _swift, ".h": _cpp}[suffix](image)
    types = CPP_TYPES if suffix == ".h" else SWIFT_TYPES
    code = {
        "CLASS": "Classifier" if info["task"] == CLASSIFICATION else "Model",
        "CONSTANTS": constants,
        "PUT": put,
        "VALUES": values.replace("@SHIFT@", "shr" if suffix == ".kt" else ">>"),
        "INDEX": "_" if image["values"] == "pixels" else "c",
        "INPUT_NAME": image["name"],
        "INPUT_BYTES": BYTES[image["dtype"]],
        "INPUT_TYPE": types[image["dtype"]],
    }
    if info["task"] == CLASSIFICATION:
        return code | _classifier_code(suffix, outputs[0], types)
    arrays = {".kt": _kotlin_output, ".swift": _swift_output, ".h": _cpp_output}[suffix]
    buffers = [
        f'        "{o["name"]}" to buffer({_size(o)} * {BYTES[o["dtype"]]}),' for o in outputs
    ]
    return code | {
        "OUTPUT_BUFFERS": "\n".join(buffers),
        "OUTPUT_ARRAYS": "\n".join(arrays(output) for output in outputs),
    }


def _classifier_code(suffix: str, scores: Mapping, types: Mapping) -> dict[str, object]:
    softmax = {".kt": "softmax", ".swift": "Classifier.softmax", ".h": "Softmax"}[suffix]
    finish = f"return {softmax}(scores)" if scores["name"] == "logits" else "return scores"
    read = {
        ".kt": _kotlin_read(scores, "output"),
        ".swift": _swift_read(scores, "$0"),
        ".h": _cpp_read(scores),
    }[suffix]
    return {
        "READ": read,
        "FINISH": f"{finish};" if suffix == ".h" else finish,
        "CLASSES": scores["shape"][1],
        "OUTPUT_BYTES": BYTES[scores["dtype"]],
        "OUTPUT_TYPE": types[scores["dtype"]],
    }


def _size(output: Mapping) -> int:
    return math.prod(output["shape"])


def _kotlin(image: Mapping) -> tuple[str, str]:
    constants = ""
    if image["values"] != "pixels":
        scale, offset = (
            f"floatArrayOf({', '.join(f'{float(v)!r}f' for v in image[key])})"
            for key in ("scale", "offset")
        )
        constants = f"val SCALE = {scale}\n        val OFFSET = {offset}"
    put = "input.put(values[c].toByte())"
    if image["dtype"] == "float32":
        put = "input.putFloat(values[c] * SCALE[c] + OFFSET[c])"
    elif image["values"] != "pixels":
        scale, zero, low, high = _quantization(image)
        real = f"(values[c] * SCALE[c] + OFFSET[c]) / {scale}f"
        put = f"input.put((({real}).roundToInt() + {zero}).coerceIn({low}, {high}).toByte())"
    return constants, put


def _kotlin_read(output: Mapping, buffer: str) -> str:
    value = KOTLIN_READS[output["dtype"]].format(buffer)
    if output["quantization"] is None:
        return value if output["dtype"] not in ("int8", "uint8") else f"{value}.toFloat()"
    scale, zero, *_ = _quantization(output)
    return f"({value} - {zero}) * {scale}f"


def _kotlin_output(output: Mapping) -> str:
    name = output["name"]
    read = _kotlin_read(output, f'read("{name}")')
    return f'            "{name}" to FloatArray({_size(output)}) {{ {read} }},'


def _swift(image: Mapping) -> tuple[str, str]:
    if image["values"] == "pixels":
        return "", "values.append(UInt8(value))"
    scale, offset = (
        f"[Float] = [{', '.join(f'{float(v)!r}' for v in image[key])}]"
        for key in ("scale", "offset")
    )
    constants = f"static let scale: {scale}\n  static let offset: {offset}"
    real = "Float(value) * scale[c] + offset[c]"
    if image["dtype"] != "float32":
        step, zero, low, high = _quantization(image)
        integer = f"Int((({real}) / {step}).rounded()) + {zero}"
        real = f"{SWIFT_TYPES[image['dtype']]}(min(max({integer}, {low}), {high}))"
    return constants, f"values.append({real})"


def _swift_read(output: Mapping, value: str) -> str:
    if output["quantization"] is None:
        return value if output["dtype"] == "float32" else f"Float({value})"
    scale, zero, *_ = _quantization(output)
    return f"Float(Int({value}) - {zero}) * {scale}"


def _swift_output(output: Mapping) -> str:
    kind, read = SWIFT_TYPES[output["dtype"]], _swift_read(output, "value")
    name, index = output["name"], output["index"]
    return f'      "{name}": try values({index}) {{ (value: {kind}) in {read} }},'


def _cpp(image: Mapping) -> tuple[str, str]:
    if image["values"] == "pixels":
        return "", "input[i] = pixels[i];"
    scale, offset = (
        f"{{{', '.join(f'{float(v)!r}f' for v in image[key])}}}" for key in ("scale", "offset")
    )
    array = "static constexpr std::array<float, kChannels>"
    constants = f"{array} kScale = {scale};\n  {array} kOffset = {offset};"
    value = "pixels[i] * kScale[c] + kOffset[c]"
    if image["dtype"] != "float32":
        step, zero, low, high = _quantization(image)
        integer = f"std::nearbyint(({value}) / {step}f) + {zero}.0f"
        kind = CPP_TYPES[image["dtype"]]
        value = f"static_cast<{kind}>(std::clamp({integer}, {low}.0f, {high}.0f))"
    return constants, f"const std::size_t c = i % kChannels;\n      input[i] = {value};"


def _cpp_read(output: Mapping) -> str:
    if output["quantization"] is None:
        return "output[i]"
    scale, zero, *_ = _quantization(output)
    return f"(output[i] - {zero}) * {scale}f"


def _cpp_output(output: Mapping) -> str:
    scale, zero = 1.0, 0
    if output["quantization"] is not None:
        scale, zero, *_ = _quantization(output)
    kind, name = CPP_TYPES[output["dtype"]], output["name"]
    call = f"Output<{kind}>({output['index']}, {_size(output)}, {scale}f, {zero}.0f)"
    return f'        {{"{name}", {call}}},'


def _quantization(tensor: Mapping) -> tuple[float, int, int, int]:
    """Returns scale, zero point, smallest and largest value of a quantized tensor."""
    bounds = (-128, 127) if tensor["dtype"] == "int8" else (0, 255)
    quantization = tensor["quantization"]
    return float(quantization["scale"]), quantization["zero_point"], *bounds


def _fill(name: str, words: Mapping) -> str:
    """Fills a template. A line with nothing but an empty placeholder is removed."""
    suffix = Path(name).suffix
    text = (FOLDER / name).read_text(encoding="utf-8")
    for part in ("image", "interpreter"):  # shared by the classes of one language
        if f"@{part.upper()}@" in text:
            shared = (FOLDER / f"{part}{suffix}").read_text(encoding="utf-8").rstrip("\n")
            text = text.replace(f"@{part.upper()}@", shared)
    for word in (word for word, value in words.items() if value == ""):
        text = re.sub(rf"^ *@{word}@\n", "", text, flags=re.MULTILINE)
    return re.sub(r"@([A-Z_]+)@", lambda match: f"{words[match[1]]}", text)
