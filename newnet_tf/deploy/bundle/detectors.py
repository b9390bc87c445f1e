"""Words of a bundle's code that decode a detector's raw outputs, by placeholder.

Standard library only.
"""

from collections.abc import Mapping

SOFTMAX = "softmax"


def words(suffix: str, info: Mapping) -> dict[str, object]:
    """Returns the words of a detector, in the language of a file.

    Args:
        suffix: str, `".kt"`, `".swift"` or `".h"`.

        info: mapping, the content of `model.json`.
    """
    decoder = info["decoder"]
    setup, score = _score(suffix, decoder)
    code_x, code_y, code_width, code_height = decoder["code_order"]
    return {
        "BOXES": decoder["boxes"],
        "SCORES": decoder["scores"],
        "CLASSES": decoder["classes"],
        "BACKGROUND": decoder["background"],
        "SCORE_THRESHOLD": float(decoder["score_threshold"]),
        "IOU_THRESHOLD": float(decoder["iou_threshold"]),
        "TOP_K": decoder["top_k"],
        "MAX_DETECTIONS": decoder["max_detections"],
        "CODE_X": code_x,
        "CODE_Y": code_y,
        "CODE_WIDTH": code_width,
        "CODE_HEIGHT": code_height,
        "CENTER_SCALE": float(decoder["center_scale"]),
        "SIDE_SCALE": float(decoder["side_scale"]),
        "MAX_SIDE_CODE": float(decoder["max_side_code"]),
        "MAPS": "\n".join(_map(suffix, grid) for grid in decoder["maps"]),
        "SCORE_SETUP": setup,
        "SCORE": score,
    }


def _score(suffix: str, decoder: Mapping) -> tuple[str, str]:
    """Returns the lines before the scores of an anchor, and the score of a class."""
    background = decoder["background"]
    if suffix == ".h":
        if decoder["score_function"] != SOFTMAX:
            return "", f"1.0f / (1.0f + std::exp(-row[label + {background}]))"
        setup = (
            "const float most = *std::max_element(row, row + kColumns);\n"
            "      float sum = 0.0f;\n"
            "      for (std::size_t i = 0; i < kColumns; ++i) sum += std::exp(row[i] - most);"
        )
        return setup, f"std::exp(row[label + {background}] - most) / sum"
    is_kotlin = suffix == ".kt"
    one, value = "1f" if is_kotlin else "1", f"logits[row + index + {background}]"
    if decoder["score_function"] != SOFTMAX:
        return "", f"{one} / ({one} + exp(-{value}))"
    if is_kotlin:
        setup = (
            "val columns = row until row + COLUMNS\n"
            "            val most = columns.maxOf { logits[it] }\n"
            "            var sum = 0f\n"
            "            for (column in columns) sum += exp(logits[column] - most)"
        )
    else:
        setup = (
            "let most = logits[row..<row + columns].max()!\n"
            "      let sum = logits[row..<row + columns].reduce(Float(0)) { $0 + exp($1 - most) }"
        )
    return setup, f"exp({value} - most) / sum"


def _map(suffix: str, grid: Mapping) -> str:
    """Returns the line of a feature map: its size in cells, and the sides of the anchors of a cell."""
    size, anchors = grid["size"], grid["anchors"]
    if suffix == ".h":
        sides = ", ".join(f"{{{width!r}f, {height!r}f}}" for width, height in anchors)
        return f"          {{{size}, {{{{{sides.removeprefix('{').removesuffix('}')}}}}}}},"
    sides = [side for pair in anchors for side in pair]
    if suffix == ".kt":
        return f"            {size} to floatArrayOf({', '.join(f'{side!r}f' for side in sides)}),"
    return f"    (size: {size}, sides: [{', '.join(map(repr, sides))}]),"
