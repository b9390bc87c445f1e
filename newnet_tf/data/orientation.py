"""EXIF orientation in TensorFlow operations: read from encoded bytes, applied to pixels and boxes.

Phones store images as the sensor sees them, and EXIF tag 0x0112 says how to turn them for display, as
browsers and Pillow (`images.read_image`) do. Its eight values are a transposition (5 to 8), then a
flip of the rows (3, 4, 7, 8) and of the columns (2, 3, 6, 7).

The tag is read from the APP1 segment of a JPEG file, which must come before the tables, and from the
eXIf chunk of a PNG file, if it comes before the pixels.

Source: CIPA DC-008, "Exchangeable image file format for digital still cameras: Exif", 4.5 and 4.6.
"""

from collections.abc import Callable

import tensorflow as tf

DCT = "INTEGER_ACCURATE"  # as Pillow's, and no slower than TensorFlow's default
STORED = 1  # the orientation of an image that is shown as it is stored
TAG, SHORT, LONG = 0x0112, 3, 4  # number of the tag; types of values of 2 and 4 bytes
TIFF_HEADER, ENTRY = 8, 12  # bytes
APP0, APP1, APP15, COMMENT, FILL = 0xE0, 0xE1, 0xEF, 0xFE, 0xFF  # JPEG's markers, after 0xFF
PNG = b"\x89PNG"  # the first bytes of a file
PNG_SECOND_CHUNK = 33  # its offset in a file, after the signature and IHDR


def rarely_run(*signature: tf.TensorSpec) -> Callable:
    """Returns a decorator for a function that stays a call in the graph.

    Operations in the branch of a condition cost time even where the branch is not taken, unless
    they are behind a call. Nearly all images are stored as they are shown, and cost next to nothing.
    """
    return tf.function(
        autograph=False,
        input_signature=signature,
        experimental_attributes={"_noinline": True},
    )


BYTES, SCALAR = tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int32)
SHAPE, BOX = tf.TensorSpec((2,), tf.int32), tf.TensorSpec((4,), tf.int32)


def jpeg_orientation(data):
    """Reads the EXIF orientation of a JPEG file.

    Args:
        data: string scalar, the bytes of the file.

    Returns:
        int32 scalar in 1 to 8; 1 (shown as it is stored) if there is no tag.
    """

    # Most files without EXIF have a JFIF segment of 18 bytes and then a table.
    is_plain = tf.equal(tf.strings.substr(data, 20, 2), b"\xff\xdb")
    return tf.cond(is_plain, _stored, lambda: _search_jpeg(data))


def png_orientation(data):
    """Reads the EXIF orientation of a PNG file; arguments and result as in `jpeg_orientation`."""
    is_plain = tf.equal(tf.strings.substr(data, PNG_SECOND_CHUNK + 4, 4), b"IDAT")
    return tf.cond(is_plain, _stored, lambda: _search_png(data))


@rarely_run(BYTES)
def _search_jpeg(data):
    def parse(position):
        marker, kind, *length = tf.unstack(_bytes(data, position, 4))
        is_fill = tf.equal(kind, FILL)
        is_metadata = (kind >= APP0) & (kind <= APP15) | tf.equal(kind, COMMENT) | is_fill
        is_exif = tf.equal(kind, APP1) & tf.equal(_part(data, position + 4, 6), b"Exif\0\0")
        size = tf.where(is_fill, 1, 2 + 256 * length[0] + length[1])
        return size, tf.equal(marker, 0xFF) & is_metadata, is_exif

    return _search(data, 2, parse, header=10)


@rarely_run(BYTES)
def _search_png(data):
    def parse(position):
        length = tf.reduce_sum(_bytes(data, position, 4) * (1 << 24, 1 << 16, 1 << 8, 1))
        kind = _part(data, position + 4, 4)
        is_over = tf.equal(kind, b"IDAT") | tf.equal(kind, b"")
        return 12 + length, ~is_over, tf.equal(kind, b"eXIf")

    return _search(data, PNG_SECOND_CHUNK, parse, header=8, end=4)


def decode_other(data):
    """Decodes an encoded image that is not JPEG, and applies its EXIF orientation.

    Args:
        data: string scalar, the bytes of a PNG, GIF (first frame) or BMP file.

    Returns:
        uint8 tensor (height, width, 3).
    """

    def other():
        return tf.io.decode_image(data, channels=3, expand_animations=False)

    is_png = tf.equal(tf.strings.substr(data, 0, 4), PNG)
    return tf.cond(is_png, lambda: decode_png(data), other)


def decode_png(data):
    """Decodes a PNG file and applies its EXIF orientation; uint8 tensor (height, width, 3)."""
    has_16_bits = tf.equal(tf.strings.substr(data, 24, 1), b"\x10")
    pixels = tf.cond(
        has_16_bits, lambda: _decode_16_bits(data), lambda: tf.io.decode_png(data, channels=3)
    )
    return orient(pixels, png_orientation(data))


def _decode_16_bits(data):
    """Decodes a PNG file of 16 bits a channel; gray is scaled as `images.scale_16_bits` does."""
    values = tf.cast(tf.io.decode_png(data, channels=3, dtype=tf.uint16), tf.int32)
    is_gray = tf.equal(tf.strings.substr(data, 25, 1), b"\0")
    largest = tf.reduce_max(values)
    used = tf.searchsorted(tf.constant([2**8, 2**10, 2**12, 2**14]), largest[None], side="right")[0]
    shift = tf.where(is_gray & (largest > 0), 2 * used, 8)
    return tf.cast(tf.bitwise.right_shift(values, shift), tf.uint8)


def decode_jpeg(data):
    """Decodes a JPEG file and applies its EXIF orientation; uint8 tensor (height, width, 3)."""
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method=DCT)
    return orient(pixels, jpeg_orientation(data))


def oriented_shape(shape, orientation):
    """Returns the shape of the turned image.

    Args:
        shape: int32 tensor (2,), height and width as stored.

        orientation: int32 scalar.
    """
    return tf.where(_is_transposed(orientation), shape[::-1], shape)


def stored_box(box, shape, orientation):
    """Returns where a box of the turned image is in the stored one.

    Args:
        box: int32 tensor (4,): top, left, height, width.

        shape: int32 tensor (2,), height and width of the turned image.

        orientation: int32 scalar.

    Returns:
        int32 tensor (4,).
    """
    return tf.cond(orientation > STORED, lambda: _turn_box(box, shape, orientation), lambda: box)


def orient(pixels, orientation):
    """Turns an image as it is to be shown.

    Args:
        pixels: uint8 or float32 tensor (height, width, 3).

        orientation: int32 scalar.

    Returns:
        Tensor of the same type.
    """
    turn = _turn_bytes if pixels.dtype == tf.uint8 else _turn_floats
    return tf.cond(orientation > STORED, lambda: turn(pixels, orientation), lambda: pixels)


@rarely_run(BOX, SHAPE, SCALAR)
def _turn_box(box, shape, orientation):
    corner, size = box[:2], box[2:]
    flips = tf.stack([_flips_rows(orientation), _flips_columns(orientation)])
    corner = tf.where(flips, shape - corner - size, corner)
    swapped = tf.concat([corner[::-1], size[::-1]], 0)
    return tf.where(_is_transposed(orientation), swapped, tf.concat([corner, size], 0))


@rarely_run(tf.TensorSpec((None, None, 3), tf.uint8), SCALAR)
def _turn_bytes(pixels, orientation):
    return _turn(pixels, orientation)


@rarely_run(tf.TensorSpec((None, None, 3), tf.float32), SCALAR)
def _turn_floats(pixels, orientation):
    return _turn(pixels, orientation)


def _turn(pixels, orientation):
    order = tf.where(_is_transposed(orientation), (1, 0, 2), (0, 1, 2))
    flips = tf.stack([_flips_rows(orientation), _flips_columns(orientation), False])
    return tf.raw_ops.Reverse(tensor=tf.transpose(pixels, order), dims=flips)


def _is_transposed(orientation):
    return orientation > 4


def _flips_rows(orientation):
    return tf.equal((orientation - 1) // 2 % 2, 1)  # 3, 4, 7, 8


def _flips_columns(orientation):
    return tf.equal(orientation // 2 % 2, 1)  # 2, 3, 6, 7


def _stored():
    return tf.constant(STORED)


def _search(data, start: int, parse: Callable, header: int, end: int = 0):
    """Walks through the parts of a file to the one that holds EXIF, and reads it.

    Args:
        data: string scalar. start: int, where the first part begins.
        parse: callable, position -> (bytes of the part, whether it is one to go past, whether it
            holds EXIF). header, end: int, bytes of a part before and after its EXIF data.
    """
    length = tf.strings.length(data)

    def step(position, is_open, is_exif):
        size, is_metadata, is_exif = parse(position)
        after = position + size
        is_open = is_metadata & ~is_exif & (after > position) & (after < length)
        return tf.where(is_open, after, position), is_open, is_exif

    position, _, is_exif = tf.while_loop(
        lambda position, is_open, is_exif: is_open,
        step,
        (tf.constant(start), start < length, tf.constant(False)),
    )

    def read():
        size = parse(position)[0]
        return _tiff_orientation(_part(data, position + header, size - header - end))

    return tf.cond(is_exif, read, _stored)


@rarely_run(BYTES)
def _tiff_orientation(data):
    """Reads the tag from EXIF data, which is laid out as a TIFF file."""
    length = tf.strings.length(data)
    order = _part(data, 0, 2)
    is_little = tf.equal(order, b"II")

    def number(values):
        """The integers in the last axis, of two or four bytes each."""
        powers = [256**i for i in range(values.shape[-1])]
        values = tf.where(is_little, values, values[..., ::-1])
        return tf.reduce_sum(values * tf.constant(powers), -1)

    offset = number(_bytes(data, 4, 4))
    is_sound = (is_little | tf.equal(order, b"MM")) & (offset >= TIFF_HEADER) & (offset < length)

    def read():
        count = number(_bytes(data, offset, 2))
        table = _part(data, offset + 2, ENTRY * count)
        count = tf.strings.length(table) // ENTRY
        entries = tf.io.decode_raw(_part(table, 0, ENTRY * count), tf.uint8)
        entries = tf.reshape(tf.cast(entries, tf.int32), (count, ENTRY))
        tag, kind, values = (number(entries[:, a:b]) for a, b in ((0, 2), (2, 4), (4, 8)))
        short, long = number(entries[:, 8:10]), number(entries[:, 8:12])
        value = tf.where(tf.equal(kind, SHORT), short, long)
        is_known = tf.equal(kind, SHORT) | tf.equal(kind, LONG)
        is_tag = tf.equal(tag, TAG) & tf.equal(values, 1) & is_known
        is_tag &= (value >= 1) & (value <= 8)
        return tf.reduce_max(tf.concat([[STORED], tf.where(is_tag, value, STORED)], 0))

    return tf.cond(is_sound, read, _stored)


def _part(data, position, length):
    """Returns bytes of `data` from a position on; fewer, or none, where it ends before."""
    return tf.strings.substr(data, tf.minimum(position, tf.strings.length(data)), length)


def _bytes(data, position, count: int):
    """Returns `count` bytes as int32, zeros after the end of `data`."""
    part = tf.strings.join([_part(data, position, count), bytes(count)])
    values = tf.io.decode_raw(tf.strings.substr(part, 0, count), tf.uint8)
    return tf.cast(tf.ensure_shape(values, (count,)), tf.int32)
