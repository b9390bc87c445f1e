// Gives the generated detector an image from a file and prints its detections.
package com.example.app

import android.content.Context
import android.graphics.Bitmap
import java.io.File

fun main(arguments: Array<String>) {
    val (width, height, degrees) = arguments.take(3).map { it.toInt() }
    val bytes = File("pixels.bin").readBytes().map { it.toInt() and 255 }
    val colors = bytes.chunked(3) { (red, green, blue) ->
        255 shl 24 or (red shl 16) or (green shl 8) or blue
    }
    val image = Bitmap(width, height, colors.toIntArray(), Bitmap.Config.valueOf(arguments[3]))
    Detector(Context(), "model.tflite").use { detector ->
        for (found in detector.detect(image, degrees)) {
            val box = listOf(found.left, found.top, found.right, found.bottom)
            println("${found.label}\t${found.score}\t${box.joinToString("\t")}")
        }
    }
    check(Bitmap.open == 1 && !image.isRecycled)
}
