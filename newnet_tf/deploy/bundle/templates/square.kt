    /** Returns the pixels of @SQUARE@, row by row. */
    private fun squarePixels(image: Bitmap, rotationDegrees: Int): IntArray {
        require(rotationDegrees % 90 == 0) {
            "rotationDegrees must be a multiple of 90. Received: $rotationDegrees"
        }
        val square = scaled(image)
        val pixels = IntArray(SIZE * SIZE)
        square.getPixels(pixels, 0, SIZE, 0, 0, SIZE, SIZE)
        if (square !== image) square.recycle()
        val last = SIZE - 1
        return when (Math.floorMod(rotationDegrees, 360)) {
            90 -> IntArray(SIZE * SIZE) { pixels[(last - it % SIZE) * SIZE + it / SIZE] }
            180 -> pixels.reversedArray()
            270 -> IntArray(SIZE * SIZE) { pixels[it % SIZE * SIZE + last - it / SIZE] }
            else -> pixels
        }
    }

@SCALE_FUNCTION@

    private fun fill(pixels: IntArray) {
        input.rewind()
        for (pixel in pixels) {
            val red = pixel shr 16 and 255
            val green = pixel shr 8 and 255
            val blue = pixel and 255
            val values = intArrayOf(@VALUES@)
            for (c in 0 until CHANNELS) {
                @PUT@
            }
        }
        input.rewind()
    }
