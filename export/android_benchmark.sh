#!/usr/bin/env bash
# Times TFLite files on an Android phone with LiteRT's own benchmark_model, over adb.
#
#     export/android_benchmark.sh benchmark_model build/bundle/NAME/*.tflite
#
# NOT RUN where it was written: no phone was available. The flags are those that the tool documents
# (tensorflow/lite/tools/benchmark/README.md): --graph, --num_threads, --use_xnnpack, --warmup_runs,
# --num_runs, --enable_op_profiling, --report_peak_memory_footprint.
#
# Needed: adb with one phone that allows debugging, and the binary for its processor, prebuilt
# (https://ai.google.dev/edge/litert/models/measurement, "native benchmark binary", arm64) or built by
#     bazel build -c opt --config=android_arm64 //tensorflow/lite/tools/benchmark:benchmark_model
#
# THREADS, RUNS, WARMUP and OUT may be set in the environment. Each file's output is kept as
# OUT/NAME.THREADS.txt; the lines with the mean time and the peak memory are shown.
set -euo pipefail

threads=${THREADS:-"1 4"}
runs=${RUNS:-50}
warmup=${WARMUP:-10}
out=${OUT:-build/android}
there=/data/local/tmp/newnet

if [ $# -lt 2 ]; then
  echo "usage: $0 BENCHMARK_MODEL FILE.tflite…" >&2
  exit 2
fi
binary=$1
shift
for path in "$binary" "$@"; do
  [ -f "$path" ] || { echo "must be an existing file. Received: $path" >&2; exit 2; }
done
command -v adb >/dev/null || { echo "adb must be installed (Android platform tools)" >&2; exit 2; }
[ "$(adb get-state 2>/dev/null)" = device ] || { echo "adb must see one phone: adb devices" >&2; exit 2; }

mkdir -p "$out"
adb shell mkdir -p "$there"
trap 'adb shell rm -rf "$there"' EXIT
adb push "$binary" "$there/benchmark_model" >/dev/null
adb shell chmod +x "$there/benchmark_model"
echo "$(adb shell getprop ro.product.model), Android $(adb shell getprop ro.build.version.release)"

for file in "$@"; do
  name=$(basename "$file" .tflite)
  adb push "$file" "$there/model.tflite" >/dev/null
  for count in $threads; do
    log="$out/$name.$count.txt"
    adb shell "$there/benchmark_model" --graph="$there/model.tflite" --num_threads="$count" \
      --use_xnnpack=true --warmup_runs="$warmup" --num_runs="$runs" --enable_op_profiling=true \
      --report_peak_memory_footprint=true >"$log" 2>&1 </dev/null
    echo "$name, $count threads: $log"
    grep -E 'Inference timings in us|[Oo]verall peak memory footprint' "$log" || true
  done
done
