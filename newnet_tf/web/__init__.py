"""A static page that classifies images inside the browser: made from exported files, served, tested.

Importing this package loads nothing. The page's own files lie in `static`; LiteRT.js, which runs the
network, is fetched from the npm registry and never part of this package.
"""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "EngineError": "newnet_tf.web.litert_js",
    "HEADERS": "newnet_tf.web.serve",
    "Site": "newnet_tf.web.site",
    "build": "newnet_tf.web.site",
    "server": "newnet_tf.web.serve",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605
__getattr__, __dir__ = exports(__name__, PUBLIC)
