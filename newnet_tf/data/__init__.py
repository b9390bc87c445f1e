"""Images and labels: reading, preprocessing, augmentation, datasets, input pipelines."""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "ArrayLoader": "newnet_tf.data.array_loader",
    "Augmentation": "newnet_tf.data.augment.config",
    "Dataset": "newnet_tf.data.datasets.base",
    "ImageLoader": "newnet_tf.data.image_loader",
    "Transform": "newnet_tf.data.preprocess",
    "draw_augmentation": "newnet_tf.data.contact_sheet",
    "eval_input_pipeline": "newnet_tf.data.pipeline",
    "load_dataset": "newnet_tf.data.datasets.factory",
    "prepare": "newnet_tf.data.datasets.prepare",
    "read_image": "newnet_tf.data.images",
    "train_input_pipeline": "newnet_tf.data.pipeline",
}
__getattr__, __dir__ = exports(__name__, PUBLIC)
