"""The names of the book, their signatures, and where a script finds them."""

import inspect
import os
import subprocess
import sys
from inspect import Parameter
from pathlib import Path

import pytest

import nnxp
import nnxp.compat.nnfs as nnfs

REGULARIZERS = "weight_regularizer_l1=0, weight_regularizer_l2=0, bias_regularizer_l1=0, bias_regularizer_l2=0"
STEP = {"forward": "inputs, training=True", "backward": "dvalues"}
ACTIVATION = STEP | {"predictions": "outputs"}
LOSS = {
    "forward": "y_pred, y_true",
    "backward": "dvalues, y_true",
    "calculate": "output, y, *, include_regularization=False",
    "calculate_accumulated": "*, include_regularization=False",
    "new_pass": "",
    "regularization_loss": "layer=None",
    "remember_trainable_layers": "trainable_layers",
}
OPTIMIZER = {"pre_update_params": "", "update_params": "layer", "post_update_params": ""}
ACCURACY = {"calculate": "predictions, y", "calculate_accumulated": "", "new_pass": "", "init": "y, reinit=False"}

CLASSES = {
    # the constructor, then the methods
    "Layer_Dense": (
        f"n_inputs, n_neurons, {REGULARIZERS}",
        STEP | {"get_parameters": "", "set_parameters": "weights, biases"},
    ),
    "Layer_Dropout": ("rate", STEP),
    "Layer_Input": ("", {"forward": "inputs, training=True"}),
    "Activation_ReLU": ("", ACTIVATION),
    "Activation_Softmax": ("", ACTIVATION),
    "Activation_Sigmoid": ("", ACTIVATION),
    "Activation_Linear": ("", ACTIVATION),
    "Optimizer_SGD": ("learning_rate=1., decay=0., momentum=0.", OPTIMIZER),
    "Optimizer_Adagrad": ("learning_rate=1., decay=0., epsilon=1e-7", OPTIMIZER),
    "Optimizer_RMSprop": ("learning_rate=0.001, decay=0., epsilon=1e-7, rho=0.9", OPTIMIZER),
    "Optimizer_Adam": ("learning_rate=0.001, decay=0., epsilon=1e-7, beta_1=0.9, beta_2=0.999", OPTIMIZER),
    "Loss": ("", LOSS),
    "Loss_CategoricalCrossentropy": ("", LOSS),
    "Loss_BinaryCrossentropy": ("", LOSS),
    "Loss_MeanSquaredError": ("", LOSS),
    "Loss_MeanAbsoluteError": ("", LOSS),
    "Activation_Softmax_Loss_CategoricalCrossentropy": (
        "",
        {"forward": "inputs, y_true", "backward": "dvalues, y_true"},
    ),
    "Accuracy": ("", ACCURACY),
    "Accuracy_Categorical": ("*, binary=False", ACCURACY),
    "Accuracy_Regression": ("", ACCURACY),
    "Model": (
        "",
        {
            "add": "layer",
            "set": "*, loss=None, optimizer=None, accuracy=None",
            "finalize": "",
            "train": "X, y, *, epochs=1, batch_size=None, print_every=1, validation_data=None",
            "evaluate": "X, y, *, batch_size=None",
            "predict": "X, *, batch_size=None",
            "get_parameters": "",
            "set_parameters": "parameters",
            "save_parameters": "path",
            "load_parameters": "path",
            "save": "path",
        },
    ),
}
FUNCTIONS = {
    "init": 'backend="numpy", *, dot_precision_workaround=True, default_dtype="float32", random_seed=0, device=None',
    "spiral_data": "samples, classes",
    "vertical_data": "samples, classes",
    "sine_data": "samples=1000",
}


def arguments(callable_, *, without_self):
    """Name, kind and default of each argument."""
    parameters = list(inspect.signature(callable_).parameters.values())[int(without_self) :]
    return [(p.name, p.kind, p.default) for p in parameters]


def expected(text):
    return arguments(eval(f"lambda {text}: None"), without_self=False)


@pytest.mark.parametrize("name", CLASSES)
def test_constructors(name):
    constructor = vars(getattr(nnfs, name)).get("__init__", None) or getattr(nnfs, name).__init__
    found = [] if constructor is object.__init__ else arguments(constructor, without_self=True)
    assert found == expected(CLASSES[name][0])


@pytest.mark.parametrize(("name", "method"), [(name, method) for name, (_, m) in CLASSES.items() for method in m])
def test_methods(name, method):
    assert arguments(getattr(getattr(nnfs, name), method), without_self=True) == expected(CLASSES[name][1][method])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    assert arguments(getattr(nnfs, name), without_self=False) == expected(FUNCTIONS[name])


def test_load_needs_no_model():
    assert isinstance(inspect.getattr_static(nnfs.Model, "load"), staticmethod)
    assert arguments(nnfs.Model.load, without_self=False) == [
        ("path", Parameter.POSITIONAL_OR_KEYWORD, Parameter.empty)
    ]


def test_star_gives_all_names_and_no_others():
    names = {}
    exec("from nnxp.compat.nnfs import *", names)
    assert names.keys() - {"__builtins__"} == {*CLASSES, *FUNCTIONS, "datasets"}


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_and_method_says_what_it_is(name):
    assert inspect.getdoc(getattr(nnfs, name))
    assert all(inspect.getdoc(getattr(getattr(nnfs, name), method)) for method in CLASSES[name][1])


# -- the book's own package name


def run(code, *paths):
    places = [*map(str, paths), str(Path(nnxp.__file__).parents[1])]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_book_s_imports_work_where_its_package_is_missing():
    code = """
import nnxp.compat.nnfs
import nnfs
from nnfs.datasets import sine_data, spiral_data, vertical_data
nnfs.init()
assert nnfs is nnxp.compat.nnfs
assert spiral_data is nnfs.datasets.spiral_data
print(len(spiral_data(samples=5, classes=3)[0]))
"""
    assert run(code) == "15\n"


def test_an_installed_package_of_that_name_is_left_alone(tmp_path):
    package = tmp_path / "nnfs"
    package.mkdir()
    (package / "__init__.py").write_text("name = 'installed'")
    (package / "datasets.py").write_text("name = 'installed data'")
    code = "import nnxp.compat.nnfs, nnfs, nnfs.datasets; print(nnfs.name, nnfs.datasets.name)"
    assert run(code, tmp_path) == "installed installed data\n"


def test_a_module_of_that_name_is_left_alone():
    """One that a script made itself has no specification."""
    code = "import sys, types; own = sys.modules['nnfs'] = types.ModuleType('nnfs'); import nnxp.compat.nnfs, nnfs; "
    assert run(code + "print(nnfs is own)") == "True\n"


def test_nnxp_alone_does_not_take_the_name():
    assert run("import sys, nnxp; print('nnfs' in sys.modules, 'nnxp.compat' in sys.modules)") == "False False\n"
