"""Fonts for synthetic text: those installed here that have all Latin letters and digits.

Debian's packages in `FONT_PACKAGES` are free (main: OFL, Apache-2.0, Bitstream Vera, GPL with font
exception, GUST; each package's `copyright` file says which) and hold some 500 fonts: sans, serif,
slab, condensed, mono, script and display faces.
"""

import functools
import importlib.util
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import ImageFont

SUFFIXES = (".ttf", ".otf")
FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
ENOUGH = 60  # fonts; with fewer, a note names packages
SAMPLE = "AEGRSaegst0258"  # letters that all differ in any usable font
SAMPLE_SIZE = 20  # pixels, at which forms are compared
MISSING = "\U0010fffe"  # a character that no font has
CACHE = 512  # fonts at a size that are kept open
PROBE = 100  # pixels, at which a font is measured
SYMBOLS = ("emoji", "symbol", "dingbat", "icon", "music", "barcode", "math", "keyboard", "braille")
FONT_NAMES = (
    "adf-accanthis adf-gillius adf-universalis allerta arapey averia-sans-gwf b612 bebas-neue "
    "beteckna breip cabin cabinsketch cantarell clear-sans comfortaa comic-neue courier-prime "
    "crosextra-caladea crosextra-carlito dancingscript dejavu dkg-handwriting dosis dustin "
    "ebgaramond fanwood femkeklaver freefont-ttf go goudybookletter hack-ttf humor-sans inter "
    "junction jura karla kaushanscript kristi lato league-spartan leckerli-one liberation "
    "linuxlibertine lobster lobstertwo manrope millimetre national-park ocr-a okolaks "
    "oldstandard open-sans opendin oxygen paratype play prociono quattrocento quicksand "
    "roadgeek roboto-slab roboto-unhinted rufscript sil-andika sil-charis sil-gentium-basic "
    "sora staypuft summersby texgyre tomsontalks tuffy ubuntu-title urw-base35 vollkorn "
    "yanone-kaffeesatz"
)
FONT_PACKAGES = tuple(f"fonts-{name}" for name in FONT_NAMES.split())
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def find_fonts(folders: Iterable[str | os.PathLike] | None = None) -> tuple[Path, ...]:
    """Finds the fonts that can draw Latin letters and digits.

    Args:
        folders: paths of folders, searched with all below them, and of font files. Default: None, the
            system's and the user's fonts, and those that come with matplotlib.

    Returns:
        Paths of TrueType and OpenType fonts, sorted by file name, one of each name. Empty if there is
        none; Pillow's own font is used then.

    Raises:
        FileNotFoundError: for a folder that was given and does not exist.

    Example:
        >>> len(find_fonts())
        61
    """
    if folders is None:
        folders = [Path(folder).expanduser() for folder in FOLDERS]
        folders = [folder for folder in (*folders, *_matplotlib_fonts()) if folder.is_dir()]
    found: dict[str, Path] = {}
    for folder in map(Path, folders):
        if not folder.exists():
            raise FileNotFoundError(f"a folder of fonts must exist. Received: {folder}")
        files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        for path in files:
            if path.suffix.lower() in SUFFIXES:
                found.setdefault(path.name, path)
    return tuple(found[name] for name in sorted(found) if is_usable(found[name]))


def install_hint(count: int) -> str | None:
    """Returns what to install if `count` fonts are too few for varied text, else None."""
    if count >= ENOUGH:
        return None
    return (
        f"only {count} fonts were found; a detector learns from hundreds. On Debian and Ubuntu: "
        f"apt-get install {' '.join(FONT_PACKAGES)}"
    )


@functools.lru_cache(maxsize=4096)
def is_usable(path: str | os.PathLike) -> bool:
    """Whether a font file can be read and has its own form for Latin letters and for digits."""
    if any(word in Path(path).name.lower() for word in SYMBOLS):
        return False
    try:
        font = _open(path, SAMPLE_SIZE)
        missing = _glyph(font, MISSING)
        glyphs = {_glyph(font, letter) for letter in SAMPLE}
    except (OSError, ValueError, MemoryError):
        return False
    return len(glyphs) == len(SAMPLE) and b"" not in glyphs and missing not in glyphs


@functools.lru_cache(maxsize=2**16)
def can_draw(path: str | os.PathLike | None, letter: str) -> bool:
    """Whether a font, or Pillow's own for None, has a form for a letter."""
    if letter.isascii() and letter.isalnum():
        return True  # see `is_usable`
    return _glyph(load_font(path, SAMPLE_SIZE), letter) not in (b"", _missing(path))


@functools.lru_cache(maxsize=4096)
def _missing(path: str | os.PathLike | None) -> bytes:
    return _glyph(load_font(path, SAMPLE_SIZE), MISSING)


@functools.lru_cache(maxsize=CACHE)
def load_font(path: str | os.PathLike | None, size: float) -> Font:
    """Returns a font at a size in pixels; Pillow's own for None."""
    if path is None:
        return ImageFont.load_default(size)
    return _open(path, size)


@functools.lru_cache(maxsize=2**16)
def advance(path: str | os.PathLike | None, letter: str) -> float:
    """Returns how far a letter moves the pen, in the font's size."""
    return load_font(path, PROBE).getlength(letter) / PROBE


@functools.lru_cache(maxsize=4096)
def capital_height(path: str | os.PathLike | None) -> float:
    """Returns the height of a font's capital letters, in its size."""
    _, top, _, bottom = load_font(path, PROBE).getbbox("H", anchor="ls")
    return max(bottom - top, 1) / PROBE


def fonts_or_default(fonts: Sequence) -> tuple:
    """Returns the fonts, or `(None,)` for Pillow's own if there are none."""
    return tuple(fonts) or (None,)


def _open(path: str | os.PathLike, size: float) -> Font:
    return ImageFont.truetype(os.fspath(path), size, layout_engine=ImageFont.Layout.BASIC)


def _glyph(font: Font, letter: str) -> bytes:
    """Returns the pixels of a letter, b"" if it has none."""
    mask = font.getmask(letter)
    return bytes(mask) if mask.getbbox() else b""


def _matplotlib_fonts() -> list[Path]:
    """Returns matplotlib's folder of fonts, if it is installed, without importing it."""
    found = importlib.util.find_spec("matplotlib")
    return [Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"] if found else []
