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
class Detector(context: Context, file: String = "@FILE@", threads: Int = 2) : AutoCloseable {
    val labels: List<String> = @LABEL_LINES@

    private val interpreter = Interpreter(map(context, file), Interpreter.Options().setNumThreads(threads))
    private val input = buffer(SIZE * SIZE * CHANNELS * @INPUT_BYTES@)
    private val outputs = mapOf(
@OUTPUT_BUFFERS@
    )
    private val anchors = makeAnchors()

    /** An object: its class, `labels[index]`, and its box in pixels of the upright image. */
    data class Detection(
        val label: String,
        val index: Int,
        val score: Float,
        val left: Float,
        val top: Float,
        val right: Float,
        val bottom: Float,
    )

    /**
     * Returns the detections of at least `minScore`, the highest score first.
     *
     * `rotationDegrees`: clockwise, what makes the image upright: a multiple of 90, as CameraX and
     * ExifInterface give it.
     */
    @Synchronized
    fun detect(
        image: Bitmap,
        rotationDegrees: Int = 0,
        minScore: Float = SCORE_THRESHOLD,
    ): List<Detection> {
        fill(@RESIZED@(image, rotationDegrees))
        outputs.values.forEach { it.rewind() }
        interpreter.runSignature(mapOf("@INPUT_NAME@" to input), outputs)
        outputs.values.forEach { it.rewind() }
        val arrays = mapOf(
@OUTPUT_ARRAYS@
        )
        val (width, height) = uprightSize(image, rotationDegrees)
        val x = Axis(width, height)
        val y = Axis(height, width)
        return decode(arrays.getValue("@BOXES@"), arrays.getValue("@SCORES@"), minScore).map {
            it.copy(
                left = x.toPixels(it.left),
                top = y.toPixels(it.top),
                right = x.toPixels(it.right),
                bottom = y.toPixels(it.bottom),
            )
        }
    }

    private class Candidate(val score: Float, val index: Int, val anchor: Int)

    /** Returns detections with boxes in fractions of the input: non-maximum suppression in each class. */
    private fun decode(codes: FloatArray, logits: FloatArray, minScore: Float): List<Detection> {
        val candidates = mutableListOf<Candidate>()
        for (anchor in 0 until logits.size / COLUMNS) {
            val row = anchor * COLUMNS
            @SCORE_SETUP@
            for (index in 0 until CLASSES) {
                val score = @SCORE@
                if (score > minScore) candidates.add(Candidate(score, index, anchor))
            }
        }
        candidates.sortWith(compareBy({ -it.score }, { it.index }, { it.anchor }))
        val kept = mutableListOf<Detection>()
        for (candidate in candidates.take(TOP_K)) {
            if (kept.size == MAX_DETECTIONS) break
            val box = box(codes, candidate)
            val isCovered = kept.any { it.index == box.index && overlap(it, box) > IOU_THRESHOLD }
            if (area(box) > 0f && !isCovered) kept.add(box)
        }
        return kept
    }

    /** Returns the box of an anchor, clipped to the image. */
    private fun box(codes: FloatArray, candidate: Candidate): Detection {
        val at = 4 * candidate.anchor
        val width = anchors[at + 2]
        val height = anchors[at + 3]
        val x = codes[at + @CODE_X@] / @CENTER_SCALE@f * width + anchors[at]
        val y = codes[at + @CODE_Y@] / @CENTER_SCALE@f * height + anchors[at + 1]
        val halfWidth = grown(codes[at + @CODE_WIDTH@]) * width / 2f
        val halfHeight = grown(codes[at + @CODE_HEIGHT@]) * height / 2f
        return Detection(
            labels[candidate.index],
            candidate.index,
            candidate.score,
            (x - halfWidth).coerceIn(0f, 1f),
            (y - halfHeight).coerceIn(0f, 1f),
            (x + halfWidth).coerceIn(0f, 1f),
            (y + halfHeight).coerceIn(0f, 1f),
        )
    }

    private fun grown(code: Float): Float = exp(min(code / @SIDE_SCALE@f, @MAX_SIDE_CODE@f))

    private fun area(box: Detection): Float = area(box.left, box.top, box.right, box.bottom)

    private fun area(left: Float, top: Float, right: Float, bottom: Float): Float =
        max(right - left, 0f) * max(bottom - top, 0f)

    private fun overlap(a: Detection, b: Detection): Float {
        val left = max(a.left, b.left)
        val top = max(a.top, b.top)
        val common = area(left, top, min(a.right, b.right), min(a.bottom, b.bottom))
        return common / (area(a) + area(b) - common)
    }

    /** Returns center x, center y, width and height of each anchor in fractions of the image. */
    private fun makeAnchors(): FloatArray {
        val values = mutableListOf<Float>()
        for ((size, sides) in MAPS) {
            for (cell in 0 until size * size) {
                for (side in sides.indices step 2) {
                    values.add(((cell % size + 0.5) / size).toFloat())
                    values.add(((cell / size + 0.5) / size).toFloat())
                    values.add(sides[side])
                    values.add(sides[side + 1])
                }
            }
        }
        return values.toFloatArray()
    }

    private fun read(name: String): ByteBuffer = outputs.getValue(name)

@IMAGE@

    @Synchronized
    override fun close() = interpreter.close()

    private companion object {
        const val SIZE = @SIZE@
        const val CHANNELS = @CHANNELS@
        const val CLASSES = @CLASSES@
        const val COLUMNS = CLASSES + @BACKGROUND@
        const val SCORE_THRESHOLD = @SCORE_THRESHOLD@f
        const val IOU_THRESHOLD = @IOU_THRESHOLD@f
        const val TOP_K = @TOP_K@
        const val MAX_DETECTIONS = @MAX_DETECTIONS@
        @CONSTANTS@

        /** For each feature map its size in cells, and width and height of the anchors of a cell. */
        val MAPS = listOf(
@MAPS@
        )
    }
}
