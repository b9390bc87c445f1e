    /** Returns width and height of the image turned upright. */
    private fun uprightSize(image: Bitmap, rotationDegrees: Int): Pair<Int, Int> =
        if (rotationDegrees % 180 == 0) image.width to image.height else image.height to image.width

    /** One axis of an image: `extent` pixels from `start` are resized to `length`, cropped from `offset`. */
    private class Axis(size: Int, other: Int) {
        val extent = min(size, MAX_ASPECT * other)
        val start = (size - extent) / 2
        val length = @LENGTH@
        val offset = @OFFSET@

        /** The first of the two pixels that pixel `i` of the input lies between. */
        fun first(i: Int): Int = start + max(floor(place(i)).toInt(), 0)

        fun second(i: Int): Int = start + ceil(place(i)).toInt().coerceIn(0, extent - 1)

        /** Its distance from the first. */
        fun share(i: Int): Float = place(i) - floor(place(i))

        private fun place(i: Int): Float =
            ((offset + i).toFloat() + HALF_PIXEL) * (extent.toFloat() / length.toFloat()) - HALF_PIXEL

        /** Returns a position in pixels of the image for one in fractions of the input. */
        fun toPixels(fraction: Float): Float = start + (offset + fraction * SIZE) * extent / length
    }
