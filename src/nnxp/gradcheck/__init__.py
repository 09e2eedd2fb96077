r"""Derivatives by differences: what the mathematics written by hand is held against.

A backward is right when it says what happens to the loss if an input moves a little, and that can be measured. For a
layer $y = f(x, w)$, `check` draws an upstream gradient u, so that $L = \sum u \cdot y$ is one number with
$\partial L / \partial y = u$, and moves every element of every tensor t, inputs and parameters, by h to both sides:

$$n_i = \frac{L(t + h e_i) - L(t - h e_i)}{2h}, \qquad
\text{error} = \frac{\lVert a - n \rVert}{\lVert a \rVert + \lVert n \rVert}$$

with a the gradient that backward gives for u. A right backward has an error of about 1e-10, a wrong one of 1e-3 to 1;
the tolerance of 1e-7 lies between them. What makes this a proof and not a ceremony:

*float64.* The differences err by $h^2$ (the method) and by $\epsilon / h$ (rounding); at $h = \epsilon^{1/3}$ the sum
is least, about $\epsilon^{2/3}$: 4e-11 in float64, and in float32 only 2e-5, where small mistakes pass.

*A random upstream.* With ones, L would be the plain sum of y. The outputs of a softmax sum to 1 whatever x is, so a
backward of zeros would pass.

*Values of no particular kind.* x has both signs and stays away from 0, and parameters are moved a little: behind a
factor of exactly 1 or a bias of exactly 0 a forgotten term hides.

*Kinks.* Where a probe crosses the kink of a ReLU, differences are no judge. An element is left out, and counted, only
if the differences contradict each other (on both sides, and with h and h/2) at least as much as they contradict
backward, and if backward's value lies between the slopes on both sides. A tensor with nothing left is an error.

*One and the same function.* Before every call the layer is put back into one state, so that Dropout drops the same
elements, and what layers remember does not drift.
"""

from nnxp.gradcheck._check import check
from nnxp.gradcheck._differences import numerical_gradient
from nnxp.gradcheck._result import GradientCheck, TensorCheck

__all__ = ["GradientCheck", "TensorCheck", "check", "numerical_gradient"]
