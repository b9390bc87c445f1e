"""What to try where an exported file is outside of the tolerance of its precision."""


def advice(precision: str) -> str:
    """Returns the end of an error message, `""` where there is no advice.

    Args:
        precision: str, among `PRECISIONS`.
    """
    smaller = "fp16 (--precision fp16)"
    if precision in ("int8-full", "litert-static"):
        return (
            ". Try about 100 `calibration_images` of the kind that the model will see "
            "(--calibration-images DIR); `newnet quantize --sensitivity`, which says which layers lose "
            f"most, then `exclude_layers` (--exclude-layers) for them; or int16x8 or {smaller}"
        )
    if precision == "int16x8":
        return f". Try more `calibration_images` (--calibration-images DIR), or {smaller}"
    if precision.startswith(("int8", "litert")):
        return f". Try `calibration_images` (--calibration-images DIR), or {smaller}"
    return ""
