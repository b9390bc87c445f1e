"""newnet_tf: light-weight vision models for Keras 3 and for phones.

    list_models         Lists the names of the zoo's models.
    model_card          Returns the card of a model: reported figures, published weights, our
                        measurements.
    model_info          Returns what is known of a model: reported and measured figures, input, weights.
    model_table         Returns image size, parameters, multiply-adds, reported error and weights of
                        models.
    create_model        Builds a model by name.
    create_transform    Returns the preprocessing of a model: from images to its input.
    feature_extractor   Returns a model that outputs the feature maps of `model` at `strides`.
    reset_classifier    Returns the model with a newly initialized classifier, for another number of
                        classes.
    replace_activation  Returns the model with one activation replaced by another, wherever it occurs.
    prefix_layer_names  Returns the model with a prefix before the names of its layers, to join it with
                        another one.
    load_dataset        Opens labeled images.
    show_data           Draws training images of a dataset with their classes, boxes or words, on one
                        page.
    train               Trains a model by a recipe, or resumes an interrupted run.
    finetune            Finetunes a pretrained model on classes of your own; writes model, report and
                        exported files.
    tune                Trains a model with each setting of a search space, or resumes an interrupted
                        search.
    evaluate            Measures the accuracy, average precision or H-mean of a model on labeled images.
    load_model          Loads a model with its metadata: preprocessing, class names, what its outputs
                        are.
    load_predictor      Loads a model of any format for prediction.
    get_metadata        Returns the metadata of a Keras model: of `create_model`, `load_model`, `train`,
                        `finetune` or
    set_metadata        Keeps the metadata of a Keras model for as long as the object lives.
    save_model          Writes a `.keras` file with metadata inside, which `newnet_tf.load_model` reads.
    predict             Predicts images, one by one; images that cannot be read are skipped and counted.
    detect              Detects objects in images, and draws their boxes; images that cannot be read are
                        skipped.
    detect_text         Finds words in images, and draws them; images that cannot be read are skipped.
    convert             Converts a checkpoint; every tensor must be used and every variable must be set.
    export              Exports a model to TFLite or ONNX files or to a SavedModel.
    quantize            Writes an int8-full TFLite file of a classifier, and says which layers lose most
                        by int8.
    verify              Compares exported files with the Keras model that they were made from.
    bundle              Writes a bundle: `.tflite` files, labels, `model.json`, code for phones, and a
                        check.
    make_web_page       Writes a website that runs a model in the visitor's browser, for any static
                        host.
    benchmark           Compares the latency of models on this CPU.
    benchmark_data      Compares the speed of newnet_tf's input pipelines, a plain decode and other
                        loaders.
    profile             Measures the time of each operator of models on this CPU.
    make_report         Plots reported accuracy against measured cost, with the Pareto fronts, on one
                        page.
    demo                Classifies an image, detects people, exports and verifies both models, and
                        benchmarks them.

The models are classes in `newnet_tf.applications`, as in `keras.applications`. Functions and modules
are imported at first use: `import newnet_tf` does not import TensorFlow.
"""

from newnet_tf.utils.lazy import exports

__version__ = "0.1.0"

PUBLIC = {
    "list_models": "newnet_tf.models.registry",
    "model_card": "newnet_tf.models.registry",
    "model_info": "newnet_tf.api.model_info",
    "model_table": "newnet_tf.api.model_info",
    "create_model": "newnet_tf.models.registry",
    "create_transform": "newnet_tf.models.registry",
    "feature_extractor": "newnet_tf.models.features",
    "reset_classifier": "newnet_tf.models.classifier",
    "replace_activation": "newnet_tf.models.activations",
    "prefix_layer_names": "newnet_tf.models.layer_names",
    "load_dataset": "newnet_tf.data.datasets.factory",
    "show_data": "newnet_tf.api.show_data",
    "train": "newnet_tf.api.train",
    "finetune": "newnet_tf.api.finetune",
    "tune": "newnet_tf.api.tune",
    "evaluate": "newnet_tf.api.evaluate",
    "load_model": "newnet_tf.inference.model",
    "load_predictor": "newnet_tf.inference.loading",
    "get_metadata": "newnet_tf.models.config.metadata",
    "set_metadata": "newnet_tf.models.config.metadata",
    "save_model": "newnet_tf.models.model_file",
    "predict": "newnet_tf.api.predict",
    "detect": "newnet_tf.api.detect",
    "detect_text": "newnet_tf.api.detect_text",
    "convert": "newnet_tf.api.convert",
    "export": "newnet_tf.api.export",
    "quantize": "newnet_tf.api.quantize",
    "verify": "newnet_tf.api.verify",
    "bundle": "newnet_tf.api.bundle",
    "make_web_page": "newnet_tf.api.web_page",
    "benchmark": "newnet_tf.api.benchmark",
    "benchmark_data": "newnet_tf.api.benchmark_data",
    "profile": "newnet_tf.api.profile",
    "make_report": "newnet_tf.api.report",
    "demo": "newnet_tf.api.demo",
}
ROOMS = (
    "api",
    "applications",
    "classification",
    "cli",
    "data",
    "deploy",
    "detection",
    "evaluation",
    "finetuning",
    "inference",
    "models",
    "profiling",
    "results",
    "task",
    "text",
    "training",
    "utils",
    "visualization",
    "web",
    "weights",
)

__all__ = ["__version__", *PUBLIC]  # noqa: PLE0604
__getattr__, __dir__ = exports(__name__, PUBLIC, ROOMS)
