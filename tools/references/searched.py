"""Networks of MobileNet's kind that were searched for: timm's classes, and pytorchcv's ProxylessNAS.

MnasNet-A2 and ChamNet-A, which timm lacks, are its EfficientNet class with tables in its own notation.
"""

from tools.references import Reference, attribute, pytorchcv, timm

MNASNET_A2 = (
    ["ds_r1_k3_s1_c16"],
    ["ir_r1_k3_s2_e6_c24"],
    ["ir_r4_k5_s2_e3_c40_se0.25"],
    ["ir_r4_k3_s2_e6_c80"],
    ["ir_r2_k3_s1_e6_c120_se0.25"],
    ["ir_r3_k5_s2_e6_c200_se0.25"],
    ["ir_r1_k3_s1_e6_c400"],
)
CHAMNET_A = (
    ["ir_r1_k3_s1_e1_c24"],
    ["ir_r2_k3_s2_e4_c40"],
    ["ir_r3_k3_s2_e6_c48"],
    ["ir_r4_k3_s2_e4_c96", "ir_r3_k3_s1_e4_c160"],
    ["ir_r3_k3_s2_e4_c248", "ir_r1_k3_s1_e6_c480"],
)


def _of_timm(name, reference_name, image_size=224):
    return {name: Reference(f"timm {reference_name}", timm(reference_name), image_size=image_size)}


def _of_table(name, table, final):
    def make():
        decode = attribute("timm.models._efficientnet_builder", "decode_arch_def")
        network = attribute("timm.models.efficientnet", "EfficientNet")
        relu = attribute("torch.nn", "ReLU")
        return network(block_args=decode(list(table)), num_features=final, act_layer=relu)

    return {name: Reference(f"timm EfficientNet with the table of {name}", make)}


def _proxyless(target):
    name = f"proxylessnas_{target}"
    make = pytorchcv("proxylessnas", name)
    return {f"proxyless_{target}": Reference(f"pytorchcv {name}", make)}


REFERENCES = {}
for name, reference_name in (
    ("mnasnet_b1", "mnasnet_100"),
    ("mnasnet_a1", "semnasnet_100"),
    ("fbnet_c", "fbnetc_100"),
    ("mixnet_s", "mixnet_s"),
    ("mixnet_m", "mixnet_m"),
    ("mixnet_l", "mixnet_l"),
):
    REFERENCES |= _of_timm(name, reference_name)
REFERENCES |= _of_table("mnasnet_a2", MNASNET_A2, final=1280)
REFERENCES |= _of_table("chamnet", CHAMNET_A, final=2016)
for style in ("", "tf_"):
    for size in ("large", "small"):
        name, reference_name = f"{style}mobilenet_v3_{size}", f"{style}mobilenetv3_{size}_100"
        REFERENCES |= _of_timm(name, reference_name)
    for number, image_size in enumerate((224, 240, 260, 300, 380)):
        name = f"{style}efficientnet_b{number}"
        REFERENCES |= _of_timm(name, name, image_size)
for target in ("mobile", "cpu", "gpu"):
    REFERENCES |= _proxyless(target)
