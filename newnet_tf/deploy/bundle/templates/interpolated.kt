    /**
     * Returns @SQUARE@, without antialiasing: CHANNELS values in 0-255 for each pixel, row by row, not
     * rounded. Each is interpolated between four pixels of the image.
     */
    private fun interpolatedValues(image: Bitmap, rotationDegrees: Int): FloatArray {
        require(rotationDegrees % 90 == 0) {
            "rotationDegrees must be a multiple of 90. Received: $rotationDegrees"
        }
        var source = image
        if (image.config != Bitmap.Config.ARGB_8888) { // pixels of HARDWARE cannot be read
            source = checkNotNull(image.copy(Bitmap.Config.ARGB_8888, false)) { "no memory for the image" }
        }
        val turns = Math.floorMod(rotationDegrees, 360) / 90
        val (width, height) = uprightSize(source, rotationDegrees)
        val x = Axis(width, height)
        val y = Axis(height, width)
        val values = FloatArray(SIZE * SIZE * CHANNELS)
        var place = 0
        for (row in 0 until SIZE) {
            val above = line(source, turns, y.first(row))
            val below = line(source, turns, y.second(row))
            for (column in 0 until SIZE) {
                val left = x.first(column)
                val right = x.second(column)
                val share = x.share(column)
                for (c in 0 until CHANNELS) {
                    val top = between(channel(above[left], c), channel(above[right], c), share)
                    val bottom = between(channel(below[left], c), channel(below[right], c), share)
                    values[place++] = between(top, bottom, y.share(row))
                }
            }
        }
        if (source !== image) source.recycle()
        return values
    }

    private fun between(first: Float, second: Float, share: Float): Float = first + (second - first) * share

    /** Returns a channel of a pixel, in the model's order. */
    private fun channel(pixel: Int, c: Int): Float {
        val red = pixel shr 16 and 255
        val green = pixel shr 8 and 255
        val blue = pixel and 255
        return @CHANNEL@.toFloat()
    }

    /** Returns a row of the image turned upright. */
    private fun line(image: Bitmap, turns: Int, row: Int): IntArray = when (turns) {
        0 -> pixels(image, 0, row, image.width, 1)
        1 -> pixels(image, row, 0, 1, image.height).reversedArray()
        2 -> pixels(image, 0, image.height - 1 - row, image.width, 1).reversedArray()
        else -> pixels(image, image.width - 1 - row, 0, 1, image.height)
    }

    private fun pixels(image: Bitmap, x: Int, y: Int, width: Int, height: Int): IntArray {
        val pixels = IntArray(width * height)
        image.getPixels(pixels, 0, width, x, y, width, height)
        return pixels
    }

    private fun fill(values: FloatArray) {
        input.rewind()
        for (i in values.indices) {
            @PUT_VALUE@
        }
        input.rewind()
    }
