// A stub of Android's class, as far as the generated code uses it. It crops, copies and scales by half along one axis or both.
package android.graphics

class Bitmap(
    val width: Int,
    val height: Int,
    private val colors: IntArray,
    val config: Config = Config.ARGB_8888,
) {
    enum class Config { ARGB_8888, HARDWARE }

    var isRecycled = false
        private set

    init {
        open++
    }

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        check(config == Config.ARGB_8888) { "pixel access is not supported on Config#HARDWARE bitmaps" }
        read(pixels, offset, stride, x, y, width, height)
    }

    fun copy(config: Config, isMutable: Boolean): Bitmap? =
        if (isMutable) null else Bitmap(width, height, colors, config)

    fun recycle() {
        check(!isRecycled)
        isRecycled = true
        open--
    }

    private fun read(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        check(!isRecycled) { "a recycled bitmap" }
        for (row in 0 until height) {
            for (column in 0 until width) {
                pixels[offset + row * stride + column] = colors[(y + row) * this.width + x + column]
            }
        }
    }

    companion object {
        var open = 0

        fun createBitmap(source: Bitmap, x: Int, y: Int, width: Int, height: Int): Bitmap {
            if (width == source.width && height == source.height) return source
            val pixels = IntArray(width * height)
            source.read(pixels, 0, width, x, y, width, height)
            return Bitmap(width, height, pixels, source.config)
        }

        fun createScaledBitmap(source: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap {
            check(filter)
            if (width == source.width && height == source.height) return source
            val (across, down) = source.width / width to source.height / height
            check(across in 1..2 && down in 1..2)
            check(across * width == source.width && down * height == source.height)
            val colors = IntArray(width * height) { place ->
                val first = place / width * down * source.width + place % width * across
                val (right, below) = across - 1 to (down - 1) * source.width
                val four = intArrayOf(first, first + right, first + below, first + below + right)
                listOf(16, 8, 0).fold(255) { color, shift ->
                    color shl 8 or four.sumOf { source.colors[it] shr shift and 255 } / 4
                }
            }
            return Bitmap(width, height, colors, source.config)
        }
    }
}
