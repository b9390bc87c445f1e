package androidx.camera.core

import android.graphics.Bitmap
import java.util.concurrent.Executor

interface ImageInfo {
    val rotationDegrees: Int
}

interface ImageProxy : AutoCloseable {
    val imageInfo: ImageInfo

    fun toBitmap(): Bitmap
}

class CameraSelector {
    companion object {
        val DEFAULT_BACK_CAMERA = CameraSelector()
    }
}

open class UseCase

class ImageAnalysis : UseCase() {
    fun interface Analyzer {
        fun analyze(image: ImageProxy)
    }

    class Builder {
        fun build() = ImageAnalysis()
    }

    fun setAnalyzer(executor: Executor, analyzer: Analyzer) = println("$executor $analyzer")
}
