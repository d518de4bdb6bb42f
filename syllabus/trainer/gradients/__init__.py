"""Gradient features: gradients of each example's own loss for GraB, whole, in part, or as a sketch.

| features        | unit       | cost of a step beside training              | memory beside training  |
|-----------------|------------|---------------------------------------------|-------------------------|
| `LastLayer`     | example    | one product (B x p)(p x q)                  | the factors, B (p + q)  |
| wide, sketched  | example    | one pass over the factors, B (p + q)        | their sketches          |
| `FullGradients` | example    | takes the place of backward: see there      | B d                     |
| with a sketch   | example    | one pass over B d numbers more              | B d                     |
| `MeanGradient`  | microbatch | a copy of d numbers                         | d                       |

B examples a microbatch, d parameters, a last layer of p outputs and q inputs (bias included).
"""

from syllabus.trainer.gradients.count_sketch import CountSketch
from syllabus.trainer.gradients.factor_sketch import FactorSketch
from syllabus.trainer.gradients.full_gradients import FullGradients
from syllabus.trainer.gradients.last_layer import LastLayer
from syllabus.trainer.gradients.mean_gradient import MeanGradient

__all__ = ["CountSketch", "FactorSketch", "FullGradients", "LastLayer", "MeanGradient"]
