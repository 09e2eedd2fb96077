"""Random search as chapter 6 of *Neural Networks from Scratch* writes it: 71 improvements in 10,000 iterations.

Each iteration adds 0.05·N(0, 1) to every weight and bias, computes the loss of all samples, and keeps the new weights
where it is lower than ever before; else it goes back to the best ones. Look at the picture: most of what is won is won
at the beginning, because the better the weights are, the rarer is a random change that improves them.
"""

from pathlib import Path

import numpy as np

import nnxp
import nnxp.compat.nnfs as nnfs
from _shared import command, save
from nnxp import plotting
from nnxp.compat.nnfs import (
    Activation_ReLU,
    Activation_Softmax,
    Layer_Dense,
    Loss_CategoricalCrossentropy,
    spiral_data,
)


def run(backend: str | nnxp.Backend, picture: Path, epochs: int) -> list[tuple[int, float, float]]:
    """Search, print, draw; the improvements."""
    nnfs.init(backend)
    found = search(nnxp.get_backend(backend), epochs)
    print(f"{len(found)} improvements")
    iterations, losses, _ = zip(*found, strict=True)
    best = np.asarray(losses)[np.searchsorted(iterations, np.arange(epochs), side="right") - 1]
    title = f"The book's random search: {len(found)} improvements"
    figure = plotting.lines(range(epochs), {"best loss so far": best}, xlabel="iteration", ylabel="loss", title=title)
    save(figure, picture)
    return found


def search(backend: nnxp.Backend, iterations: int) -> list[tuple[int, float, float]]:
    """Iteration, loss and accuracy of each improvement."""
    X, y = spiral_data(samples=100, classes=3)
    y_host = backend.to_numpy(y)
    dense1, activation1 = Layer_Dense(2, 3), Activation_ReLU()
    dense2, activation2 = Layer_Dense(3, 3), Activation_Softmax()
    loss_function = Loss_CategoricalCrossentropy()

    lowest_loss = 9999999
    best = [backend.to_numpy(w) for layer in (dense1, dense2) for w in layer.get_parameters()]
    found = []
    for iteration in range(iterations):
        tried = [w + 0.05 * normal(w.shape) for w in best]
        dense1.set_parameters(*tried[:2])
        dense2.set_parameters(*tried[2:])

        dense1.forward(X)
        activation1.forward(dense1.output)
        dense2.forward(activation1.output)
        activation2.forward(dense2.output)
        loss = loss_function.calculate(activation2.output, y)
        if loss < lowest_loss:
            accuracy = np.mean(backend.to_numpy(activation2.predictions(activation2.output)) == y_host)
            print("New set of weights found, iteration:", iteration, "loss:", loss, "acc:", accuracy)
            found.append((iteration, float(loss), float(accuracy)))
            best, lowest_loss = tried, loss
    return found


def normal(shape: tuple[int, ...]) -> np.ndarray:
    """The next draws of NumPy's legacy stream, rounded to float32, as the book's package has them."""
    return np.random.randn(*shape).astype(np.float32)


if __name__ == "__main__":
    command(run, __doc__, picture="random_search_book.png", epochs=10_000)
