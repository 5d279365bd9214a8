"""Model cards: what a model is, may be used for, can do and cannot, for people and for hubs.

`model_card.py` gathers, `licences.py` follows the licences back to data and first weights,
`metadata.py` writes the header that the Hugging Face hub reads, `hub.py` sends a model there.
"""

from __future__ import annotations

from maskwright.recipes.card.hub import push_model, save_for_hub
from maskwright.recipes.card.model_card import ModelCard, model_card

__all__ = ["ModelCard", "model_card", "push_model", "save_for_hub"]
