  explicit @CLASS@(const std::string& file = "@FILE@", int threads = 2) {
    model_ = TfLiteModelCreateFromFile(file.c_str());
    if (model_ == nullptr) throw std::runtime_error("not a TFLite file: " + file);
    TfLiteInterpreterOptions* options = TfLiteInterpreterOptionsCreate();
    TfLiteInterpreterOptionsSetNumThreads(options, threads);
    interpreter_ = TfLiteInterpreterCreate(model_, options);
    TfLiteInterpreterOptionsDelete(options);
    if (interpreter_ == nullptr || TfLiteInterpreterAllocateTensors(interpreter_) != kTfLiteOk) {
      throw std::runtime_error("cannot be run: " + file);
    }
  }

  ~@CLASS@() {
    TfLiteInterpreterDelete(interpreter_);
    TfLiteModelDelete(model_);
  }

  @CLASS@(const @CLASS@&) = delete;
  @CLASS@& operator=(const @CLASS@&) = delete;
