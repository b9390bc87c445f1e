"""Networks of MobileNet's kind that were searched for: timm's classes, and pytorchcv's ProxylessNAS."""

from tools.references import Reference, pytorchcv, timm


def _of_timm(ours, theirs, side=224):
    return {ours: Reference(f"timm {theirs}", timm(theirs), side=side)}


def _proxyless(target):
    name = f"proxylessnas_{target}"
    make = pytorchcv("proxylessnas", name)
    return {f"proxyless_{target}": Reference(f"pytorchcv {name}", make)}


REFERENCES = {}
for ours, theirs in (
    ("mnasnet_b1", "mnasnet_100"),
    ("mnasnet_a1", "semnasnet_100"),
    ("fbnet_c", "fbnetc_100"),
    ("mixnet_s", "mixnet_s"),
    ("mixnet_m", "mixnet_m"),
    ("mixnet_l", "mixnet_l"),
):
    REFERENCES |= _of_timm(ours, theirs)
for style in ("", "tf_"):
    for size in ("large", "small"):
        ours, theirs = f"{style}mobilenet_v3_{size}", f"{style}mobilenetv3_{size}_100"
        REFERENCES |= _of_timm(ours, theirs)
    for number, side in enumerate((224, 240, 260, 300, 380)):
        name = f"{style}efficientnet_b{number}"
        REFERENCES |= _of_timm(name, name, side)
for target in ("mobile", "cpu", "gpu"):
    REFERENCES |= _proxyless(target)
