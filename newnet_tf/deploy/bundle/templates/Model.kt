// @NAME@ on Android. Generated from model.json; neither compiled nor run where it was generated.
//
// Gradle: implementation("com.google.ai.edge.litert:litert:1.4.2"); README.md shows the rest.
// Assets: @ASSETS@.
// Input: @INPUT@. Outputs: @OUTPUTS_TEXT@.

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
class Model(context: Context, file: String = "@FILE@", threads: Int = 2) : AutoCloseable {
    private val interpreter = Interpreter(map(context, file), Interpreter.Options().setNumThreads(threads))
    private val input = buffer(SIZE * SIZE * CHANNELS * @INPUT_BYTES@)
    private val outputs = mapOf(
@OUTPUT_BUFFERS@
    )

    /**
     * Returns the outputs by name, each in the order of its shape in model.json. Positions are those
     * of @SQUARE@.
     *
     * `rotationDegrees`: clockwise, what makes the image upright: a multiple of 90, as CameraX and
     * ExifInterface give it.
     */
    @Synchronized
    fun run(image: Bitmap, rotationDegrees: Int = 0): Map<String, FloatArray> {
        fill(@RESIZED@(image, rotationDegrees))
        outputs.values.forEach { it.rewind() }
        interpreter.runSignature(mapOf("@INPUT_NAME@" to input), outputs)
        outputs.values.forEach { it.rewind() }
        return mapOf(
@OUTPUT_ARRAYS@
        )
    }

    private fun read(name: String): ByteBuffer = outputs.getValue(name)

@IMAGE@

    @Synchronized
    override fun close() = interpreter.close()

    private companion object {
        const val SIZE = @SIZE@
        const val CHANNELS = @CHANNELS@
        @CONSTANTS@
    }
}
