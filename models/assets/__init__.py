"""MediaPipe's networks as ONNX files (Apache-2.0, see NOTICE); `presenter.recipe.convert_tracker` makes them."""
