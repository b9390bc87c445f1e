"""ReXNet, ReXNet-R, ReXNet-lite: timm's class and the authors' two files."""

from tools.references import Reference, attribute, timm


def _timm(width):
    return lambda: attribute("timm.models.rexnet", "RexNet")(width_mult=width)


def _lite(width):
    return lambda: attribute("rexnetv1_lite", "ReXNetV1_lite")(multiplier=width)


def _authors():
    return attribute("rexnetv1", "ReXNetV1")()


WIDTHS = {f"rexnet_{round(w * 100):03}": w for w in (0.6, 0.9, 1.0, 1.3, 1.5, 2.0, 2.2, 3.0)}
LITE_WIDTHS = {f"rexnet_lite_{round(w * 100)}": w for w in (1.0, 1.3, 1.5, 2.0)}
ROUNDED = ("rexnetr_100", "rexnetr_130", "rexnetr_150", "rexnetr_200", "rexnetr_300")

REFERENCES = {
    **{stem: Reference(f"timm RexNet x{w}", _timm(w)) for stem, w in WIDTHS.items()},
    **{name: Reference(f"timm {name}", timm(name)) for name in ROUNDED},
    **{stem: Reference(f"clovaai ReXNetV1_lite x{w}", _lite(w)) for stem, w in LITE_WIDTHS.items()},
    "rexnet_100.clovaai": Reference("clovaai ReXNetV1 x1.0", _authors),
}
