"""Evaluation of a model on a dataset: the one loop, confidence intervals, paired comparison."""

from newnet_tf.utils.lazy import exports

PUBLIC = {
    "DetectorComparison": "newnet_tf.evaluation.paired",
    "PairedComparison": "newnet_tf.evaluation.paired",
    "compare": "newnet_tf.evaluation.paired",
    "compare_detectors": "newnet_tf.evaluation.paired",
    "evaluate_samples": "newnet_tf.evaluation.loop",
    "newcombe": "newnet_tf.evaluation.intervals",
    "save_result": "newnet_tf.evaluation.result_table",
    "wilson": "newnet_tf.evaluation.intervals",
}
__getattr__, __dir__ = exports(__name__, PUBLIC)
