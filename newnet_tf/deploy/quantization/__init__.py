"""Post-training quantization: precisions, calibration, corrections."""
