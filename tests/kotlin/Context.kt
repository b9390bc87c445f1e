// A stub of Android's class, as far as the generated code uses it.
package android.content

import java.io.File
import java.io.InputStream

class Assets {
    fun open(name: String): InputStream = File(name).inputStream()
}

class Context {
    val assets = Assets()
}
