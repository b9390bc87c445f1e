package androidx.camera.lifecycle

import android.content.Context
import androidx.camera.core.CameraSelector
import androidx.camera.core.UseCase
import androidx.lifecycle.LifecycleOwner
import com.google.common.util.concurrent.ListenableFuture

class Camera

class ProcessCameraProvider {
    fun bindToLifecycle(owner: LifecycleOwner, selector: CameraSelector, vararg cases: UseCase): Camera {
        check(cases.isNotEmpty()) { "$owner $selector" }
        return Camera()
    }

    companion object {
        fun getInstance(context: Context): ListenableFuture<ProcessCameraProvider> =
            throw UnsupportedOperationException("$context")
    }
}
