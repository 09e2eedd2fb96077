r"""Proven sameness: one training on several backends, compared op by op and step by step.

Two libraries never give the same bits: they add in other orders, and their exponentials round in their own ways. So
`compare` asks two questions, and each has a tolerance that follows from rounding, not from taste.

**Op by op, from equal inputs.** In every step each op runs on every backend with the *first* backend's own inputs. A
right result is the exact one after n roundings, each of at most half an $\epsilon$ of the magnitude M that was rounded.
So two right results differ by at most $n\,\epsilon\,M$, element by element. M is the result itself where nothing
cancels, and the difference is shown in ULP too; in a product it is $|x| \cdot |w|$. How n and M come about stands with
each op in ``parity/_bounds``. The table shows the *share* of that which was used: up to 1 is rounding, anything
above is another op. Nothing carries over from one op to the next, so the first op above 1 is the one to look at.

**Step by step, each on its own path.** Every backend trains with its own plan, kernels and memory; the loss and each
parameter are compared after each step. No fixed number can be the tolerance here, because training is chaotic:
rounding differences grow exponentially, and by a million within a thousand float32 steps on the spiral. So the
yardstick is the first backend itself: it trains twice more, and in these runs the result of each op is moved at random
by up to an eighth of what rounding allows for it. A backend may part from the first one as far as these have parted
from it, up to this step. NumPy's kernels, numba's, PyTorch and JAX have used 0.02 to 0.4 of that. Initial parameters
must be equal to the last bit.

Where the yardstick itself has grown past 1 %, one path is as good as another, and only ops are compared from there on;
the report says from which step. So compare float32 over short runs, and long runs in float64.

What makes whole steps of a gradient that is all rounding is chaos from the first step: Adam or Lion on a bias directly
before a batch normalization, which takes it away again. An optimizer with ``accumulate`` is refused, because its
batches are no single program.

>>> import nnxp
>>> from nnxp import layers, losses, optimizers
>>> def factory(backend):
...     network = [layers.Dense(8), layers.Tanh(), layers.Dense(2), layers.Softmax()]
...     loss, optimizer = losses.CategoricalCrossentropy(), optimizers.Adam(0.01)
...     return nnxp.Model(network, loss=loss, optimizer=optimizer, backend=backend)
>>> x, y = nnxp.data.moons(100)
>>> print(compare(factory, x, y, backends=("numpy", "numpy/numpy")).verdicts[0])
numpy/numpy is the same as numpy: ...
"""

from nnxp.parity._bounds import BOUNDS, Bound, allowed, bound_of
from nnxp.parity._compare import compare
from nnxp.parity._measure import Difference, measure
from nnxp.parity._report import Comparison, OpParity, Parity, ValueParity
from nnxp.parity._walk import calls

__all__ = [
    "BOUNDS",
    "Bound",
    "Comparison",
    "Difference",
    "OpParity",
    "Parity",
    "ValueParity",
    "allowed",
    "bound_of",
    "calls",
    "compare",
    "measure",
]
