"""Lines of Kotlin, Swift and C++ that depend on the types of a bundle's input and outputs.

`codegen` puts them into the templates. Standard library only.
"""

import math
from collections.abc import Mapping
from pathlib import Path

from newnet_tf.deploy.bundle import detectors, resizing

CLASSIFICATION, MULTILABEL = "classification", "multilabel_classification"
LOGITS = "logits"
BGR = "BGR"
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


def is_classifier(info: Mapping) -> bool:
    """Whether a bundle's outputs are class scores."""
    return info["task"] in (CLASSIFICATION, MULTILABEL)


def is_binary(info: Mapping) -> bool:
    """Whether a bundle's only output is the score of the second of two classes."""
    return info["task"] == CLASSIFICATION and info["outputs"][0]["shape"][1] == 1


def activation(info: Mapping) -> str:
    """Returns what the code applies to the scores: `"softmax"`, `"sigmoid"` or `""`, nothing."""
    if not is_classifier(info) or info["output_type"] != LOGITS:
        return ""
    return "sigmoid" if info["task"] == MULTILABEL or is_binary(info) else "softmax"


def lines(name: str, info: Mapping) -> dict[str, object]:
    """Returns the lines that depend on types, in the language of a file, by placeholder.

    Args:
        name: str, name of the file.

        info: mapping, the content of `model.json`.
    """
    suffix = Path(name).suffix
    image, outputs = info["input"], info["outputs"]
    colors = ["red", "green", "blue"]
    is_bgr = info["image"]["colors"] == BGR
    values = ", ".join(colors[::-1] if is_bgr else colors) if image["shape"][3] == 3 else GRAY
    constants, put = {".kt": _kotlin, ".swift": _swift, ".h": _cpp}[suffix](image)
    if suffix == ".h" and is_bgr:  # its pixels are red, green, blue
        put = put.replace("pixels[i]", "pixels[i + kChannels - 1 - 2 * c]")
    is_interpolated = not info["image"]["antialias"]
    if is_interpolated:
        put = _put_unrounded(suffix, put)
    types = CPP_TYPES if suffix == ".h" else SWIFT_TYPES
    resize = resizing.words(suffix, info)
    indent = "        " if suffix == ".kt" else "  "
    code = {
        **resize,
        "CONSTANTS": f"\n{indent}".join(filter(None, [*resize["RESIZE_CONSTANTS"], constants])),
        "PUT_VALUE": put,
        "CHANNEL": _channel(image["shape"][3], is_bgr),
        "PUT": put,
        "VALUES": values.replace("@SHIFT@", "shr" if suffix == ".kt" else ">>"),
        "INDEX": "_" if image["values"] == "pixels" else "c",
        "INPUT_NAME": image["name"],
        "INPUT_BYTES": BYTES[image["dtype"]],
        "INPUT_TYPE": types[image["dtype"]],
    }
    if is_classifier(info):
        return code | _classifier(suffix, info, types)
    arrays = {".kt": _kotlin_output, ".swift": _swift_output, ".h": _cpp_output}[suffix]
    buffers = [
        f'        "{o["name"]}" to buffer({_size(o)} * {BYTES[o["dtype"]]}),' for o in outputs
    ]
    code |= {
        "OUTPUT_BUFFERS": "\n".join(buffers),
        "OUTPUT_ARRAYS": "\n".join(arrays(output) for output in outputs),
    }
    if not info["decoder"]:
        return code
    by_name = {output["name"]: output for output in outputs}
    names = ("boxes", "scores")
    calls = {f"{n.upper()}_ARRAY": _cpp_call(by_name[info["decoder"][n]]) for n in names}
    labels = _labels(suffix, info["labels"], info["decoder"]["classes"])
    return code | calls | detectors.words(suffix, info) | {"LABEL_LINES": labels}


def _classifier(suffix: str, info: Mapping, types: Mapping) -> dict[str, object]:
    [scores] = info["outputs"]
    count = scores["shape"][1]
    read = {
        ".kt": _kotlin_read(scores, "output"),
        ".swift": _swift_read(scores, "$0"),
        ".h": _cpp_read(scores),
    }[suffix]
    return {
        "READ": read,
        "FINISH": _finish(suffix, activation(info), is_binary(info)),
        "LABEL_LINES": _labels(suffix, info["labels"], 2 if is_binary(info) else count),
        "OUTPUTS": count,
        "CLASSES": 2 if is_binary(info) else count,
        "OUTPUT_BYTES": BYTES[scores["dtype"]],
        "OUTPUT_TYPE": types[scores["dtype"]],
    }


def _finish(suffix: str, activation: str, binary: bool) -> str:
    """Returns the lines from the scores to the probabilities of the classes."""
    function = {
        ".kt": activation,
        ".swift": f"Classifier.{activation}",
        ".h": activation.capitalize(),
    }[suffix]
    probabilities = f"{function}(scores)" if activation else "scores"
    if not binary:
        return f"return {probabilities}" + ";" * (suffix == ".h")
    return {
        ".kt": f"val second = {probabilities}[0]\n        return floatArrayOf(1f - second, second)",
        ".swift": f"let second = {probabilities}[0]\n    return [1 - second, second]",
        ".h": f"const float second = {probabilities}[0];\n    return {{1.0f - second, second}};",
    }[suffix]


def _labels(suffix: str, file: str | None, classes: int) -> str:
    """Returns the lines that give a classifier its labels: from a file, or numbers."""
    if suffix == ".kt":
        read = f'context.assets.open("{file}").bufferedReader().use {{ it.readLines() }}'
        return read if file else f'List({classes}) {{ "class $it" }}'
    if suffix == ".swift":
        if not file:
            return f'labels = (0..<{classes}).map {{ "class \\($0)" }}'
        url = f'folder.appendingPathComponent("{file}")'
        return (
            f"let text = try String(contentsOf: {url}, encoding: .utf8)\n"
            '    labels = text.split(separator: "\\n").map(String.init)'
        )
    return f"the order of {file}" if file else "the model's order"


def _channel(channels: int, is_bgr: bool) -> str:
    """Returns a Kotlin expression for channel `c` of a pixel, of red, green and blue."""
    if channels == 1:
        return f"({GRAY.replace('@SHIFT@', 'shr')})"
    first, last = ("blue", "red") if is_bgr else ("red", "blue")
    return f"(if (c == 0) {first} else if (c == 1) green else {last})"


def _put_unrounded(suffix: str, put: str) -> str:
    """Returns the line that puts a value for values that are no whole pixel values."""
    if suffix == ".kt":
        whole = put.replace("values[c].toByte()", "round(values[c]).toInt().toByte()")
        line = whole.replace("values[c]", "values[i]")
        return f"val c = i % CHANNELS\n            {line}" if "[c]" in line else line
    if suffix == ".swift":
        return put.replace("UInt8(value)", "UInt8(value.rounded(.toNearestOrEven))").replace(
            "Float(value)", "value"
        )
    return put.replace(
        "input[i] = pixels[i];", "input[i] = static_cast<Input>(std::nearbyint(pixels[i]));"
    )


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
    return f'        {{"{output["name"]}", {_cpp_call(output)}}},'


def _cpp_call(output: Mapping) -> str:
    """Returns the call that reads an output in C++."""
    scale, zero = 1.0, 0
    if output["quantization"] is not None:
        scale, zero, *_ = _quantization(output)
    kind = CPP_TYPES[output["dtype"]]
    return f"Output<{kind}>({output['index']}, {_size(output)}, {scale}f, {zero}.0f)"


def _quantization(tensor: Mapping) -> tuple[float, int, int, int]:
    """Returns scale, zero point, smallest and largest value of a quantized tensor."""
    bounds = (-128, 127) if tensor["dtype"] == "int8" else (0, 255)
    quantization = tensor["quantization"]
    return float(quantization["scale"]), quantization["zero_point"], *bounds
