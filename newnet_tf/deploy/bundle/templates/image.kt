    /** Crops the center and scales it. (The model was verified with Pillow's antialiased @INTERPOLATION@.) */
    private fun cropped(image: Bitmap): Bitmap {
        val side = (min(image.width, image.height) * SIZE.toFloat() / RESIZE).roundToInt()
        val left = (image.width - side) / 2
        val top = (image.height - side) / 2
        val square = Bitmap.createBitmap(image, left, top, side, side)
        return Bitmap.createScaledBitmap(square, SIZE, SIZE, true)
    }

    private fun fill(square: Bitmap) {
        val pixels = IntArray(SIZE * SIZE)
        square.getPixels(pixels, 0, SIZE, 0, 0, SIZE, SIZE)
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
