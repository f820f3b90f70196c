"""Ratios that describe an optimization path, and the null model to hold them against.

Symbols of Guille-Escuret et al., "No Wrong Turns" (arXiv 2306.11922): w the parameters before a
step, g the gradient of the minibatch's loss, w* a reference point, d = w - w*, u the step itself.

- RSI = <g, d> / |d|^2 and EB = |g| / |d|: restricted secant inequality and error bound, locally
- cosine = RSI / EB, of the angle between -g and w* - w
- locally optimal learning rate = RSI / EB^2, which minimises the distance to w* after the step
- with weight decay, the first four also for g + weight_decay * w, as decayed_rsi and so on
- cosine of the step = -<u, d> / (|u| |d|), and step optimality = -<u, d> / |u|^2: how many times as
  long the step would best have been. For plain SGD the latter is the locally optimal learning rate
  divided by the rate in force; it needs no rate, so it is defined for every optimizer.

Where d = 0 nothing is defined, and all is NaN.
"""

import numpy as np
import pandas as pd

Records = dict[str, np.ndarray]


def with_ratios(records: Records, reference: int = 0) -> Records:
    """What is shown of a recording, each [S, T], measured from one of its references."""
    distance = records["distance"][:, reference]
    update_product = records["update_product"][:, reference]
    update_norm = np.where(distance > 0, records["update_norm"], np.nan)
    shown = {name: records[name] for name in ("loss", "learning_rate")} | {"distance": distance}
    for prefix in ("", "decayed_"):
        if f"{prefix}gradient_product" in records:
            rsi = quotient(records[f"{prefix}gradient_product"][:, reference], distance**2)
            error_bound = quotient(records[f"{prefix}gradient_norm"], distance)
            shown[f"{prefix}rsi"] = rsi
            shown[f"{prefix}error_bound"] = error_bound
            shown[f"{prefix}cosine"] = quotient(rsi, error_bound)
            shown[f"{prefix}optimal_rate"] = quotient(rsi, error_bound**2)
    return shown | {
        "step_cosine": -quotient(update_product, update_norm * distance),
        "step_optimality": -quotient(update_product, update_norm**2),
        "null_cosine": null_cosine(records["update_norm"]),
    }


def null_cosine(update_norms: np.ndarray) -> np.ndarray:
    """Cosine [S, T] that steps of these lengths [S, T] have if all are at right angles (Eq. 8).

    |u_t| / sqrt(sum of |u_i|^2 over i >= t). Steps of equal length give 1 / sqrt(T - t). The step
    optimality of such a walk is 1 at every step, whatever the lengths.
    """
    left = np.cumsum((update_norms**2)[:, ::-1], axis=1)[:, ::-1]
    return quotient(update_norms, np.sqrt(left))


def summarise_epochs(ratios: Records, seeds: list[int], steps_per_epoch: int) -> pd.DataFrame:
    """Per seed, epoch and quantity: mean, sd, extremes and the negative fraction, without NaN."""
    iterations = next(iter(ratios.values())).shape[1]
    tables = []
    for name, values in ratios.items():
        frame = pd.DataFrame(
            {
                "seed": np.repeat(seeds, iterations),
                "epoch": np.tile(np.arange(iterations) // steps_per_epoch + 1, len(seeds)),
                "value": values.ravel(),
                "negative": np.where(np.isnan(values), np.nan, values < 0).ravel(),
            }
        )
        groups = frame.groupby(["seed", "epoch"], sort=False)
        table = groups["value"].agg(
            mean="mean", standard_deviation="std", minimum="min", maximum="max", count="count"
        )
        table["negative"] = groups["negative"].mean()
        tables.append(table.reset_index().assign(quantity=name))
    return pd.concat(tables, ignore_index=True)


def fit_noise_scale(batch_sizes: np.ndarray, cosines: np.ndarray) -> tuple[float, float]:
    """Cosine of the full gradient, and noise scale N in images, from mean cosines by batch size.

    A minibatch of B images has a gradient of mean G and mean square |G|^2 (1 + N / B), with N the
    summed variance of the images' gradients over |G|^2; so 1 / cosine^2 is linear in 1 / B. Errors
    of the cosines are taken as relative. Both are NaN where that does not describe the cosines: if
    one is missing or not positive; if they do not grow with the batch size; or if the line does not
    meet a positive value at 1 / B = 0, as where the batch sizes are too small to show the full
    gradient.
    """
    if not (cosines > 0).all():
        return float("nan"), float("nan")
    inverse_squares = 1.0 / cosines**2
    slope, intercept = np.polyfit(1.0 / batch_sizes, inverse_squares, 1, w=1.0 / inverse_squares)
    if intercept <= 0 or slope < 0:
        return float("nan"), float("nan")
    return float(intercept**-0.5), float(slope / intercept)


def quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the denominator is 0."""
    denominator = np.asarray(denominator, dtype=np.float64)
    return np.divide(
        numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator != 0
    )
