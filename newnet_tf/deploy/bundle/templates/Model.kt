// @NAME@ on Android. Generated from model.json; neither compiled nor run where it was generated.
//
// Gradle: implementation("com.google.ai.edge.litert:litert:1.4.2")
// Assets: the .tflite file.
// Input: @INPUT@. Outputs: @OUTPUTS@.

import android.content.Context
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.min
import kotlin.math.roundToInt
import org.tensorflow.lite.Interpreter

class Model(context: Context, file: String = "@FILE@", threads: Int = 2) : AutoCloseable {
    private val interpreter: Interpreter
    private val input = buffer(SIZE * SIZE * CHANNELS * @INPUT_BYTES@)
    private val outputs = mapOf(
@OUTPUT_BUFFERS@
    )

    init {
        val bytes = context.assets.open(file).use { it.readBytes() }
        val model = buffer(bytes.size).apply { put(bytes); rewind() }
        interpreter = Interpreter(model, Interpreter.Options().setNumThreads(threads))
    }

    /** Returns the outputs by name, each in the order of its shape in model.json. */
    fun run(image: Bitmap): Map<String, FloatArray> {
        fill(cropped(image))
        outputs.values.forEach { it.rewind() }
        interpreter.runSignature(mapOf("@INPUT_NAME@" to input), outputs)
        outputs.values.forEach { it.rewind() }
        return mapOf(
@OUTPUT_ARRAYS@
        )
    }

    private fun read(name: String): ByteBuffer = outputs.getValue(name)

@IMAGE@

    override fun close() = interpreter.close()

    private companion object {
        const val SIZE = @SIZE@
        const val RESIZE = @RESIZE@
        const val CHANNELS = @CHANNELS@
        @CONSTANTS@
    }
}
