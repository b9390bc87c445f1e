// A stub of Android's class, as far as the generated code uses it.
package android.content.res

import java.io.Closeable
import java.io.File

class AssetFileDescriptor(file: File) : Closeable {
    private val stream = file.inputStream()
    val fileDescriptor = stream.fd
    val startOffset = 0L
    val declaredLength = file.length()

    override fun close() = stream.close()
}
