"""Training code in the manner of *Neural Networks from Scratch in Python*: plain NumPy, one idea per class.

It is the yardstick of the benchmark, so it is written as the book writes it: fresh arrays at every line, a masked copy
for ReLU, the clip in the loss, Adam layer by layer, and the gradient with respect to the data computed like any other.
What the book computes only to print it (predictions, accuracy) is left out. The arrays' data type is kept.
"""

import numpy as np


class Layer_Dense:
    """Inputs times weights plus biases, with optional L2 penalties."""

    def __init__(self, weights, biases, weight_regularizer_l2=0.0, bias_regularizer_l2=0.0):
        self.weights = weights.copy()
        self.biases = biases.reshape(1, -1).copy()
        self.weight_regularizer_l2 = weight_regularizer_l2
        self.bias_regularizer_l2 = bias_regularizer_l2

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues):
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        if self.weight_regularizer_l2 > 0:
            self.dweights += 2 * self.weight_regularizer_l2 * self.weights
        if self.bias_regularizer_l2 > 0:
            self.dbiases += 2 * self.bias_regularizer_l2 * self.biases
        self.dinputs = np.dot(dvalues, self.weights.T)


class Activation_ReLU:
    """The positive part."""

    def forward(self, inputs):
        self.inputs = inputs
        self.output = np.maximum(0, inputs)

    def backward(self, dvalues):
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0


class Activation_Linear:
    """Nothing: the head of a regression."""

    def forward(self, inputs):
        self.inputs = inputs
        self.output = inputs

    def backward(self, dvalues):
        self.dinputs = dvalues.copy()


class Activation_Softmax:
    """Exponentials, each row divided by its sum."""

    def forward(self, inputs):
        self.inputs = inputs
        exp_values = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = exp_values / np.sum(exp_values, axis=1, keepdims=True)


class Loss:
    """The mean over the samples, and the penalties of the layers."""

    def calculate(self, output, y):
        return np.mean(self.forward(output, y))

    def regularization_loss(self, layers):
        regularization_loss = 0
        for layer in layers:
            if layer.weight_regularizer_l2 > 0:
                regularization_loss += layer.weight_regularizer_l2 * np.sum(layer.weights * layer.weights)
            if layer.bias_regularizer_l2 > 0:
                regularization_loss += layer.bias_regularizer_l2 * np.sum(layer.biases * layer.biases)
        return regularization_loss


class Loss_CategoricalCrossentropy(Loss):
    """Minus the logarithm of the probability given to the right class."""

    def forward(self, y_pred, y_true):
        samples = len(y_pred)
        y_pred_clipped = np.clip(y_pred, 1e-7, 1 - 1e-7)
        correct_confidences = y_pred_clipped[range(samples), y_true]
        return -np.log(correct_confidences)


class Activation_Softmax_Loss_CategoricalCrossentropy:
    """The two together, for the short backward: probabilities minus one-hot labels."""

    def __init__(self):
        self.activation = Activation_Softmax()
        self.loss = Loss_CategoricalCrossentropy()

    def forward(self, inputs, y_true):
        self.activation.forward(inputs)
        self.output = self.activation.output
        return self.loss.calculate(self.output, y_true)

    def backward(self, dvalues, y_true):
        samples = len(dvalues)
        self.dinputs = dvalues.copy()
        self.dinputs[range(samples), y_true] -= 1
        self.dinputs = self.dinputs / samples


class Loss_MeanSquaredError(Loss):
    """The mean of the squared differences."""

    def forward(self, y_pred, y_true):
        return np.mean((y_true - y_pred) ** 2, axis=-1)

    def backward(self, dvalues, y_true):
        samples = len(dvalues)
        outputs = len(dvalues[0])
        self.dinputs = -2 * (y_true - dvalues) / outputs
        self.dinputs = self.dinputs / samples


class Optimizer_Adam:
    """Momentums and caches for each layer, corrected for their start at zero."""

    def __init__(self, learning_rate=0.001, epsilon=1e-7, beta_1=0.9, beta_2=0.999):
        self.learning_rate = learning_rate
        self.iterations = 0
        self.epsilon = epsilon
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def update_params(self, layer):
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

    def post_update_params(self):
        self.iterations += 1


class Book:
    """The loop around the classes: one call is one training step."""

    def __init__(self, workload, x, y, weights):
        self.x, self.y = x, y
        penalties = [workload.l2] + [0.0] * (len(weights) - 1)
        self.dense = [Layer_Dense(w, b, l2, l2) for (w, b), l2 in zip(weights, penalties, strict=True)]
        self.activations = [Activation_ReLU() for _ in weights[1:]]
        self.classifies = workload.classifies
        if self.classifies:
            self.loss_activation = Activation_Softmax_Loss_CategoricalCrossentropy()
            self.loss_function = self.loss_activation.loss
        else:
            self.head = Activation_Linear()
            self.loss_function = Loss_MeanSquaredError()
        self.optimizer = Optimizer_Adam(learning_rate=workload.learning_rate)

    def step(self):
        """One update on the batch; the loss before it."""
        output = self.x
        for dense, activation in zip(self.dense, self.activations, strict=False):
            dense.forward(output)
            activation.forward(dense.output)
            output = activation.output
        self.dense[-1].forward(output)

        if self.classifies:
            data_loss = self.loss_activation.forward(self.dense[-1].output, self.y)
            self.loss_activation.backward(self.loss_activation.output, self.y)
            gradient = self.loss_activation.dinputs
        else:
            self.head.forward(self.dense[-1].output)
            data_loss = self.loss_function.calculate(self.head.output, self.y)
            self.loss_function.backward(self.head.output, self.y)
            self.head.backward(self.loss_function.dinputs)
            gradient = self.head.dinputs
        loss = data_loss + self.loss_function.regularization_loss(self.dense)

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
