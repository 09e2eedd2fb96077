"""Adam that looks ahead."""

from dataclasses import KW_ONLY, dataclass
from math import exp, expm1, log

from nnxp import _check
from nnxp.ops.record import Record, record
from nnxp.optimizers._moments import Moments

__all__ = ["NAdam"]

_WARM_UP = log(0.96)
_TERMS = 56
"""Terms of the series of log(1 - x) at x ≤ 1/2: the rest is below 2⁻⁶⁰."""
_NOTHING = -40.0
"""The logarithm of a product that 1 cannot feel in float64."""


@dataclass(frozen=True)
class NAdam(Moments):
    r"""Adam with Nesterov's momentum: $w \leftarrow w - \eta\,\bar m / (\sqrt{\hat v} + \epsilon)$.

    $\bar m = \mu_{t+1}\, m / (1 - \prod_{i=1}^{t+1} \mu_i) + (1 - \mu_t)\, g / (1 - \prod_{i=1}^{t} \mu_i)$, with t = 1
    at the first update and a momentum that grows: $\mu_t = \beta_1 (1 - \frac12 0.96^{t \psi})$. m and $\hat v$ are
    Adam's.

    Source: Dozat, *Incorporating Nesterov momentum into Adam* (ICLR workshop 2016), with the schedule of his report and
    $\psi$ = ``momentum_decay`` = 0.004, as in PyTorch (Keras: $\psi$ = 1, so that $\mu$ is soon $\beta_1$).
    $\epsilon$ is outside the root; 1e-7 is Keras's (PyTorch: 1e-8). The learning rate is 0.001 as in Keras (PyTorch
    and the report: 0.002).
    """

    _: KW_ONLY
    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.non_negative("NAdam", "momentum_decay", self.momentum_decay)

    def _update(self) -> Record:
        return record(
            "nadam",
            "w g first_moment second_moment learning_rate beta_1 beta_2 epsilon "
            "moment_share gradient_share correction_2",
            "w first_moment second_moment",
        )

    def varying(self, step: int) -> dict[str, float]:
        now, product = self._momentum(step + 1), self._product(step + 1)
        ahead = self._momentum(step + 2)
        return super().varying(step) | {
            "moment_share": ahead / (1 - product * ahead),
            "gradient_share": (1 - now) / (1 - product),
            "correction_2": self._corrections(step)["correction_2"],
        }

    def _momentum(self, t: int) -> float:
        r"""$\mu_t$."""
        return float(self.beta_1) * (1 - 0.5 * exp(_WARM_UP * t * float(self.momentum_decay)))

    def _product(self, t: int) -> float:
        r"""$\prod_{i=1}^t \mu_i = \beta_1^t \exp(-\sum_k S_k / (k 2^k))$ with $S_k = \sum_{i=1}^t 0.96^{i \psi k}$.

        The series of log(1 - x) in each factor turns the product into a few geometric sums: a function of the step,
        that costs the same at all of them.
        """
        if not self.beta_1:
            return 0.0
        logarithm = t * log(self.beta_1)
        if logarithm < _NOTHING:
            return 0.0
        rate = _WARM_UP * float(self.momentum_decay)
        return exp(logarithm - sum(_geometric(rate * k, t) / (k * 2.0**k) for k in range(1, _TERMS)))


def _geometric(rate: float, t: int) -> float:
    r"""$\sum_{i=1}^t e^{r i} = e^r (e^{r t} - 1) / (e^r - 1)$."""
    return exp(rate) * expm1(rate * t) / expm1(rate) if rate else float(t)
