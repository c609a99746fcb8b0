"""Token prices of hosted models, from the table that ships with `genai-prices`; nothing is fetched."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from decimal import Decimal

import genai_prices
from genai_prices.types import ModelPrice, TieredPrices


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What tokens of one model cost, in USD per million. Long prompts may cost more with some providers.

    Attributes:
        input_usd: prompt tokens.
        cached_input_usd: prompt tokens that a prefix cache served.
        output_usd: generated tokens.
        snapshot: where the prices are from: table, version and day.
    """

    input_usd: float
    cached_input_usd: float
    output_usd: float
    snapshot: str


def price_of(model_name: str, day: datetime.date | None = None) -> TokenPrice | None:
    """The token prices of a model, or None where the table does not know them.

    Args:
        model_name: a provider's name for it such as `gpt-5-mini`, or an address such as
            `https://api.openai.com/v1#gpt-5-mini`. The host decides: the same model costs something
            else elsewhere, and one on a host that is not in the table has no price here.
        day: prices of that day (UTC, at noon: some change with the hour); None: today.
    """
    day = day or datetime.datetime.now(datetime.UTC).date()
    noon = datetime.datetime.combine(day, datetime.time(12), datetime.UTC)
    address, has_address, model = model_name.rpartition("#")
    try:
        # Without tokens nothing is computed: only the row of the table is of interest.
        found = genai_prices.calc_price(
            genai_prices.Usage(),
            model,
            provider_api_url=address if has_address else None,
            genai_request_timestamp=noon,
        )
    except LookupError:
        return None
    return _token_price(found.model_price, f"genai-prices {genai_prices.__version__} {day.isoformat()}")


def _token_price(price: ModelPrice, snapshot: str) -> TokenPrice | None:
    input_usd = _usd(price.input_mtok)
    output_usd = _usd(price.output_mtok)
    if input_usd is None or output_usd is None:  # images, sound or embeddings
        return None
    cached_usd = _usd(price.cache_read_mtok)
    return TokenPrice(input_usd, input_usd if cached_usd is None else cached_usd, output_usd, snapshot)


def _usd(price: Decimal | TieredPrices | None) -> float | None:
    if price is None:
        return None
    return float(price.base if isinstance(price, TieredPrices) else price)
