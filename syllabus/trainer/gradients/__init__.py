"""Gradient features: gradients of each example's own loss for GraB, whole, in part, or as a sketch.

| features        | unit       | cost of a step beside training              | memory beside training  |
|-----------------|------------|---------------------------------------------|-------------------------|
| `LastLayer`     | example    | one product (B x p)(p x q), Gram matrices   | the factors, B (p + q)  |
| `FullGradients` | example    | takes the place of backward: see there      | B d                     |
| with a sketch   | example    | a copy of B d numbers more                  | 2 B d while it is made  |
| `MeanGradient`  | microbatch | a copy of d numbers                         | d                       |

B examples a microbatch, d parameters, a last layer of p outputs and q inputs (bias included).
"""

from syllabus.trainer.gradients.count_sketch import CountSketch
from syllabus.trainer.gradients.full_gradients import FullGradients
from syllabus.trainer.gradients.last_layer import LastLayer
from syllabus.trainer.gradients.mean_gradient import MeanGradient

__all__ = ["CountSketch", "FullGradients", "LastLayer", "MeanGradient"]
