// Stubs of Android's classes, as far as the README's activity uses them.
package androidx.activity

import android.content.Context
import android.net.Uri
import android.os.Bundle
import androidx.lifecycle.LifecycleOwner
import java.io.InputStream

class ContentResolver {
    fun openInputStream(uri: Uri): InputStream? = java.io.File(uri.path).inputStream()
}

open class ComponentActivity : Context(), LifecycleOwner {
    val contentResolver = ContentResolver()
    var title: CharSequence? = null

    protected open fun onCreate(savedInstanceState: Bundle?) {
        check(savedInstanceState == null)
    }

    protected open fun onDestroy() = Unit

    fun runOnUiThread(action: Runnable) = action.run()
}
