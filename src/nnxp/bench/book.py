"""Training code in the manner of *Neural Networks from Scratch in Python*: plain NumPy, one idea per class.

It is the yardstick of the benchmark, so it is written as the book writes it: fresh arrays at every line, a masked copy
for ReLU, the clip in the loss, Adam layer by layer, and the gradient with respect to the data computed like any other.
What the book computes only to print it (predictions, accuracy) is left out. The arrays' data type is kept.
"""

from typing import Any

import numpy as np

from nnxp._types import Array
from nnxp.bench._base import Stepwise
from nnxp.bench.workloads import Workload

__all__ = ["Book"]


class Layer_Dense:
    """Inputs times weights plus biases, with optional L2 penalties."""

    weight_momentums: Array
    weight_cache: Array
    bias_momentums: Array
    bias_cache: Array

    def __init__(
        self, weights: Array, biases: Array, weight_regularizer_l2: float = 0.0, bias_regularizer_l2: float = 0.0
    ) -> None:
        self.weights = weights
        self.biases = biases.reshape(1, -1)
        self.weight_regularizer_l2 = weight_regularizer_l2
        self.bias_regularizer_l2 = bias_regularizer_l2

    def forward(self, inputs: Array) -> None:
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues: Array) -> None:
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        if self.weight_regularizer_l2 > 0:
            self.dweights += 2 * self.weight_regularizer_l2 * self.weights
        if self.bias_regularizer_l2 > 0:
            self.dbiases += 2 * self.bias_regularizer_l2 * self.biases
        self.dinputs = np.dot(dvalues, self.weights.T)


class Activation_ReLU:
    """The positive part."""

    def forward(self, inputs: Array) -> None:
        self.inputs = inputs
        self.output = np.maximum(0, inputs)

    def backward(self, dvalues: Array) -> None:
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0


class Activation_Linear:
    """Nothing: the head of a regression."""

    def forward(self, inputs: Array) -> None:
        self.inputs = inputs
        self.output = inputs

    def backward(self, dvalues: Array) -> None:
        self.dinputs = dvalues.copy()


class Activation_Softmax:
    """Exponentials, each row divided by its sum."""

    def forward(self, inputs: Array) -> None:
        self.inputs = inputs
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp_values / np.sum(exp_values, axis=1, keepdims=True)


class Loss:
    """The mean over the samples, and the penalties of the layers."""

    def forward(self, y_pred: Array, y_true: Array) -> Any:
        """The loss of each sample."""
        raise NotImplementedError

    def calculate(self, output: Array, y: Array) -> Any:
        return np.mean(self.forward(output, y))

    def regularization_loss(self, layers: list[Layer_Dense]) -> Any:
        regularization_loss: Any = 0
        for layer in layers:
            if layer.weight_regularizer_l2 > 0:
                regularization_loss += layer.weight_regularizer_l2 * np.sum(layer.weights * layer.weights)
            if layer.bias_regularizer_l2 > 0:
                regularization_loss += layer.bias_regularizer_l2 * np.sum(layer.biases * layer.biases)
        return regularization_loss


class Loss_CategoricalCrossentropy(Loss):
    """Minus the logarithm of the probability given to the right class."""

    def forward(self, y_pred: Array, y_true: Array) -> Any:
        samples = len(y_pred)
        y_pred_clipped = np.clip(y_pred, 1e-7, 1 - 1e-7)
        correct_confidences = y_pred_clipped[range(samples), y_true]
        return -np.log(correct_confidences)


class Activation_Softmax_Loss_CategoricalCrossentropy:
    """The two together, for the short backward: probabilities minus one-hot labels."""

    def __init__(self) -> None:
        self.activation = Activation_Softmax()
        self.loss = Loss_CategoricalCrossentropy()

    def forward(self, inputs: Array, y_true: Array) -> Any:
        self.activation.forward(inputs)
        self.output = self.activation.output
        return self.loss.calculate(self.output, y_true)

    def backward(self, dvalues: Array, y_true: Array) -> None:
        samples = len(dvalues)
        self.dinputs = dvalues.copy()
        self.dinputs[range(samples), y_true] -= 1
        self.dinputs = self.dinputs / samples


class Loss_MeanSquaredError(Loss):
    """The mean of the squared differences."""

    def forward(self, y_pred: Array, y_true: Array) -> Any:
        return np.mean((y_true - y_pred) ** 2, axis=-1)

    def backward(self, dvalues: Array, y_true: Array) -> None:
        samples = len(dvalues)
        outputs = len(dvalues[0])
        self.dinputs = -2 * (y_true - dvalues) / outputs
        self.dinputs = self.dinputs / samples


class Optimizer_Adam:
    """Momentums and caches for each layer, corrected for their start at zero."""

    def __init__(
        self, learning_rate: float = 0.001, epsilon: float = 1e-7, beta_1: float = 0.9, beta_2: float = 0.999
    ) -> None:
        self.learning_rate = learning_rate
        self.iterations = 0
        self.epsilon = epsilon
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def update_params(self, layer: Layer_Dense) -> None:
        if not hasattr(layer, "weight_cache"):
            layer.weight_momentums = np.zeros_like(layer.weights)
            layer.weight_cache = np.zeros_like(layer.weights)
            layer.bias_momentums = np.zeros_like(layer.biases)
            layer.bias_cache = np.zeros_like(layer.biases)

        layer.weight_momentums = self.beta_1 * layer.weight_momentums + (1 - self.beta_1) * layer.dweights
        layer.bias_momentums = self.beta_1 * layer.bias_momentums + (1 - self.beta_1) * layer.dbiases
        weight_momentums_corrected = layer.weight_momentums / (1 - self.beta_1 ** (self.iterations + 1))
        bias_momentums_corrected = layer.bias_momentums / (1 - self.beta_1 ** (self.iterations + 1))

        layer.weight_cache = self.beta_2 * layer.weight_cache + (1 - self.beta_2) * layer.dweights**2
        layer.bias_cache = self.beta_2 * layer.bias_cache + (1 - self.beta_2) * layer.dbiases**2
        weight_cache_corrected = layer.weight_cache / (1 - self.beta_2 ** (self.iterations + 1))
        bias_cache_corrected = layer.bias_cache / (1 - self.beta_2 ** (self.iterations + 1))

        layer.weights += (
            -self.learning_rate * weight_momentums_corrected / (np.sqrt(weight_cache_corrected) + self.epsilon)
        )
        layer.biases += -self.learning_rate * bias_momentums_corrected / (np.sqrt(bias_cache_corrected) + self.epsilon)

    def post_update_params(self) -> None:
        self.iterations += 1


class Optimizer_Adam_Early_Epsilon(Optimizer_Adam):
    """Not the book's: epsilon is added before the second moment is corrected, as in the second form of Adam's paper
    (Kingma and Ba 2015, the end of section 2). Some peers do that, and are compared with it.
    """

    def update_params(self, layer: Layer_Dense) -> None:
        late, correction = self.epsilon, np.sqrt(1 - self.beta_2 ** (self.iterations + 1))
        self.epsilon = late / correction
        super().update_params(layer)
        self.epsilon = late


class Book(Stepwise):
    """The loop around the classes: one call is one training step."""

    def __init__(self, workload: Workload, dtype: str = "float32", early_epsilon: bool = False) -> None:
        x, y = workload.data()
        self.x, self.y = x.astype(dtype), y if workload.classifies else y.astype(dtype)
        self.batches = [slice(start, start + workload.batch) for start in range(0, workload.samples, workload.batch)]
        penalties = [workload.l2] + [0.0] * (len(workload.sizes) - 2)
        self.dense = [
            Layer_Dense(w.astype(dtype), b.astype(dtype), l2, l2)
            for (w, b), l2 in zip(workload.weights(), penalties, strict=True)
        ]
        self.activations = [Activation_ReLU() for _ in self.dense[1:]]
        self.classifies = workload.classifies
        self.loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()
        self.linear, self.squares = Activation_Linear(), Loss_MeanSquaredError()
        adam = Optimizer_Adam_Early_Epsilon if early_epsilon else Optimizer_Adam
        self.optimizer = adam(learning_rate=workload.learning_rate)
        self.steps = 0

    def step(self) -> Any:
        """One update on the next batch; the loss before it."""
        batch = self.batches[self.steps % len(self.batches)]
        self.steps += 1
        return self.update(self.x[batch], self.y[batch])

    def update(self, x: Array, y: Array) -> Any:
        """Forward, backward, Adam."""
        output = x
        for dense, activation in zip(self.dense, self.activations, strict=False):
            dense.forward(output)
            activation.forward(dense.output)
            output = activation.output
        self.dense[-1].forward(output)
        data_loss, gradient = self.output_gradient(self.dense[-1].output, y)
        loss = data_loss + self.squares.regularization_loss(self.dense)

        self.dense[-1].backward(gradient)
        gradient = self.dense[-1].dinputs
        for dense, activation in zip(self.dense[-2::-1], self.activations[::-1], strict=True):
            activation.backward(gradient)
            dense.backward(activation.dinputs)
            gradient = dense.dinputs

        for dense in self.dense:
            self.optimizer.update_params(dense)
        self.optimizer.post_update_params()
        return loss

    def output_gradient(self, output: Array, y: Array) -> tuple[Any, Array]:
        """The loss on the data, and its gradient with respect to the last layer's output."""
        if self.classifies:
            data_loss = self.loss_activation.forward(output, y)
            self.loss_activation.backward(self.loss_activation.output, y)
            return data_loss, self.loss_activation.dinputs
        self.linear.forward(output)
        data_loss = self.squares.calculate(self.linear.output, y)
        self.squares.backward(self.linear.output, y)
        self.linear.backward(self.squares.dinputs)
        return data_loss, self.linear.dinputs
