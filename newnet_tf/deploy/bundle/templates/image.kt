    /** Returns the pixels of the upright image's center, row by row. */
    private fun centerPixels(image: Bitmap, rotationDegrees: Int): IntArray {
        require(rotationDegrees % 90 == 0) {
            "rotationDegrees must be a multiple of 90. Received: $rotationDegrees"
        }
        val square = scaledCenter(image)
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

    /**
     * Crops the center and scales it, by halves first, so that no pixel of a large image is skipped.
     * (The model was verified with Pillow's antialiased @INTERPOLATION@.)
     */
    private fun scaledCenter(image: Bitmap): Bitmap {
        var current = image
        fun use(next: Bitmap) {
            if (current !== image && current !== next) current.recycle()
            current = next
        }
        if (image.config != Bitmap.Config.ARGB_8888) { // pixels of HARDWARE cannot be read
            use(checkNotNull(image.copy(Bitmap.Config.ARGB_8888, false)) { "no memory for the image" })
        }
        val side = (min(image.width, image.height) * SIZE.toFloat() / RESIZE).roundToInt()
        use(Bitmap.createBitmap(current, (image.width - side) / 2, (image.height - side) / 2, side, side))
        while (current.width >= 2 * SIZE) {
            use(Bitmap.createScaledBitmap(current, current.width / 2, current.width / 2, true))
        }
        use(Bitmap.createScaledBitmap(current, SIZE, SIZE, true))
        return current
    }

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

    private fun buffer(bytes: Int): ByteBuffer =
        ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())

    /** Maps a file of the assets into memory: it must not be compressed (`noCompress` in Gradle). */
    private fun map(context: Context, file: String): ByteBuffer =
        context.assets.openFd(file).use { asset ->
            FileInputStream(asset.fileDescriptor).use {
                it.channel.map(FileChannel.MapMode.READ_ONLY, asset.startOffset, asset.declaredLength)
            }
        }
