"""Writes a TensorFlow classifier as ONNX, and its answers:  python tensorflow_model.py FOLDER

A program of its own, because TensorFlow and torch bring runtimes that need not get along in one process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf2onnx


def main(folder: Path) -> None:
    """Convolution, pooling, dense layer and softmax with random weights; inputs are N x H x W x C."""
    tf.random.set_seed(0)
    kernel, dense = tf.Variable(tf.random.normal((3, 3, 3, 8), stddev=0.3)), tf.Variable(tf.random.normal((8, 5)))

    @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.float32, name="images")])
    def classifier(images: tf.Tensor) -> tf.Tensor:
        features = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME")), 2, 2, "SAME")
        return tf.nn.softmax(tf.reduce_mean(features, [1, 2]) @ dense)

    model, _ = tf2onnx.convert.from_function(classifier, input_signature=classifier.input_signature, opset=17)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    labels = np.zeros(len(pixels), np.int64)
    images = tf.constant(pixels.astype(np.float32) / 255)
    with tf.GradientTape() as tape:
        tape.watch(images)
        probabilities = classifier(images)
        loss = -tf.reduce_sum(tf.math.log(probabilities[:, 0]))
    gradient = tape.gradient(loss, images)
    np.savez(folder / "answers.npz", pixels=pixels, labels=labels, probabilities=probabilities, gradient=gradient)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
