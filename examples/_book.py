"""The training loop of *Neural Networks from Scratch*, chapters 16 and 17, for the scripts ``*_book.py``."""

from collections.abc import Callable, Sequence
from typing import Any

from nnxp.compat.nnfs import Layer_Dense


def train(
    layers: Sequence[Any], loss: Any, optimizer: Any, accuracy: Callable[[Any, Any], float], X: Any, y: Any, epochs: int
) -> list[str]:
    """Full-batch epochs 0, 1, 2, …; print the book's line every 100, and return the lines."""
    trainable = [layer for layer in layers if isinstance(layer, Layer_Dense)]
    lines = []
    for epoch in range(epochs):
        output = forward(layers, X)
        if epoch % 100 == 0:
            data = loss.calculate(output, y)
            penalty = sum(loss.regularization_loss(layer) for layer in trainable)
            right = accuracy(layers[-1].predictions(output), y)
            lines.append(
                f"epoch: {epoch}, acc: {right:.3f}, loss: {data + penalty:.3f} (data_loss: {data:.3f}, "
                f"reg_loss: {penalty:.3f}), lr: {optimizer.current_learning_rate}"
            )
            print(lines[-1])
        loss.backward(output, y)
        dvalues = loss.dinputs
        for layer in reversed(layers):
            layer.backward(dvalues)
            dvalues = layer.dinputs
        optimizer.pre_update_params()
        for layer in trainable:
            optimizer.update_params(layer)
        optimizer.post_update_params()
    return lines


def forward(layers: Sequence[Any], X: Any) -> Any:
    """The output of the last layer."""
    for layer in layers:
        layer.forward(X)
        X = layer.output
    return X
