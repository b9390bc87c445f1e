package androidx.exifinterface.media

import java.io.InputStream

class ExifInterface(stream: InputStream) {
    val rotationDegrees: Int = stream.read()
}
