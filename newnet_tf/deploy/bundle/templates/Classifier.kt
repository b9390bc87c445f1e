// @NAME@ on Android. Generated from model.json; neither compiled nor run where it was generated.
//
// Gradle: implementation("com.google.ai.edge.litert:litert:1.4.2")
// Assets: the .tflite file and @LABELS@.
// Input: @INPUT@. Output: @OUTPUTS@.

import android.content.Context
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.exp
import kotlin.math.min
import kotlin.math.roundToInt
import org.tensorflow.lite.Interpreter

class Classifier(context: Context, file: String = "@FILE@", threads: Int = 2) : AutoCloseable {
    val labels: List<String> = context.assets.open("@LABELS@").bufferedReader().use { it.readLines() }

    private val interpreter: Interpreter
    private val input = buffer(SIZE * SIZE * CHANNELS * @INPUT_BYTES@)
    private val output = buffer(CLASSES * @OUTPUT_BYTES@)

    init {
        val bytes = context.assets.open(file).use { it.readBytes() }
        val model = buffer(bytes.size).apply { put(bytes); rewind() }
        interpreter = Interpreter(model, Interpreter.Options().setNumThreads(threads))
    }

    /** Returns the probability of each class, in the order of `labels`. */
    fun probabilities(image: Bitmap): FloatArray {
        fill(cropped(image))
        output.rewind()
        interpreter.run(input, output)
        output.rewind()
        val scores = FloatArray(CLASSES) { @READ@ }
        @FINISH@
    }

    /** Returns the `count` most probable classes. */
    fun classify(image: Bitmap, count: Int = 5): List<Pair<String, Float>> =
        labels.zip(probabilities(image).toList()).sortedByDescending { it.second }.take(count)

@IMAGE@

    private fun softmax(scores: FloatArray): FloatArray {
        val largest = scores.max()
        val powers = FloatArray(scores.size) { exp(scores[it] - largest) }
        val sum = powers.sum()
        return FloatArray(scores.size) { powers[it] / sum }
    }

    override fun close() = interpreter.close()

    private companion object {
        const val SIZE = @SIZE@
        const val RESIZE = @RESIZE@
        const val CHANNELS = @CHANNELS@
        const val CLASSES = @CLASSES@
        @CONSTANTS@
    }
}
