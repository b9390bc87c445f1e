// Gives the generated model an image from a file and prints its outputs.
package com.example.app

import android.content.Context
import android.graphics.Bitmap
import java.io.File

fun main(arguments: Array<String>) {
    val (width, height) = arguments.map { it.toInt() }
    val bytes = File("pixels.bin").readBytes().map { it.toInt() and 255 }
    val colors = bytes.chunked(3) { (red, green, blue) ->
        255 shl 24 or (red shl 16) or (green shl 8) or blue
    }
    val image = Bitmap(width, height, colors.toIntArray())
    Model(Context(), "model.tflite").use { model ->
        for ((name, values) in model.run(image)) println("$name\t${values.joinToString(" ")}")
    }
}
