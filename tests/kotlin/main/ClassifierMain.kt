// Gives the generated classifier an image from a file, and prints its predictions.
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
    Classifier(Context(), "model.tflite").use { classifier ->
        println(classifier.probabilities(image, degrees).joinToString(" "))
        println("${Bitmap.open} bitmaps")
        check(!image.isRecycled)
        for ((label, probability) in classifier.classify(image, degrees, 2)) println("$label\t$probability")
    }
}
