"""Synthetic text: fonts, words, layout and images, the same ones for the same seed."""

import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageDraw

from newnet_tf.text.homography import has_area
from newnet_tf.text.synthesis import fonts
from newnet_tf.text.synthesis.config import SynthesisConfig, describe
from newnet_tf.text.synthesis.effects import apply_camera, contrasting_color, draw_background
from newnet_tf.text.synthesis.layout import bend, draw_block, word_quads
from newnet_tf.text.synthesis.render import TextSynthesizer
from newnet_tf.text.synthesis.words import WordGenerator

LUMA = np.array([0.299, 0.587, 0.114])
PLAIN = {  # nothing but text on a background
    "negative_prob": 0,
    "distractor_prob": 0,
    "board_prob": 0,
    "curve_prob": 0,
    "steep_prob": 0,
    "outline_prob": 0,
    "shadow_prob": 0,
    "blur_prob": 0,
    "low_resolution_prob": 0,
    "noise_prob": 0,
    "jpeg_prob": 0,
    "lighting_prob": 0,
}


@pytest.fixture(scope="module")
def own_font():
    return fonts.load_font(None, 20.0)


@pytest.fixture
def gray_photo(tmp_path):
    path = tmp_path / "gray.png"
    Image.new("RGB", (160, 120), (128, 128, 128)).save(path)
    return path


def synthesizer(**options):
    """A synthesizer with Pillow's own font, which needs no file."""
    made = TextSynthesizer(SynthesisConfig(**{"image_size": 128, "fonts": [None], **options}))
    assert made.fonts == (None,)
    return made


def test_fonts_are_found_in_folders_and_unusable_ones_left_out(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert fonts.find_fonts([tmp_path]) == ()
    assert fonts.fonts_or_default(()) == (None,)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fonts.find_fonts([tmp_path / "nowhere"])
    assert "apt-get install" in fonts.install_hint(3)
    assert fonts.install_hint(300) is None


def test_fonts_of_matplotlib_are_found_and_its_symbol_fonts_are_not():
    pytest.importorskip("matplotlib")
    (folder,) = fonts._matplotlib_fonts()
    found = [path.name for path in fonts.find_fonts([folder])]
    assert "DejaVuSans.ttf" in found
    assert not [name for name in found if "Sym" in name]  # STIX symbols
    sans = folder / "DejaVuSans.ttf"
    assert fonts.can_draw(sans, "é")
    assert not fonts.can_draw(sans, "\U0010fffd")
    assert 0.6 < fonts.capital_height(sans) < 0.8


def test_words_are_of_one_case_a_line_and_repeat_by_seed():
    words = WordGenerator()
    lines = [words.line(np.random.default_rng((3, i)), 6) for i in range(40)]
    assert lines == [words.line(np.random.default_rng((3, i)), 6) for i in range(40)]
    for line in lines:
        assert all(word and " " not in word for word in line)
        plain = [w for w in line if w.isalpha()]
        cases = (str.isupper, str.islower, str.istitle)
        assert any(all(case(w) for w in plain) for case in cases), line
    everything = " ".join(word for line in lines for word in line)
    assert any(sign in everything for sign in "$€£¥")
    assert any(sign.isdigit() for sign in everything)


def test_own_words_are_written_as_often_as_asked():
    words = WordGenerator(["Übergang links", "Tür"], word_list_prob=1.0)
    found = {words.word(np.random.default_rng(i)) for i in range(30)}
    assert found == {"Übergang", "links", "Tür"}


@pytest.mark.parametrize("spacing", [0.0, 3.0])
def test_character_boxes_hold_the_ink_of_their_letters(own_font, spacing):
    block = draw_block([["Hill", "go"], ["MAX"]], own_font, letter_spacing=spacing)
    assert block.words == ("Hill", "go", "MAX")
    assert block.word_index.tolist() == [0] * 4 + [1] * 2 + [2] * 3
    ink = np.asarray(block.mask, float)
    assert ink.max() == 255
    covered = Image.new("L", block.mask.size)
    for quad in block.characters:
        x1, y1, x2, y2 = (*quad[0], *quad[2])
        ImageDraw.Draw(covered).rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), 255)
        assert ink[round(y1) : round(y2) + 1, round(x1) : round(x2) + 1].sum() > 255
    assert ink[np.asarray(covered) == 0].sum() < 0.01 * ink.sum()
    tops = block.characters[:4, 0, 1]
    assert np.ptp(tops) == 0  # letters of a word are equally high
    words = word_quads(block.characters, block.word_index, 3)
    assert words[0, 0].tolist() == block.characters[0, 0].tolist()
    assert words[0, 2].tolist() == block.characters[3, 2].tolist()


@pytest.mark.parametrize("height", [12.0, -12.0])
def test_a_bent_block_moves_ink_and_boxes_alike(own_font, height):
    flat = draw_block([["IIIIIIIIII"]], own_font, letter_spacing=4.0)
    bent = bend(flat, height)
    assert bent.mask.height == flat.mask.height + 12
    ink = np.asarray(bent.mask, float)
    for quad in bent.characters:
        left, right = round(quad[:, 0].min()), round(quad[:, 0].max()) + 1
        rows = np.flatnonzero(ink[:, left:right].max(axis=1) > 100)
        assert rows.min() == pytest.approx(quad[:2, 1].mean(), abs=2.5)
        assert rows.max() == pytest.approx(quad[2:, 1].mean(), abs=2.5)
    middle, end = bent.characters[5, 0, 1], bent.characters[0, 0, 1]
    assert np.sign(end - middle) == np.sign(height)


def test_an_image_is_the_same_for_the_same_seed_and_another_for_another():
    draw = synthesizer().draw
    first, again, other = (draw(np.random.default_rng((5, i))) for i in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.characters, again.characters)
    assert first.words == again.words
    assert (first.image != other.image).any()


def test_every_word_of_an_image_has_its_characters_and_does_not_touch_another():
    found = [synthesizer().draw(np.random.default_rng((6, i))) for i in range(8)]
    assert sum(len(image.words) for image in found) > 15
    for image in found:
        assert image.image.shape == (128, 128, 3)
        assert image.polygons.shape == (len(image.words), 4, 2)
        counts = np.bincount(image.word_index, minlength=len(image.words))
        assert counts.tolist() == [len(word) for word in image.words]
        assert has_area(image.characters).all()
        assert (np.diff(image.word_index) >= 0).all()


def test_text_stands_out_inside_of_its_boxes_only(gray_photo):
    draw = synthesizer(backgrounds=[gray_photo], min_contrast=60, max_blocks=5, **PLAIN).draw
    for seed in range(4):
        found = draw(np.random.default_rng((7, seed)))
        assert len(found.words)
        boxes = Image.new("L", (128, 128))
        for quad in found.characters:
            center = quad.mean(axis=0)
            wide = center + (quad - center) * 1.3
            points = [tuple(map(float, corner)) for corner in wide]
            ImageDraw.Draw(boxes).polygon(points, 255, outline=255, width=3)
        contrast = abs(found.image @ LUMA - 128)
        changed = contrast > 25
        assert changed.any()
        assert changed[np.asarray(boxes) == 0].mean() < 0.005


def test_negative_images_have_no_words():
    found = synthesizer(negative_prob=1.0, distractor_prob=1.0).draw(np.random.default_rng(0))
    assert found.words == ()
    assert found.characters.shape == found.polygons.shape == (0, 4, 2)


def test_an_unreadable_background_is_replaced(tmp_path):
    path = tmp_path / "no.jpg"
    path.write_bytes(b"no image")
    assert synthesizer(backgrounds=[path]).draw(np.random.default_rng(0)).image.std() > 0


@pytest.mark.parametrize("level", [0, 90, 128, 255])
def test_a_contrasting_color_differs_in_luma(level):
    for seed in range(20):
        color = contrasting_color(np.full(3, float(level)), 40, np.random.default_rng(seed))
        assert abs(LUMA @ color - level) >= 38
        assert all(0 <= part <= 255 for part in color)


def test_camera_effects_keep_the_size_and_the_mean_brightness():
    image = draw_background(96, np.random.default_rng(3))
    always = SynthesisConfig(**{n: 1.0 for n in PLAIN if n.endswith("prob") and n[0] in "bljn"})
    never = SynthesisConfig(**PLAIN)
    random = np.random.default_rng(1)
    np.testing.assert_array_equal(np.asarray(apply_camera(image, never, random)), np.asarray(image))
    without_light = dataclasses.replace(always, lighting_prob=0.0)
    changed = np.asarray(apply_camera(image, without_light, random), float)
    assert changed.shape == (96, 96, 3)
    assert changed.mean() == pytest.approx(np.asarray(image, float).mean(), abs=6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 8}, "`image_size` must be an int in 32 to 4096"),
        ({"dense_prob": 1.5}, "`dense_prob` must be a number in 0 to 1"),
        ({"max_blocks": 2.5}, "`max_blocks` must be an int"),
        ({"text_height": (40, 10)}, "`text_height` must be \\(least, most\\)"),
        ({"fonts": "a.ttf"}, "`fonts` must be a sequence of paths"),
        ({"words": "text"}, "`words` must be a sequence of words"),
    ],
)
def test_a_wrong_config_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        SynthesisConfig(**options)


def test_a_description_tells_configs_apart():
    config = SynthesisConfig(words=["a"])
    same = describe(config, [None])
    assert same == describe(dataclasses.replace(config), [None])
    assert same != describe(dataclasses.replace(config, words=("b",)), [None])
    assert same != describe(config, ["x.ttf"])
