"""Frozen records of a model: card, weights, checkpoint formats, preprocessing, metadata.

Standard library only, so that listing models costs nothing.
"""

from newnet_tf.models.config.card import (
    LAYOUTS as LAYOUTS,
    Card as Card,
    CheckpointFormat as CheckpointFormat,
    HubFile as HubFile,
    PackageFile as PackageFile,
    ReportedResults as ReportedResults,
    Source as Source,
    WebFile as WebFile,
    Weights as Weights,
)
from newnet_tf.models.config.preprocess import (
    BGR as BGR,
    CENTER_CROP as CENTER_CROP,
    CHANNEL_ORDERS as CHANNEL_ORDERS,
    CHANNELS as CHANNELS,
    FIT as FIT,
    FIT_MULTIPLE as FIT_MULTIPLE,
    IMAGENET_MEAN as IMAGENET_MEAN,
    IMAGENET_STD as IMAGENET_STD,
    INCEPTION as INCEPTION,
    INTERPOLATIONS as INTERPOLATIONS,
    LETTERBOX as LETTERBOX,
    RESIZE_MODES as RESIZE_MODES,
    RGB as RGB,
    STRETCH as STRETCH,
    PreprocessConfig as PreprocessConfig,
    brief as brief,
)
