"""PixelCNN on binarised MNIST: masked convolutions, the model, its samplers and its measures."""
