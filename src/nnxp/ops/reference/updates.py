r"""Updates of parameters ``w`` by gradients ``g``. Each covers the whole arena in one call.

t counts updates from 0. The order of operations is the textbook's; every function returns new arrays.
"""

from nnxp._types import Array, Namespace

__all__ = [
    "adagrad",
    "adam",
    "all_finite",
    "clip_norm",
    "clip_value",
    "keep_better",
    "momentum",
    "nesterov",
    "perturb",
    "rmsprop",
    "sgd",
]


def sgd(xp: Namespace, w: Array, g: Array, learning_rate: float) -> Array:
    r"""$w \leftarrow w - \eta g$."""
    return w - learning_rate * g


def momentum(xp: Namespace, w: Array, g: Array, v: Array, learning_rate: float, momentum: float) -> tuple[Array, Array]:
    r"""``-> w, v``: $v \leftarrow \mu v - \eta g$; $w \leftarrow w + v$.

    Source: Polyak (1964), with the learning rate inside v, as in Sutskever et al. (ICML 2013).
    """
    v = momentum * v - learning_rate * g
    return w + v, v


def nesterov(xp: Namespace, w: Array, g: Array, v: Array, learning_rate: float, momentum: float) -> tuple[Array, Array]:
    r"""``-> w, v``: $v \leftarrow \mu v - \eta g$; $w \leftarrow w + \mu v - \eta g$.

    Source: Nesterov (1983), in the form of Bengio et al. (2013), section 3.5, that keeps w at the look-ahead point.
    """
    v = momentum * v - learning_rate * g
    return w + (momentum * v - learning_rate * g), v


def adam(
    xp: Namespace,
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    correction_1: float,
    correction_2: float,
) -> tuple[Array, Array, Array]:
    r"""``-> w, m, v``, with corrections $c_i = 1 - \beta_i^{t+1}$:

    $m \leftarrow \beta_1 m + (1 - \beta_1) g$;
    $v \leftarrow \beta_2 v + (1 - \beta_2) g^2$;
    $w \leftarrow w - \eta\,(m / c_1) / (\sqrt{v / c_2} + \epsilon)$.

    Source: Kingma & Ba, *Adam* (ICLR 2015), algorithm 1; $\epsilon$ is outside the root, as there.
    """
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * (g * g)
    return w - learning_rate * (m / correction_1) / (xp.sqrt(v / correction_2) + epsilon), m, v


def adagrad(xp: Namespace, w: Array, g: Array, c: Array, learning_rate: float, epsilon: float) -> tuple[Array, Array]:
    r"""``-> w, c``: $c \leftarrow c + g^2$; $w \leftarrow w - \eta g / (\sqrt c + \epsilon)$.

    Source: Duchi, Hazan & Singer, *Adaptive subgradient methods* (JMLR 12, 2011), in the diagonal form.
    """
    c = c + g * g
    return w - learning_rate * g / (xp.sqrt(c) + epsilon), c


def rmsprop(
    xp: Namespace, w: Array, g: Array, c: Array, learning_rate: float, rho: float, epsilon: float
) -> tuple[Array, Array]:
    r"""``-> w, c``: $c \leftarrow \rho c + (1 - \rho) g^2$; $w \leftarrow w - \eta g / (\sqrt c + \epsilon)$.

    Source: Tieleman & Hinton, *Neural Networks for Machine Learning*, lecture 6.5 (2012).
    """
    c = rho * c + (1 - rho) * (g * g)
    return w - learning_rate * g / (xp.sqrt(c) + epsilon), c


def perturb(xp: Namespace, w: Array, n: Array, scale: float) -> Array:
    r"""$w + s n$, for noise n."""
    return w + scale * n


def keep_better(xp: Namespace, w: Array, candidate: Array, loss: Array, candidate_loss: Array) -> Array:
    """The candidate where its loss, a 0-d array, is the lower one, else w: decided where the losses lie."""
    return xp.where(candidate_loss < loss, candidate, w)


def clip_value(xp: Namespace, g: Array, limit: float) -> Array:
    r"""$g_e \leftarrow \min(\max(g_e, -c), c)$."""
    return xp.clip(g, -limit, limit)


def clip_norm(xp: Namespace, g: Array, limit: float) -> Array:
    r"""$g \leftarrow g \cdot \min(1, c / \lVert g \rVert_2)$, the norm over all parameters.

    Source: Pascanu et al., *On the difficulty of training recurrent neural networks* (ICML 2013).
    """
    norm = xp.sqrt(xp.sum(g * g))
    return g * (limit / xp.maximum(norm, limit * xp.ones_like(norm)))


def all_finite(xp: Namespace, w: Array) -> Array:
    """``-> bool[]``: whether no element is NaN or infinite."""
    return xp.all(xp.isfinite(w))
