// Gives the generated classifier an image from a file, wider than high, and prints its predictions.
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
    Classifier(Context(), "model.tflite").use { classifier ->
        println(classifier.probabilities(image).joinToString(" "))
        for ((label, probability) in classifier.classify(image, 2)) println("$label\t$probability")
    }
}
