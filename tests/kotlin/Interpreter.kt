// A stub of LiteRT's class: writes its input to a file, and reads its outputs from other files.
package org.tensorflow.lite

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

class Interpreter(model: ByteBuffer, private val options: Options) {
    init {
        check(model.isDirect && model.remaining() == File("model.tflite").length().toInt())
    }

    class Options {
        var threads = 0

        fun setNumThreads(count: Int): Options = apply { threads = count }
    }

    fun run(input: Any, output: Any) {
        check(options.threads == 2)
        write(input)
        read(output, "output.bin")
    }

    fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>) {
        check(options.threads == 2)
        write(inputs.values.single())
        for ((name, output) in outputs) read(output, "$name.bin")
    }

    private fun write(input: Any) {
        val bytes = ByteArray(buffer(input).remaining())
        buffer(input).get(bytes)
        File("input.bin").writeBytes(bytes)
    }

    private fun read(output: Any, file: String) {
        val bytes = File(file).readBytes()
        check(buffer(output).remaining() == bytes.size)
        buffer(output).put(bytes)
    }

    private fun buffer(value: Any): ByteBuffer {
        check(value is ByteBuffer && value.isDirect && value.order() == ByteOrder.nativeOrder())
        return value
    }

    fun close() = Unit
}
