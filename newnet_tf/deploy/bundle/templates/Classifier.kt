// @NAME@ on Android. Generated from model.json; neither compiled nor run where it was generated.
//
// Gradle: implementation("com.google.ai.edge.litert:litert:1.4.2"); README.md shows the rest.
// Assets: @ASSETS@.
// Input: @INPUT@. Output: @OUTPUTS_TEXT@.

package @PACKAGE@

import android.content.Context
import android.graphics.Bitmap
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
@MATH_IMPORTS@
import org.tensorflow.lite.Interpreter

/** Give it images one after another, from any thread; `close()` it at the end. */
class Classifier(context: Context, file: String = "@FILE@", threads: Int = 2) : AutoCloseable {
    val labels: List<String> = @LABEL_LINES@

    private val interpreter = Interpreter(map(context, file), Interpreter.Options().setNumThreads(threads))
    private val input = buffer(SIZE * SIZE * CHANNELS * @INPUT_BYTES@)
    private val output = buffer(OUTPUTS * @OUTPUT_BYTES@)

    /**
     * Returns @MEANING@, in the order of `labels`.
     *
     * `rotationDegrees`: clockwise, what makes the image upright: a multiple of 90, as CameraX and
     * ExifInterface give it.
     */
    @Synchronized
    fun probabilities(image: Bitmap, rotationDegrees: Int = 0): FloatArray {
        fill(@RESIZED@(image, rotationDegrees))
        output.rewind()
        interpreter.run(input, output)
        output.rewind()
        val scores = FloatArray(OUTPUTS) { @READ@ }
        @FINISH@
    }

    /** Returns the `count` most probable classes. */
    fun classify(image: Bitmap, rotationDegrees: Int = 0, count: Int = 5): List<Pair<String, Float>> =
        labels.zip(probabilities(image, rotationDegrees).toList())
            .sortedByDescending { it.second }
            .take(count)

@IMAGE@

@ACTIVATION_FUNCTION@

    @Synchronized
    override fun close() = interpreter.close()

    private companion object {
        const val SIZE = @SIZE@
        const val CHANNELS = @CHANNELS@
        const val OUTPUTS = @OUTPUTS@
        @CONSTANTS@
    }
}
