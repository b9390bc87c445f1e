"""OpenCV, which finding words in score maps needs (extra `text`)."""

from types import ModuleType


def import_cv2() -> ModuleType:
    """Returns the module `cv2`.

    Raises:
        ImportError: if OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "finding words in score maps needs OpenCV: pip install opencv-python-headless "
            "(extra `text` of newnet_tf)"
        ) from error
    return cv2
