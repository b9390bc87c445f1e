// A stub of Android's class, as far as the generated code uses it. It crops, but scales nothing.
package android.graphics

class Bitmap(val width: Int, val height: Int, private val colors: IntArray) {
    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        for (row in 0 until height) {
            for (column in 0 until width) {
                pixels[offset + row * stride + column] = colors[(y + row) * this.width + x + column]
            }
        }
    }

    companion object {
        fun createBitmap(source: Bitmap, x: Int, y: Int, width: Int, height: Int): Bitmap {
            val pixels = IntArray(width * height)
            source.getPixels(pixels, 0, width, x, y, width, height)
            return Bitmap(width, height, pixels)
        }

        fun createScaledBitmap(source: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap {
            check(filter && source.width == width && source.height == height)
            return source
        }
    }
}
