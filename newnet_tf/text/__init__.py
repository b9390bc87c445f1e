"""Scene-text detection: CRAFT, and CRAFT-lite on any backbone of the zoo."""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "CRAFT": "newnet_tf.text.craft",
    "CRAFTLite": "newnet_tf.text.craft_lite",
    "SynthesisConfig": "newnet_tf.text.synthesis.config",
    "TeacherMaps": "newnet_tf.text.training.teacher",
    "TextAugmentation": "newnet_tf.text.training.augment",
    "TextLoader": "newnet_tf.text.training.loader",
    "TextSynthesizer": "newnet_tf.text.synthesis.render",
    "cache_maps": "newnet_tf.text.training.teacher",
    "find_fonts": "newnet_tf.text.synthesis.fonts",
}
__getattr__, __dir__ = exports(__name__, PUBLIC)
