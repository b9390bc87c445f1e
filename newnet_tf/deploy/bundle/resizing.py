"""Words of a bundle's code that say how an image is resized, by placeholder.

Android's and Apple's own scalers are used for antialiased images, which they do not resize exactly
as Pillow does. Without antialiasing the code interpolates by itself, with Python's numbers. The C++
code of a classifier or another model takes resized pixels, that of a detector resizes by itself.
Standard library only.
"""

from collections.abc import Mapping

GENERATED = _, STRETCH = "center_crop", "stretch"  # modes that the generated code knows
WEIGHTS = {  # of a pixel at the distance x, in C++
    "bilinear": "return x < 1.0 ? 1.0 - x : 0.0;",
    "bicubic": (
        "return x < 1.0 ? (1.5 * x - 2.5) * x * x + 1.0\n"
        "           : x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 : 0.0;"
    ),
}
REACHES = {"bilinear": 1.0, "bicubic": 2.0}


def parts(suffix: str, info: Mapping) -> dict[str, str]:
    """Returns the parts of templates that resize, by placeholder; `""` where there is none.

    Args:
        suffix: str, `".kt"`, `".swift"` or `".h"`.

        info: mapping, the content of `model.json`.
    """
    image, is_detector = info["image"], bool(info["decoder"])
    is_plain = image["antialias"]
    needs_axis = is_detector or not is_plain
    if suffix == ".h":
        plain = "resize_antialiased" if is_detector else ""
        return {"RESIZE_FUNCTION": plain if is_plain else "resize_interpolated", "AXIS": "axis"}
    scale = "scale_stretch" if image["resize_mode"] == STRETCH else "scale_center"
    return {
        "RESIZE_FUNCTION": "square" if is_plain else "interpolated",
        "SCALE_FUNCTION": scale,
        "AXIS_CLASS": "axis" if needs_axis else "",
    }


def words(suffix: str, info: Mapping) -> dict[str, object]:
    """Returns the words that depend on how images are resized, in the language of a file.

    Args:
        suffix, info: as in `parts`.
    """
    image = info["image"]
    size, resize, is_plain = image["image_size"], image["resize"], image["antialias"]
    is_stretched = image["resize_mode"] == STRETCH
    way = f"{image['interpolation']}, antialiased"
    if not is_plain:
        way = f"{image['interpolation']}, without antialiasing, as `Resize` does it"
    fitted = (
        f"the upright image's short side\n  // resized to {resize} ({way}), the center cropped."
    )
    if is_stretched:
        fitted = f"the whole upright image\n  // resized to {size} x {size} ({way})."
    return {
        "FITTED": fitted,
        "PIXEL_TYPE": "std::uint8_t" if is_plain else "float",
        "PIXEL_WORDS": "bytes" if is_plain else "values in 0-255",
        "RESIZED": "squarePixels" if is_plain else "interpolatedValues",
        "SQUARE": "the whole upright image" if is_stretched else "the upright image's center",
        "WEIGH": WEIGHTS[image["interpolation"]],
        **_plan(suffix, is_stretched),
        "RESIZE_CONSTANTS": _constants(suffix, info, REACHES[image["interpolation"]]),
    }


def _plan(suffix: str, is_stretched: bool) -> dict[str, str]:
    """Returns how an axis is resized and cropped, as `data.resize.plan_axis`."""
    if suffix == ".h":
        plan = "return {(size - extent) / 2, extent, kSize, 0};"
        if not is_stretched:
            plan = (
                "const std::size_t length = kResize * extent / std::min(size, other);\n"
                "    const std::size_t spare = length - kSize;\n"
                "    return {(size - extent) / 2, extent, length, (spare + spare / 2 % 2) / 2};"
            )
        return {"PLAN": plan}
    size, resize, total = ("SIZE", "RESIZE", "size") if suffix == ".kt" else (None, None, "total")
    if suffix == ".swift":
        size, resize = "@CLASS@.size", "@CLASS@.resize"
    if is_stretched:
        return {"LENGTH": size, "OFFSET": "0"}
    spare = f"length - {size}"
    return {
        "LENGTH": f"{resize} * extent / min({total}, other)",
        "OFFSET": f"({spare} + ({spare}) / 2 % 2) / 2",
    }


def _constants(suffix: str, info: Mapping, reach: float) -> list[str]:
    """Returns the lines of the constants that the parts of `parts` use."""
    image, used = info["image"], parts(suffix, info)
    is_cpp, is_stretched = suffix == ".h", image["resize_mode"] == STRETCH
    has_axis = bool(used["RESIZE_FUNCTION"] if is_cpp else used["AXIS_CLASS"])
    values: dict[str, int | float] = {}
    if not is_stretched and (has_axis or not is_cpp):
        values["resize"] = image["resize"]
    if has_axis or (is_stretched and not is_cpp):
        values["max_aspect"] = image["max_aspect"]
    if used["RESIZE_FUNCTION"] == "resize_antialiased":
        values["reach"] = reach
    elif has_axis:
        values["half_pixel"] = 0.5 if image["half_pixel_centers"] else 0.0
    return [_constant(suffix, name, value) for name, value in values.items()]


def _constant(suffix: str, name: str, value: int | float) -> str:
    """Returns the line that defines a constant."""
    title = name.title().replace("_", "")
    is_int = isinstance(value, int)
    if suffix == ".kt":
        return f"const val {name.upper()} = {value if is_int else f'{value}f'}"
    if suffix == ".swift":
        return f"static let {title[0].lower()}{title[1:]}{'' if is_int else ': Float'} = {value}"
    kind, literal = ("std::size_t", value) if is_int else ("float", f"{value}f")
    return f"static constexpr {kind} k{title} = {literal};"
