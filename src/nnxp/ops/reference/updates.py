r"""Updates of parameters ``w`` by gradients ``g``. Each covers the whole arena in one call.

t counts updates from 0. The order of operations is the textbook's; every function returns new arrays.
"""

from collections.abc import Sequence

from nnxp._types import Array, Namespace

__all__ = [
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "all_finite",
    "average",
    "clip_norm",
    "clip_norms",
    "clip_value",
    "clone",
    "decay_weights",
    "keep_better",
    "lion",
    "momentum",
    "move",
    "nadam",
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


def adamax(
    xp: Namespace,
    w: Array,
    g: Array,
    m: Array,
    u: Array,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    correction_1: float,
) -> tuple[Array, Array, Array]:
    r"""``-> w, m, u``, with the correction $c_1 = 1 - \beta_1^{t+1}$:

    $m \leftarrow \beta_1 m + (1 - \beta_1) g$;
    $u \leftarrow \max(\beta_2 u, |g|)$;
    $w \leftarrow w - \eta\,(m / c_1) / (u + \epsilon)$.

    Source: Kingma & Ba, *Adam* (ICLR 2015), algorithm 2, with $\epsilon$ for gradients that were always zero.
    """
    m = beta_1 * m + (1 - beta_1) * g
    u = xp.maximum(beta_2 * u, xp.abs(g))
    return w - learning_rate * (m / correction_1) / (u + epsilon), m, u


def nadam(
    xp: Namespace,
    w: Array,
    g: Array,
    m: Array,
    v: Array,
    learning_rate: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    moment_share: float,
    gradient_share: float,
    correction_2: float,
) -> tuple[Array, Array, Array]:
    r"""``-> w, m, v``, with shares a of the moment and b of the gradient, and the correction $c_2$:

    $m \leftarrow \beta_1 m + (1 - \beta_1) g$;
    $v \leftarrow \beta_2 v + (1 - \beta_2) g^2$;
    $w \leftarrow w - \eta\,(a m + b g) / (\sqrt{v / c_2} + \epsilon)$.

    Source: Dozat, *Incorporating Nesterov momentum into Adam* (ICLR workshop 2016).
    """
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * (g * g)
    ahead = moment_share * m + gradient_share * g
    return w - learning_rate * ahead / (xp.sqrt(v / correction_2) + epsilon), m, v


def lion(
    xp: Namespace, w: Array, g: Array, m: Array, learning_rate: float, beta_1: float, beta_2: float
) -> tuple[Array, Array]:
    r"""``-> w, m``: $w \leftarrow w - \eta\,\mathrm{sign}(\beta_1 m + (1 - \beta_1) g)$;
    $m \leftarrow \beta_2 m + (1 - \beta_2) g$.

    Source: Chen et al., *Symbolic discovery of optimization algorithms* (NeurIPS 2023), algorithm 2.
    """
    direction = xp.sign(beta_1 * m + (1 - beta_1) * g)
    return w - learning_rate * direction, beta_2 * m + (1 - beta_2) * g


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


def adadelta(
    xp: Namespace, w: Array, g: Array, c: Array, u: Array, learning_rate: float, rho: float, epsilon: float
) -> tuple[Array, Array, Array]:
    r"""``-> w, c, u``, with moving averages c of squared gradients and u of squared steps:

    $c \leftarrow \rho c + (1 - \rho) g^2$;
    $d = g \sqrt{u + \epsilon} / \sqrt{c + \epsilon}$;
    $u \leftarrow \rho u + (1 - \rho) d^2$;
    $w \leftarrow w - \eta d$.

    Source: Zeiler, *ADADELTA: an adaptive learning rate method* (arXiv 1212.5701, 2012), algorithm 1.
    """
    c = rho * c + (1 - rho) * (g * g)
    d = g * (xp.sqrt(u + epsilon) / xp.sqrt(c + epsilon))
    return w - learning_rate * d, c, rho * u + (1 - rho) * (d * d)


def decay_weights(xp: Namespace, w: Array, learning_rate: float, weight_decay: float) -> Array:
    r"""$w \leftarrow w - \eta \lambda w$.

    Source: Loshchilov & Hutter, *Decoupled weight decay regularization* (ICLR 2019).
    """
    return w - (learning_rate * weight_decay) * w


def clone(xp: Namespace, w: Array) -> Array:
    """The same numbers in an array of their own."""
    return xp.asarray(w, copy=True)


def move(xp: Namespace, w: Array, stepped: Array, rates: Array) -> Array:
    r"""$w + r\,(w' - w)$ for parameters w' after a step and a multiplier r of each element's learning rate.

    Exactly w' where r is 1, and exactly w where r is 0, also where w' is not a number.
    """
    part = xp.where(rates > 0, w + rates * (stepped - w), w)
    return xp.where(rates == 1, stepped, part)


def average(xp: Namespace, average: Array, w: Array, ema: float) -> Array:
    r"""$a \leftarrow \beta a + (1 - \beta) w$.

    Source: Polyak & Juditsky (SIAM J. Control Optim. 30, 1992), in the exponential form that Adam's authors propose
    (Kingma & Ba, ICLR 2015, section 7.2).
    """
    return ema * average + (1 - ema) * w


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


def clip_norms(xp: Namespace, g: Array, limit: float, bounds: Sequence[tuple[int, int]]) -> Array:
    """`clip_norm` of each parameter by itself; ``bounds`` are their places in g, in order. The rest stays as it is."""
    pieces, end = [], 0
    for start, stop in bounds:
        pieces += [g[end:start], clip_norm(xp, g[start:stop], limit)]
        end = stop
    return xp.concat([*pieces, g[end:]])


def all_finite(xp: Namespace, w: Array) -> Array:
    """``-> bool[]``: whether no element is NaN or infinite."""
    return xp.all(xp.isfinite(w))
