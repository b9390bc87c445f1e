    /**
     * Stretches the image, by halves first, so that no pixel of a large image is skipped. Of an image
     * longer than MAX_ASPECT times its short side the center is used.
     * (The model was verified with Pillow's antialiased @INTERPOLATION@.)
     */
    private fun scaled(image: Bitmap): Bitmap {
        var current = image
        fun use(next: Bitmap) {
            if (current !== image && current !== next) current.recycle()
            current = next
        }
        if (image.config != Bitmap.Config.ARGB_8888) { // pixels of HARDWARE cannot be read
            use(checkNotNull(image.copy(Bitmap.Config.ARGB_8888, false)) { "no memory for the image" })
        }
        val width = min(image.width, MAX_ASPECT * image.height)
        val height = min(image.height, MAX_ASPECT * image.width)
        val left = (image.width - width) / 2
        use(Bitmap.createBitmap(current, left, (image.height - height) / 2, width, height))
        fun half(length: Int): Int = if (length >= 2 * SIZE) length / 2 else length
        while (max(current.width, current.height) >= 2 * SIZE) {
            use(Bitmap.createScaledBitmap(current, half(current.width), half(current.height), true))
        }
        use(Bitmap.createScaledBitmap(current, SIZE, SIZE, true))
        return current
    }
