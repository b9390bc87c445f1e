"""Datasets of boxes: COCO, PASCAL VOC, YOLO, tables, tensorflow-datasets."""
