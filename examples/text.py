"""A text classifier: words become vectors, a text is the mean of its words, and a Dense layer says what it is about.

The texts are made up: short sentences about cooking, football and the weather, with words that all three share. Words
are numbered by how often they occur; 0 fills short texts up, 1 stands for words that the training never saw. The
vectors have two numbers only, so that the picture can show each test text as a point, and the region of each topic.
Nobody told the network which words belong together.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import nnxp
from _shared import command, save, table
from nnxp import layers, losses, optimizers, plotting

TOPICS = {
    "cooking": "soup pan salt onion butter oven slice boil taste flour recipe garlic stir",
    "football": "goal ball match referee team kick league striker win corner penalty coach pass",
    "weather": "rain wind cloud storm sun cold snow degrees fog warm thunder forecast sky",
}
SHARED = "the a we and then it was in of today again very with our for they had some little good late"
FILL, UNKNOWN = 0, 1
LENGTH = 14


def run(backend: str | nnxp.Backend, picture: Path, epochs: int) -> float:
    """Train, print, draw; the share of the test texts that is right."""
    texts, topics = write(900, seed=0)
    numbers = vocabulary(texts[:600])
    x, y = encode(texts, numbers), np.array(topics)
    model = network(len(numbers) + 2, backend)
    history = model.fit(
        x[:600], y[:600], epochs=epochs, batch_size=32, validation_data=(x[600:750], y[600:750]), progress="off"
    )
    shown = sorted({1, *range(max(epochs // 5, 1), epochs + 1, max(epochs // 5, 1)), epochs})
    rows = [(n, history["loss"][n - 1], history["val_accuracy"][n - 1]) for n in shown]
    table(("epoch", "loss", "validation accuracy"), rows)

    test_x, test_y = x[750:], y[750:]
    accuracy = model.evaluate(test_x, test_y)["accuracy"]
    print(f"test accuracy: {accuracy:.1%} of {len(test_y)}")
    print(f"{' '.join(texts[750])!r} is about {list(TOPICS)[int(model.predict(test_x[:1]).argmax())]}")
    draw(model, test_x, test_y, picture)
    return accuracy


def write(count: int, seed: int) -> tuple[list[list[str]], list[int]]:
    """So many texts of 6 to 14 words, and their topics. Four words in ten tell the topic, a few a wrong one."""
    random = np.random.default_rng(seed)
    words = [topic.split() for topic in TOPICS.values()]
    texts, topics = [], random.integers(0, len(words), count).tolist()
    for topic in topics:
        length = int(random.integers(6, LENGTH + 1))
        kinds = random.choice(3, length, p=[0.52, 0.43, 0.05])  # shared, of the topic, of any topic
        pools = [(SHARED.split(), words[topic], words[int(random.integers(len(words)))])[kind] for kind in kinds]
        texts.append([str(random.choice(pool)) for pool in pools])
    return texts, topics


def vocabulary(texts: Sequence[Sequence[str]]) -> dict[str, int]:
    """A number for each word, the most frequent first."""
    counts = Counter(word for text in texts for word in text)
    return {word: number for number, (word, _) in enumerate(counts.most_common(), start=UNKNOWN + 1)}


def encode(texts: Sequence[Sequence[str]], numbers: dict[str, int]) -> np.ndarray:
    """``x[N, LENGTH]``: the numbers of the words."""
    x = np.full((len(texts), LENGTH), FILL)
    for row, text in zip(x, texts, strict=True):
        row[: len(text)] = [numbers.get(word, UNKNOWN) for word in text]
    return x


def network(words: int, backend: str | nnxp.Backend) -> nnxp.Model:
    """Two numbers for each word, their mean, and one Dense layer."""
    return nnxp.Model(
        [layers.Embedding(words, 2), layers.GlobalAveragePool1D(), layers.Dense(len(TOPICS)), layers.Softmax()],
        loss=losses.CategoricalCrossentropy(),
        optimizer=optimizers.Adam(0.02),
        metrics=["accuracy"],
        backend=backend,
    )


def draw(model: nnxp.Model, x: np.ndarray, y: np.ndarray, picture: Path) -> None:
    """Each text where its words' mean lies, over the regions of the topics."""
    embedding, mean, dense, softmax = model.layers
    asarray, to_numpy = model.backend.asarray, model.backend.to_numpy
    points = to_numpy(mean.forward(embedding.forward(asarray(x))))

    def predict(plane: np.ndarray) -> np.ndarray:
        return to_numpy(softmax.forward(dense.forward(asarray(plane, dtype=model.backend.dtype))))

    title = "Texts about " + ", ".join(TOPICS)
    save(plotting.decision_boundary(predict, points, y, title=title, class_names=list(TOPICS)), picture)


if __name__ == "__main__":
    command(run, __doc__, picture="text.png", epochs=20)
