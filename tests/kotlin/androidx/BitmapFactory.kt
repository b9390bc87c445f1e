package android.graphics

import java.io.InputStream

class BitmapFactory {
    companion object {
        fun decodeStream(stream: InputStream?): Bitmap? = stream?.let { Bitmap(1, 1, intArrayOf(it.read())) }
    }
}
