"""`newnet finetune`: a pretrained model on classes of your own, with report and exported files."""

import argparse

from newnet_tf.cli import common, export_options, model_options
from newnet_tf.utils import tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `newnet finetune`."""
    common.add_model_argument(parser, "a model of the zoo that has weights")
    common.add_data_arguments(parser)
    common.add_output_argument(parser, "folder of the run; default: runs/DATASET-MODEL")
    model_options.add_weights_arguments(parser, classes=False)
    common.add_image_size_argument(parser)
    parser.add_argument(
        "--linear-probe", action="store_true", help="end after the classifier of frozen features"
    )
    parser.add_argument(
        "--head-epochs",
        type=int,
        metavar="N",
        help="of a detector, whose backbone is frozen in them; default: 5",
    )
    parser.add_argument(
        "--frozen-stride",
        type=int,
        metavar="STRIDE",
        help="a detector's backbone stays as it is up to this stride; default: all is trained",
    )
    parser.add_argument(
        "--score-function",
        choices=("softmax", "sigmoid"),
        help="of a detector; default: softmax, or that of weights of as many classes",
    )
    parser.add_argument(
        "--cached-views",
        type=int,
        metavar="N",
        help="views of an image whose features a detector's first stage keeps; default: 4, 0: none",
    )
    common.add_recipe_arguments(parser)
    parser.add_argument(
        "--backbone-lr-scale",
        type=float,
        default=0.25,
        metavar="FRACTION",
        help="the pretrained layers' fraction of the learning rate; default: 0.25",
    )
    parser.add_argument(
        "--batch-norm",
        choices=("frozen", "trained"),
        help="default: frozen, as in inference, but trained with --activation",
    )
    parser.add_argument(
        "--holdout-fraction",
        type=float,
        default=0.1,
        metavar="FRACTION",
        help="training images that only decide which stage's model is kept; default: 0.1",
    )
    export_options.add_precision_argument(parser, None)
    common.add_save_results_argument(parser, "accuracy")
    common.add_json_argument(parser)
    parser.epilog = (
        "First a linear classifier is fitted to frozen features (computed once, cached in the run's\n"
        "folder), then all layers are trained, the pretrained ones at a lower learning rate, none\n"
        "above the largest stable one. The test images choose nothing: the model is that of the last\n"
        "epoch, or the linear probe if all layers came out worse on held-out training images.\n"
        "--set class_weight=balanced weighs rare classes more; --set early_stopping=5 ends the second\n"
        "stage when five epochs in a row are no better on the held-out images.\n"
        "A detector (ssdlite_...) takes data with boxes: a COCO, VOC or YOLO folder, or a CSV file.\n"
        "Its new layers are trained first, then all layers; the model is that of the last epoch."
    )


def run(arguments: argparse.Namespace) -> None:
    """Runs `newnet finetune`."""
    import newnet_tf
    from newnet_tf.training.overrides import parse_overrides

    with common.no_warnings():
        result = newnet_tf.finetune(
            arguments.model,
            arguments.data,
            output_dir=arguments.output,
            weights=arguments.weights,
            epochs=arguments.epochs,
            image_size=arguments.image_size,
            validation_split=arguments.validation_split,
            seed=arguments.seed,
            data_dir=arguments.data_dir,
            images_dir=arguments.images_dir,
            linear_probe=arguments.linear_probe,
            head_epochs=arguments.head_epochs,
            frozen_stride=arguments.frozen_stride,
            score_function=arguments.score_function,
            cached_views=arguments.cached_views,
            backbone_lr_scale=arguments.backbone_lr_scale,
            batch_norm=arguments.batch_norm,
            holdout_fraction=arguments.holdout_fraction,
            overrides=parse_overrides(arguments.set),
            activation=arguments.activation,
            preprocess_as=arguments.preprocess_as,
            precisions=arguments.precisions or (),
            save_results=arguments.save_results,
        )
    print(tables.to_json(_to_json(result)) if arguments.json else result)


def _to_json(result) -> dict:
    has_choice = hasattr(result, "kept_stage")  # a detector is that of the last stage
    return {
        "model": result.name,
        "data": result.dataset.name,
        "class_names": result.class_names,
        "stages": result.stage_table(),
        **({"kept_stage": result.kept_stage, "holdout": result.verdict} if has_choice else {}),
        "metrics": result.metrics,
        "model_file": result.model_file,
        "report": result.report,
        "exports": [export.row() for export in result.exports],
        "skipped": [{"image": image.path, "reason": image.reason} for image in result.skipped],
    }
