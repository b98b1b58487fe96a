"""When a budget alarm speaks, in per cent of the monthly sum."""

SPENT_PERCENT = 80
FORECAST_PERCENT = 100
