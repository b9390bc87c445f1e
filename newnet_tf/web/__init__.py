"""A static web page that runs an exported model in the browser: written, served, tested.

Importing this package imports no other module. The page's own files are in `static`. LiteRT.js, which
runs the model, is downloaded from the npm registry; it is not part of this package.
"""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "EngineError": "newnet_tf.web.litert_js",
    "HEADERS": "newnet_tf.web.serve",
    "Site": "newnet_tf.web.site",
    "build_site": "newnet_tf.web.site",
    "server": "newnet_tf.web.serve",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
