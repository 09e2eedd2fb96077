"""Plans: bound to buffers they compute what the records say, in every step, and share no memory that is still read."""

import gc
import tracemalloc
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest

import nnxp
from nnxp.layers import (
    ELU,
    GELU,
    SELU,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GELUTanh,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    HardSigmoid,
    HardTanh,
    Lambda,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool2D,
    Mish,
    ReLU,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Step,
    Tanh,
)
from nnxp.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    Huber,
    KLDivergence,
    MeanAbsoluteError,
    MeanSquaredError,
)
from nnxp.metrics import RegressionAccuracy
from nnxp.ops import ELEMENTWISE, VIEWS
from nnxp.ops.record import Record
from nnxp.optimizers import SGD, Adagrad, Adam, RMSprop
from nnxp.regularizers import L1, L1L2, L2
from nnxp.training import engine
from nnxp.training.joined import ONES, parts
from nnxp.training.plan import Plan

ROWS, BATCH, INPUTS, OUTPUTS = 6, 4, 4, 4
"""Six rows in batches of four: every pass has a whole batch and a ragged one."""

KEPT_PLANS = 16


class Same(Layer):
    """Hands on the very arrays that it gets."""

    def forward(self, x, *, training=False):
        return x

    def backward(self, dy):
        return dy


class Square(Layer):
    """y = x²; keeps x."""

    def forward(self, x, *, training=False):
        self.x = x
        return x * x

    def backward(self, dy):
        return 2 * self.x * dy


class Scale(Layer):
    """y = x · s, with one s for each feature."""

    def build(self, input_shape, backend):
        self.xp = backend.xp
        self.scale = backend.asarray(np.linspace(0.5, 1.5, input_shape[0]))
        return input_shape

    def forward(self, x, *, training=False):
        self.x = x
        return x * self.scale

    def backward(self, dy):
        self.scale_gradient = self.xp.sum(dy * self.x, axis=0)
        return dy * self.scale

    def parameters(self):
        return {"scale": self.scale}

    def gradients(self):
        return {"scale": self.scale_gradient}

    def regularizers(self):
        return {"scale": L2(0.1)}


@dataclass
class Case:
    layers: object
    loss: object
    targets: str = "real"
    optimizer: object = SGD(0.1)
    sample: tuple = (INPUTS,)
    indices: int = 0
    """Where features are indices: how many."""


def _penalized():
    return Dense(4, weight_regularizer=L2(0.02), bias_regularizer=L1(0.01))


def _penalized5():
    return Dense(5, weight_regularizer=L2(0.02), bias_regularizer=L2(0.02))


def sine(xp, x):
    return xp.sin(x)


def sine_backward(xp, dy, x):
    return dy * xp.cos(x)


def doubled(xp, x):
    return 2 * xp.tanh(x)


def doubled_backward(xp, dy, y):
    return dy * (2 - y * y / 2)


def pairs(xp, x):
    return xp.sum(x * x, axis=-1)


def pairs_backward(xp, dy, x):
    return 2 * x * dy[..., None]


def alias(xp, x):
    return x


def alias_backward(xp, dy, x):
    return dy


MSE, MAE = MeanSquaredError(), MeanAbsoluteError()
CCE, BCE = CategoricalCrossentropy(), BinaryCrossentropy()

CASES = {
    "one": Case(lambda: [Dense(4)], MSE),
    "widths": Case(lambda: [Dense(5), Tanh(), Dense(3), Tanh(), Dense(4)], MSE, optimizer=Adam(0.05)),
    "activations": Case(
        lambda: [Dense(4), Tanh(), Dense(4), ReLU(), Dense(4), Sigmoid(), Dense(4), Softmax(), Dense(4), Linear()], MSE
    ),
    "activations that read their input": Case(
        lambda: [
            *(Dense(4), GELU(), Dense(4), SiLU(), Dense(4), Mish(), Dense(4), GELUTanh()),
            *(Dense(4), Softsign(), Dense(4), GELU(), SiLU(), Softsign(), Mish()),
        ],
        MSE,
    ),
    "activations with a number": Case(
        lambda: [
            *(Dense(4), LeakyReLU(0.2), Dense(4), ELU(0.5), Dense(4), SELU(), Softplus()),
            *(Dense(4), HardSigmoid(), Dense(4), HardTanh(), Dense(4), LogSoftmax()),
        ],
        MSE,
    ),
    "activations in a row": Case(lambda: [Tanh(), Dense(4), ReLU(), Tanh(), Sigmoid(), Softmax(), Tanh()], MSE),
    "dropout": Case(lambda: [Dropout(0.3), Dense(4), ReLU(), Dropout(0.5), Dropout(0.0), Dense(4)], MSE),
    "flatten first": Case(lambda: [Flatten(), Dense(4), ReLU(), Dense(4)], MSE, sample=(2, 2)),
    "flatten all over": Case(lambda: [Flatten(), ReLU(), Dense(4), Flatten(), Tanh(), Flatten(), Dense(4)], MSE),
    "flatten last": Case(lambda: [Dense(4), ReLU(), Flatten()], MSE),
    "nested": Case(lambda: [Sequential([Dense(4), Sequential([ReLU(), Dropout(0.2)])]), Sequential([Dense(4)])], MSE),
    "penalties": Case(lambda: [_penalized(), ReLU(), _penalized()], MSE, optimizer=SGD(0.05, momentum=0.9)),
    "penalties sum": Case(lambda: [_penalized(), Tanh(), _penalized()], MeanSquaredError(reduction="sum")),
    "penalties in pairs": Case(
        lambda: [
            Dense(4, weight_regularizer=L1L2(0.01, 0.02), bias_regularizer=L1L2(0.03, 0.04)),
            Tanh(),
            _penalized(),
        ],
        MSE,
        optimizer=Adagrad(0.05),
    ),
    "step": Case(
        lambda: [Dense(5), Tanh(), Dense(4), Step(), Dense(4), Step(), Dense(4)], MSE, optimizer=RMSprop(0.01)
    ),
    "absolute": Case(lambda: [Dense(4), Tanh(), Dense(4)], MAE, optimizer=Adam(0.05, clip_norm=0.5)),
    "absolute sum": Case(lambda: [Dense(4), Tanh()], MeanAbsoluteError(reduction="sum"), optimizer=SGD(0.02)),
    "softmax head": Case(lambda: [Dense(4), ReLU(), Dense(4), Softmax()], CCE, "classes"),
    "softmax head, probabilities": Case(lambda: [Dense(4), Tanh(), Dense(4), Softmax()], CCE, "probabilities"),
    "softmax head alone": Case(lambda: [Softmax()], CCE, "classes"),
    "softmax head sum": Case(lambda: [Dense(4), Softmax()], CategoricalCrossentropy(reduction="sum"), "classes"),
    "softmax no head": Case(lambda: [Dense(4), Softmax(), Same()], CCE, "classes"),
    "class logits": Case(lambda: [Dense(4), ReLU(), Dense(4)], CategoricalCrossentropy(from_logits=True), "classes"),
    "softmax no head, then class logits": Case(
        lambda: [Dense(4), Softmax(), Same()], CategoricalCrossentropy(from_logits=True), "classes"
    ),
    "sigmoid head": Case(lambda: [_penalized(), ReLU(), Dense(4), Sigmoid()], BCE, "binary"),
    "sigmoid head nested": Case(lambda: [Dense(4), Sequential([Dense(4), Sigmoid()])], BCE, "binary"),
    "sigmoid no head": Case(lambda: [Dense(4), Sigmoid(), Same()], BCE, "binary"),
    "binary logits": Case(lambda: [Dense(4), Tanh(), Dense(4)], BinaryCrossentropy(from_logits=True), "binary"),
    "own first": Case(lambda: [Square(), Dense(4)], MSE),
    "own first with parameters": Case(lambda: [Scale(), Dense(4)], MSE, optimizer=Adam(0.05)),
    "own in the middle": Case(lambda: [Dense(4), Tanh(), Square(), Dense(4), Scale(), ReLU(), Dense(4)], MSE),
    "own last": Case(lambda: [Dense(4), Tanh(), Square()], MSE),
    "own last with parameters": Case(lambda: [Dense(4), ReLU(), Scale()], MSE, optimizer=SGD(0.1, momentum=0.5)),
    "own alone": Case(lambda: [Scale()], MSE),
    "aliases first": Case(lambda: [Same(), Dense(4), ReLU(), Dense(4)], MSE),
    "aliases in the middle": Case(lambda: [Dense(4), ReLU(), Same(), Tanh(), Same(), Dense(4)], MSE),
    "aliases last": Case(lambda: [Dense(4), ReLU(), Same()], MSE),
    "aliases last of probabilities": Case(lambda: [Dense(4), Tanh(), Dense(4), Sigmoid(), Same()], BCE, "binary"),
    "images": Case(
        lambda: [
            *(Conv2D(3, 3, padding="same", weight_regularizer=L2(0.02)), ReLU(), MaxPool2D()),
            *(Conv2D(4, 2, bias_regularizer=L1(0.01)), Tanh(), AveragePool2D((1, 2), strides=1, padding="same")),
            *(Flatten(), Dense(4), Softmax()),
        ],
        CCE,
        "classes",
        optimizer=Adam(0.05),
        sample=(5, 4, 2),
    ),
    "images from numbers": Case(
        lambda: [
            *(Reshape((4, 4, 1)), Conv2D(3, 2, strides=2, padding="same"), MaxPool2D(2, strides=1, padding="same")),
            *(Conv2D(4, (1, 2), padding=(0, 1)), Sigmoid(), GlobalAveragePool2D()),
        ],
        MSE,
        sample=(16,),
    ),
    "images last": Case(lambda: [Conv2D(1, 2), MaxPool2D(), Flatten()], MSE, sample=(5, 5, 2)),
    "tokens": Case(
        lambda: [GlobalAveragePool1D(), Dense(6), Reshape((3, -1)), Flatten(), Dense(4)], MSE, sample=(3, 2)
    ),
    "residual first": Case(lambda: [Residual([Dense(6), ReLU(), Dense(4)]), Dense(4)], MSE, optimizer=Adam(0.05)),
    "residual in the middle": Case(lambda: [Dense(5), Tanh(), Residual([_penalized5(), ReLU()]), Dense(4)], MSE),
    "residual last": Case(lambda: [Dense(4), ReLU(), Residual([Dense(4), Tanh()])], MSE),
    "residual with a head inside": Case(lambda: [Dense(4), Residual([Dense(4), Softmax()]), Softmax()], CCE, "classes"),
    "residuals in a row": Case(
        lambda: [Residual(Dense(4)), Residual(Tanh()), Residual(ReLU()), Residual(Linear())], MSE
    ),
    "residuals in residuals": Case(
        lambda: [Residual([Residual([Dense(3), Residual(ReLU()), Dense(4)]), Residual(Tanh())]), Dense(4)], MSE
    ),
    "residual with dropout": Case(lambda: [Residual([Dropout(0.3), Dense(4), Residual(Dropout(0.5))]), Dense(4)], MSE),
    "residual flat": Case(
        lambda: [Flatten(), Residual([Flatten(), Dense(4), Flatten()]), Dense(4)], MSE, sample=(2, 2)
    ),
    "residual begins with own": Case(
        lambda: [Residual([Scale(), Dense(4)]), Residual([Square(), Dense(4)])], MSE, optimizer=SGD(0.01)
    ),
    "residual aliases": Case(lambda: [Residual(Same()), Dense(4), ReLU(), Residual([Same()]), Tanh()], MSE),
    "residual aliases in dense": Case(lambda: [Dense(4), Residual([Same(), Dense(4), Same()]), Dense(4)], MSE),
    "lambda first": Case(lambda: [Lambda(sine, sine_backward), Dense(4)], MSE),
    "lambda in the middle": Case(lambda: [Dense(3), ReLU(), Lambda(sine, sine_backward), Tanh(), Dense(4)], MSE),
    "lambda last": Case(lambda: [Dense(4), Tanh(), Lambda(doubled, doubled_backward, reads="y")], MSE),
    "lambda of another shape": Case(lambda: [Lambda(pairs, pairs_backward), Dense(4)], MSE, sample=(2, 3)),
    "lambda that aliases": Case(lambda: [Dense(4), ReLU(), Lambda(alias, alias_backward), Tanh(), Dense(4)], MSE),
    "lambda in a residual": Case(lambda: [Residual([Lambda(alias, alias_backward), Dense(4)]), Tanh()], MSE),
    "no parameters": Case(lambda: [Tanh(), Linear()], MSE),
    # by SGD: biases in front of a normalization have a gradient of roundings alone, which Adam makes large
    "batch norm": Case(lambda: [BatchNorm(), Dense(5), BatchNorm(momentum=0.5), Tanh(), Dense(4), BatchNorm()], MSE),
    "row norms": Case(
        lambda: [RMSNorm(), Dense(5), LayerNorm(), Tanh(), Dense(4), Sequential([RMSNorm(), LayerNorm()])], MSE
    ),
    "norms of images": Case(lambda: [BatchNorm(), LayerNorm(), RMSNorm(), Flatten(), Dense(4)], MSE, sample=(2, 1, 2)),
    "embedding": Case(
        lambda: [Embedding(6, 2), Flatten(), Dense(4), Softmax()], CCE, "classes", Adam(0.05), sample=(3,), indices=6
    ),
    "smooth softmax head": Case(
        lambda: [Dense(4), ReLU(), Dense(4), Softmax()], CategoricalCrossentropy(label_smoothing=0.1), "classes"
    ),
    "class weights": Case(
        lambda: [Dense(4), Softmax()],
        CategoricalCrossentropy(class_weights=[1, 2, 0, 0.5], reduction="sum"),
        "probabilities",
    ),
    "divergence": Case(lambda: [Dense(4), Softmax()], KLDivergence(), "probabilities"),
    "positive weights": Case(
        lambda: [Dense(4), Sigmoid()], BinaryCrossentropy(positive_weight=[1, 2, 0, 0.5]), "binary"
    ),
    "huber": Case(lambda: [Dense(4), Tanh(), Dense(4)], Huber(delta=0.5)),
    "hinge": Case(lambda: [Dense(4), Tanh(), Dense(4)], Hinge(), "binary"),
}

OWN = ("own", "alias", "no head", "lambda")
BUILT_IN = [name for name in CASES if not any(word in name for word in OWN)]


def data(case, array):
    """Features and targets of a case; read-only on NumPy."""
    random = np.random.default_rng(7)
    shape = (ROWS, *case.sample)
    x = random.integers(0, case.indices, shape) if case.indices else random.normal(size=shape)
    targets = {
        "real": random.normal(size=(ROWS, OUTPUTS)),
        "classes": np.array([0, 3, 1, 2, 3, 0]),
        "probabilities": random.dirichlet(np.ones(OUTPUTS), ROWS),
        "binary": random.integers(0, 2, (ROWS, OUTPUTS)).astype(float),
    }
    return array(x), array(targets[case.targets])


def build(case, backend, *, planned=True):
    metrics = [RegressionAccuracy(1.0)] if case.targets == "real" else ["accuracy"]
    model = nnxp.Model(case.layers(), loss=case.loss, optimizer=case.optimizer, metrics=metrics, backend=backend)
    model.build(case.sample)
    model.engine.planned = planned
    return model


def life(model, x, y):
    """What a model says in a life of training and being asked, with whole and ragged batches in between."""
    host, seen = model.backend.to_numpy, []
    whole, rest = (x[:BATCH, ...], y[:BATCH, ...]), (x[BATCH:, ...], y[BATCH:, ...])
    for part in (whole, whole, rest, whole):
        seen.append(host(model.train_step(*part)))
    seen += model.evaluate(x, y, batch_size=BATCH).values()
    loss, gradients = model.loss_and_gradients(*whole)
    seen += [host(loss), *gradients.values()]
    seen += model.fit(x, y, epochs=2, batch_size=BATCH, progress="off").values()
    seen.append(host(model.predict(x, batch_size=BATCH)))
    loss, gradients = model.loss_and_gradients(*rest, training=False)
    seen += [host(loss), *gradients.values()]
    seen.append(host(model.train_step(*rest)))
    return seen + list(model.state_dict().values())


@pytest.mark.parametrize("name", CASES)
def test_planned_equals_unplanned(donating_backend, backend, array, name):
    case = CASES[name]
    x, y = data(case, array)
    planned = life(build(case, donating_backend), x, y)
    plain = life(build(case, backend, planned=False), x, y)
    # Fused and in-place kernels round in another order: a few ULP a step, seven steps.
    tolerance = 400 * float(backend.xp.finfo(backend.dtype).eps)
    assert len(planned) == len(plain)
    for a, b in zip(planned, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["softmax head", "aliases last", "aliases last of probabilities", "flatten last"])
def test_metrics_of_training_see_the_predictions(donating_backend, array, name):
    # The accuracy in the history is that of predict before the update: later records must not write over it.
    case = CASES[name]
    x, y = data(case, array)
    model = build(case, donating_backend)
    for _ in range(3):
        before = model.evaluate(x, y)
        history = model.fit(x, y, progress="off")
        assert history["accuracy"] == [before["accuracy"]]


def plans(model):
    """The plans that a model keeps."""
    return list(model.engine._plans.values())


# -- what a plan leaves out


def counting(backend, *names):
    """The backend with ops that count their calls on data, bound or not, and the counts."""
    counts = dict.fromkeys(names, 0)

    def count(name, arguments):
        counts[name] += bool(arguments[0].shape[0])  # an empty batch only shows shapes

    def counted(name):
        op = getattr(backend.ops, name)

        def call(*arguments, **options):
            count(name, arguments)
            return op(*arguments, **options)

        return call

    def counted_kernel(name):
        kernel = backend.ops.kernels[name]

        def bind(*arguments, **options):
            bound = kernel(*arguments, **options)
            return lambda: (count(name, arguments), bound())[1]

        return bind

    kernels = {name: counted_kernel(name) for name in names if name in backend.ops.kernels}
    ops = replace(backend.ops, **{name: counted(name) for name in names}, kernels={**backend.ops.kernels, **kernels})
    return replace(backend, ops=ops), counts


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize(
    ("layers", "op", "calls"),
    [
        (lambda: [Dense(4)], "linear_input_gradient", 0),
        (lambda: [Dense(4), ReLU(), Dense(4)], "linear_input_gradient", 1),
        (lambda: [Sequential([Dense(4)]), ReLU(), Dense(4)], "linear_input_gradient", 1),
        (lambda: [ReLU(), Dense(4)], "relu_backward", 0),
        (lambda: [Tanh(), ReLU(), Dense(4)], "linear_input_gradient", 0),
    ],
    ids=["one", "two", "nested", "activation", "activations"],
)
def test_the_first_gradient_of_x_is_not_computed(backend, array, planned, layers, op, calls):
    backend, counts = counting(backend, op)
    case = Case(layers, MSE)
    model = build(case, backend, planned=planned)
    x, y = data(case, array)
    for _ in range(3):
        model.train_step(x, y)
    assert counts[op] == 3 * calls


def test_no_record_makes_the_first_gradient_of_x(backend):
    model = build(CASES["softmax head"], backend)
    x, y = data(CASES["softmax head"], backend.asarray)
    model.train_step(x, y)
    made = {name for step in plans(model)[0].records for name in step.outputs}
    assert "2.dx" in made
    assert "0.dx" not in made


@pytest.mark.parametrize(("layers", "asked"), [((Square, Dense), False), ((Scale, Dense), True)])
def test_backward_of_an_own_first_layer_runs_only_for_its_parameters(backend, array, layers, asked):
    first, second = layers[0](), layers[1](4)
    calls = []
    backward = first.backward
    first.backward = lambda dy: (calls.append(1), backward(dy))[1]
    case = Case(lambda: [first, second], MSE)
    build(case, backend).train_step(*data(case, array))
    assert bool(calls) == asked


def test_predict_runs_no_loss_and_no_backward(backend, array):
    names = ("squared_error", "squared_error_backward", "linear_weight_gradient")
    backend, counts = counting(backend, *names)
    case = CASES["one"]
    x, y = data(case, array)
    model = build(case, backend)
    model.predict(x)
    assert counts == dict.fromkeys(names, 0)
    model.evaluate(x, y)
    assert counts == {"squared_error": 1, "squared_error_backward": 0, "linear_weight_gradient": 0}


# -- how many plans


def test_the_number_of_kept_plans_is_bounded(backend):
    model = build(Case(lambda: [Linear()], MSE), backend)
    for rows in range(1, KEPT_PLANS + 4):
        model.predict(backend.asarray(np.ones((rows, INPUTS))))
    assert 1 <= len(plans(model)) <= KEPT_PLANS


def test_a_forgotten_plan_is_made_again(random):
    x, y = random.normal(size=(40, INPUTS)), random.normal(size=(40, OUTPUTS))
    sizes = [40, *range(1, KEPT_PLANS + 4), 40, 3]
    results = []
    for planned in (True, False):
        model = build(CASES["widths"], "numpy", planned=planned)
        results.append([float(model.train_step(x[:size], y[:size])) for size in sizes])
    # 1e-5: as above, over 22 steps of float32
    np.testing.assert_allclose(*results, rtol=1e-5)


# -- memory


@dataclass
class Call:
    """One call of a plan: its record, its arrays, and copies of them from that moment."""

    step: Record
    inputs: list
    outputs: list
    read: list
    made: list


def _copy(a):
    return np.array(a) if isinstance(a, np.ndarray) else a


@pytest.fixture
def log(monkeypatch):
    """A list in which every plan notes what each of its calls reads and makes."""
    log = []

    class Watched(Plan):
        def _watch(self, step, call):
            def watched():
                inputs = [self._values[name] for name in step.inputs]
                read = [_copy(a) for a in inputs]
                call()
                outputs = [self._values[name] for name in step.outputs]
                log.append(Call(step, inputs, outputs, read, [_copy(a) for a in outputs]))

            return watched

        def _bound(self, step):
            return self._watch(step, super()._bound(step))

        def _by_name(self, step):
            return self._watch(step, super()._by_name(step))

    monkeypatch.setattr(engine, "Plan", Watched)
    return log


def apart(names, arrays):
    """Values by name; what stands under a joint name, one by one. A column of ones is ones, always."""
    for name, a in zip(names, arrays, strict=True):
        first, second = parts(name)
        if second == ONES:
            np.testing.assert_array_equal(a[:, -1], np.ones(a.shape[0]))
            yield first, a[:, :-1]
        elif second:
            yield first, a[:-1]
            yield second, a[-1]
        else:
            yield name, a


def traced(name, backend, log):
    """A steady run of a case's training plan on NumPy, in ``log``; the plan, and the batch."""
    case = CASES[name]
    model = build(case, backend)
    x, y = data(case, backend.asarray)
    for _ in range(3):
        log.clear()
        model.engine.train(x, y, predictions=True)
    [plan] = plans(model)
    network = plan.network
    made = {name for call in log for name, _ in apart(call.step.outputs, call.made)}
    assert made >= {*network.outputs.values(), *network.gradients.values()} - {"x"}
    return plan, x


@pytest.fixture(params=["honour", "drop", "poison"])
def numpy_backend(request):
    backend = nnxp.get_backend("numpy")
    if request.param == "honour":
        return backend
    return replace(backend, ops=backend.ops.without_donation(poison=request.param == "poison"))


def test_what_is_watched_is_bound(log):
    """The two tests below would prove little of plans that call by name."""
    traced("softmax head", nnxp.get_backend("numpy"), log)
    assert any(parts(name)[1] for call in log for name in call.step.inputs)
    assert {call.step.op for call in log} >= {"matmul", "softmax_categorical_crossentropy", "relu_backward"}


@pytest.mark.parametrize("name", CASES)
def test_every_value_is_read_as_it_was_made(numpy_backend, name, log):
    plan, x = traced(name, numpy_backend, log)
    made = {"x": x}
    for call in log:
        for value, read in apart(call.step.inputs, call.read):
            if value in made:
                np.testing.assert_array_equal(read, made[value], err_msg=f"{value}, read by {call.step.op}")
        made |= dict(apart(call.step.outputs, call.made))
    clipped = getattr(CASES[name].optimizer, "clip_norm", None)  # in place, by the update
    for key, value in () if clipped else plan.network.gradients.items():
        written = plan.gradients[key]
        np.testing.assert_array_equal(written, made[value], err_msg=f"{value}, as the update reads it")


@pytest.mark.parametrize("name", BUILT_IN)
def test_values_with_overlapping_lives_share_no_memory(name, log):
    plan, x = traced(name, nnxp.get_backend("numpy"), log)
    arrays, birth, death = {}, {}, {}
    for index, call in enumerate(log):
        for value, array in apart(call.step.inputs, call.inputs):
            death[value] = index
            if value == "x" and array is not x:  # the copy beside the ones, made before all calls
                arrays[value], birth[value] = array, -1
        if call.step.op not in VIEWS:  # a view shares by right; what it shows is covered by the test above
            made = dict(apart(call.step.outputs, call.outputs))
            arrays |= made
            birth |= dict.fromkeys(made, index)
    for value in (*plan.network.outputs.values(), *plan.network.gradients.values()):
        death[value] = len(log)
    for a, b in combinations(arrays, 2):
        first, second = sorted((a, b), key=birth.__getitem__)
        ends, begins = death.get(first, birth[first]), birth[second]
        in_place = ends == begins and log[begins].step.op in ELEMENTWISE
        if (ends >= begins and not in_place) and np.shares_memory(arrays[first], arrays[second]):
            pytest.fail(f"{first} (read until call {ends}) and {second} (made by call {begins}) share memory")


def test_buffers_are_reused_in_every_step(log):
    case = CASES["softmax head"]
    model = build(case, "numpy")
    x, y = data(case, model.backend.asarray)
    places = []
    for _ in range(4):
        log.clear()
        model.train_step(x, y)
        honouring = [call for call in log if call.step.op in model.backend.ops.honours]
        made = [value for call in honouring for _, value in apart(call.step.outputs, call.outputs)]
        places.append([a.ctypes.data for a in made if isinstance(a, np.ndarray)])
    assert len(places[-1]) >= 7  # two lines, one activation with its gradient, and the gradients of four parameters
    assert places[-1] == places[-2]


@pytest.mark.parametrize("name", BUILT_IN)
def test_values_of_one_shape_lie_alike(name):
    """So that an op over elements sees one line of memory, and what is reshaped is not copied."""
    case = CASES[name]
    model = build(case, "numpy")
    x, y = data(case, model.backend.asarray)
    model.train_step(x, y)
    [plan] = plans(model)
    ways = {}
    for view in (plan.workspace.views if plan.workspace else {}).values():
        if view.ndim == 2 and 1 not in view.shape:
            ways.setdefault(view.shape, set()).add(view.flags.f_contiguous)
    assert all(len(way) == 1 for way in ways.values())
    viewed = {value for step in plan.records if step.op in VIEWS for value in (*step.inputs, *step.outputs)}
    assert all(plan.workspace.views[value].flags.c_contiguous for value in viewed & plan.workspace.views.keys())


@pytest.mark.parametrize("planned", [True, False])
def test_dropout_is_that_of_the_step(backend, array, planned):
    """A plan that is used again draws anew for each update, and the same for the same one."""
    case = CASES["dropout"]
    model = build(case, backend, planned=planned)
    x, y = data(case, array)
    seen = []
    for step in (0, 1, 2, 0, 1, 2):
        model.engine.step = step
        seen.append(float(model.loss_and_gradients(x, y)[0]))
    assert seen[:3] == seen[3:]
    assert len(set(seen)) == 3


def peak_of_steady_steps(planned):
    """What five training steps hold at the end and at most, above what was held before, in largest activations."""
    rows = width = 128
    random = np.random.default_rng(0)
    layers = [Dense(width), ReLU(), Dense(width), Tanh(), Dense(width), ReLU(), Dense(8), Softmax()]
    model = nnxp.Model(layers, loss=CCE, optimizer=Adam(0.001))
    model.build((width,))
    model.engine.planned = planned
    x, y = random.normal(size=(rows, width)).astype(np.float32), random.integers(0, 8, rows)
    for _ in range(3):
        model.train_step(x, y)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            model.train_step(x, y)
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / (rows * width * 4), (peak - before) / (rows * width * 4)


def test_a_steady_step_allocates_next_to_nothing():
    kept, peak = peak_of_steady_steps(planned=True)
    assert kept < 0.1
    assert peak < 1.5  # the mask of one activation's backward, for as long as that op runs
    assert peak_of_steady_steps(planned=False)[1] > 5  # all activations and gradients: what the measure would show


@pytest.mark.parametrize("name", ["softmax head", "penalties", "absolute", "own last"])
def test_results_never_change_afterwards(donating_backend, array, name):
    case = CASES[name]
    x, y = data(case, array)
    host = donating_backend.to_numpy
    model = build(case, donating_backend)
    kept, then = [], []
    for _ in range(4):
        results = [model.train_step(x, y), model.predict(x), *_flat(model.loss_and_gradients(x, y))]
        kept += results
        then += [host(a) for a in results]
    model.evaluate(x, y)
    model.train_step(x[:BATCH, ...], y[:BATCH, ...])
    assert len({float(a) for a in kept if a.ndim == 0}) > 3
    for a, b in zip(kept, then, strict=True):
        np.testing.assert_array_equal(host(a), b)


def _flat(loss_and_gradients):
    loss, gradients = loss_and_gradients
    return loss, *gradients.values()


# -- known heads

SIGNS = np.array([[1, -1, -1, -1], [-1, 1, -1, -1], [1, -1, -1, -1], [-1, -1, -1, 1], [-1, 1, -1, -1], [1, -1, -1, -1]])
LABELS = np.array([0, 3, 1, 3, 0, 0])
HEADS = {
    "flat": lambda head: [Dense(4), head],
    "followed by nothing": lambda head: [Dense(4), head, Linear()],
    "in a chain": lambda head: [Sequential([Dense(4), head])],
    "a chain of its own": lambda head: [Dense(4), Sequential([Sequential([head])])],
}


def extreme(layers, loss, backend, planned):
    """A model whose logits are 10⁴ times its features."""
    model = build(Case(lambda: layers, loss, "binary"), backend, planned=planned)
    keys = sorted(model.state_dict())
    model.load_state_dict(dict(zip(keys, (np.zeros(4), 1e4 * np.eye(4)), strict=True)))
    return model


def check_extreme(model, x, y, loss, dz, y_pred):
    """Losses, gradients and predictions against the closed form."""
    x, y = model.backend.asarray(x.astype(np.float64)), model.backend.asarray(y)
    host = model.backend.to_numpy
    expected = [dz.sum(axis=0), SIGNS.T @ dz]
    for _ in range(2):
        got, gradients = model.loss_and_gradients(x, y)
        # A sum of six numbers near 10⁴ in float32.
        np.testing.assert_allclose(host(got), loss, rtol=1e-6)
        for key, gradient in zip(sorted(gradients), expected, strict=True):
            np.testing.assert_allclose(gradients[key], gradient, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(model.evaluate(x, y)["loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(host(model.predict(x)), y_pred, atol=1e-7)
    np.testing.assert_allclose(host(model.train_step(x, y)), loss, rtol=1e-6)
    assert np.isfinite(model.fit(x, y, progress="off")["loss"]).all()


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("name", HEADS)
def test_softmax_head_is_stable(backend, name, planned):
    model = extreme(HEADS[name](Softmax()), CCE, backend, planned)
    y_pred = (SIGNS + 1) / 2
    right = np.eye(4)[LABELS]
    loss = 2e4 * np.mean(
        y_pred.argmax(axis=1) != LABELS
    )  # the logits of a wrong and of the right class differ by 2·10⁴
    check_extreme(model, SIGNS, LABELS, loss, (y_pred - right) / ROWS, y_pred)


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("name", HEADS)
def test_sigmoid_head_is_stable(backend, name, planned):
    model = extreme(HEADS[name](Sigmoid()), BCE, backend, planned)
    y_pred = (SIGNS + 1) / 2
    y = np.eye(4)[LABELS]
    loss = 1e4 * np.mean(y != y_pred)
    check_extreme(model, SIGNS, y, loss, (y_pred - y) / y.size, y_pred)


# -- chains in chains

NESTINGS = {
    "flat": lambda a, b, c, d, e, f: [a, b, c, d, e, f],
    "halves": lambda a, b, c, d, e, f: [Sequential([a, b, c]), Sequential([d, e, f])],
    "deep": lambda a, b, c, d, e, f: [Sequential([a, Sequential([b, Sequential([c, d]), e])]), f],
    "whole": lambda *layers: [Sequential(layers)],
}


def nested(name, backend):
    layers = NESTINGS[name](Dense(4), Dropout(0.3), Sequential([Tanh()]), Dropout(0.4), _penalized(), Softmax())
    return build(Case(lambda: layers, CCE, "classes", Adam(0.05)), backend)


@pytest.mark.parametrize("name", [name for name in NESTINGS if name != "flat"])
def test_a_chain_in_a_chain_is_the_flat_network_bit_for_bit(backend, array, name):
    x, y = data(CASES["softmax head"], array)
    flat, model = nested("flat", backend), nested(name, backend)
    assert flat.state_dict().keys() == {"0.weights", "0.biases", "4.weights", "4.biases"}
    seen = [life(network, x, y) for network in (flat, model)]
    for a, b in zip(*seen, strict=True):
        np.testing.assert_array_equal(a, b)
