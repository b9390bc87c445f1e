@RESIZE_FUNCTION@

@AXIS_CLASS@

    private fun buffer(bytes: Int): ByteBuffer =
        ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())

    /** Maps a file of the assets into memory: it must not be compressed (`noCompress` in Gradle). */
    private fun map(context: Context, file: String): ByteBuffer =
        context.assets.openFd(file).use { asset ->
            FileInputStream(asset.fileDescriptor).use {
                it.channel.map(FileChannel.MapMode.READ_ONLY, asset.startOffset, asset.declaredLength)
            }
        }
