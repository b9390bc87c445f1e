// A stub of Android's class, as far as the generated code uses it.
package android.content

import android.content.res.AssetFileDescriptor
import java.io.File
import java.io.InputStream

class Assets {
    fun open(name: String): InputStream = File(name).inputStream()

    fun openFd(name: String) = AssetFileDescriptor(File(name))
}

open class Context {
    val assets = Assets()
}
