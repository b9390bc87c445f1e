"""The public functions and modules; written by tools/make_stubs.py."""

from newnet_tf import (
    api as api,
    applications as applications,
    classification as classification,
    cli as cli,
    data as data,
    deploy as deploy,
    detection as detection,
    evaluation as evaluation,
    finetuning as finetuning,
    inference as inference,
    models as models,
    profiling as profiling,
    results as results,
    task as task,
    text as text,
    training as training,
    utils as utils,
    visualization as visualization,
    web as web,
    weights as weights,
)
from newnet_tf.api.benchmark import benchmark as benchmark
from newnet_tf.api.benchmark_data import benchmark_data as benchmark_data
from newnet_tf.api.bundle import bundle as bundle
from newnet_tf.api.convert import convert as convert
from newnet_tf.api.demo import demo as demo
from newnet_tf.api.detect import detect as detect
from newnet_tf.api.detect_text import detect_text as detect_text
from newnet_tf.api.evaluate import evaluate as evaluate
from newnet_tf.api.export import export as export
from newnet_tf.api.finetune import finetune as finetune
from newnet_tf.api.model_info import (
    model_info as model_info,
    model_table as model_table,
)
from newnet_tf.api.predict import predict as predict
from newnet_tf.api.profile import profile as profile
from newnet_tf.api.quantize import quantize as quantize
from newnet_tf.api.report import make_report as make_report
from newnet_tf.api.show_data import show_data as show_data
from newnet_tf.api.train import train as train
from newnet_tf.api.tune import tune as tune
from newnet_tf.api.verify import verify as verify
from newnet_tf.api.web_page import make_web_page as make_web_page
from newnet_tf.data.datasets.factory import load_dataset as load_dataset
from newnet_tf.inference.loading import load_predictor as load_predictor
from newnet_tf.inference.model import load_model as load_model
from newnet_tf.models.activations import replace_activation as replace_activation
from newnet_tf.models.classifier import reset_classifier as reset_classifier
from newnet_tf.models.config.metadata import (
    get_metadata as get_metadata,
    set_metadata as set_metadata,
)
from newnet_tf.models.features import feature_extractor as feature_extractor
from newnet_tf.models.layer_names import prefix_layer_names as prefix_layer_names
from newnet_tf.models.model_file import save_model as save_model
from newnet_tf.models.registry import (
    create_model as create_model,
    create_transform as create_transform,
    list_models as list_models,
    model_card as model_card,
)

__version__: str
