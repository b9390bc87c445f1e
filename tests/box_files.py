"""Files with boxes for tests: images with a red rectangle, VOC folders, COCO files, a YOLO folder."""

import json

import numpy as np
from PIL import Image

from newnet_tf.data.host_loader import iter_samples

YAML = """# a comment
path: .
train: images/train   # folder
val: [images/val]
nc: 2
names:
  0: 'cat'  # first
  1: "do#g"
download: |
  curl [unfinished
"""
SIZE = (80, 60)  # width, height
BOX = (10, 20, 40, 50)  # x1, y1, x2, y2


def write_image(path, size=SIZE, orientation=None, box=BOX):
    """Writes a gray image with a red rectangle at `box`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = (250, 10, 10)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, quality=95, exif=exif)


def voc_xml(objects, size=SIZE, filename=""):
    parts = [
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>"
        f"<xmin>{b[0] + 1}</xmin><ymin>{b[1] + 1}</ymin><xmax>{b[2]}</xmax><ymax>{b[3]}</ymax>"
        "</bndbox></object>"
        for name, b, difficult in objects
    ]
    shape = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation><filename>{filename}</filename>{shape}{''.join(parts)}</annotation>"


def write_voc(root, images, sets=None, size=SIZE):
    """Writes a VOC folder of {id: objects} and {split: ids}."""
    (root / "Annotations").mkdir(parents=True)
    for name, objects in images.items():
        write_image(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(objects, size))
    for split, names in (sets or {}).items():
        file = root / "ImageSets" / "Main" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name}\n" for name in names))
    return root


def write_coco(path, images, annotations, categories=((7, "cat"), (3, "dog"))):
    """Writes a COCO file; annotations are (image number, category id, bbox, further keys)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "images": images,
        "categories": [{"id": key, "name": name} for key, name in categories],
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "bbox": box, **more}
            for i, (image, category, box, more) in enumerate(annotations)
        ],
    }
    path.write_text(json.dumps(data))
    return path


def labels_of(dataset, split):
    return {s.name.rpartition("/")[2]: s.label for s in iter_samples(dataset.split(split))}


def only_label(dataset):
    (label,) = labels_of(dataset, "all").values()
    return label


def write_yolo(tmp_path):
    """A YOLO folder of two training images, one without boxes, and one to validate on."""
    for name in ("train/a", "train/b", "val/c"):
        write_image(tmp_path / "images" / f"{name}.jpg")
        (tmp_path / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
    center = "0.3125 0.583333333 0.375 0.5"  # BOX
    (tmp_path / "labels" / "train" / "a.txt").write_text(f"1 {center}\n0 0 0 0.5 0 0.25 0.5\n")
    (tmp_path / "labels" / "val" / "c.txt").write_text(f"0 {center}\n")
    (tmp_path / "data.yaml").write_text(YAML)
    return tmp_path
