"""A budget on the site's two resource groups."""

from dataclasses import dataclass
from datetime import date

import pulumi
from pulumi_azure_native import consumption

from infra.components.budget.thresholds import FORECAST_PERCENT, SPENT_PERCENT
from infra.components.component import Component
from infra.config import Budget


@dataclass(frozen=True)
class AzureBudgetProps:
    """``groups`` are the names of the resource groups whose cost counts, ``since`` is the first day of a month."""

    budget: Budget
    subscription: str
    groups: tuple[pulumi.Input[str], ...]
    since: date
    title: str


class AzureBudget(Component):
    """Writes when most of the sum is spent, and when the forecast passes it."""

    def __init__(self, name: str, props: AzureBudgetProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("budget:Azure", name, opts)
        consumption.Budget(
            name,
            # AKS keeps the nodes, and so nearly all that a site costs, in a group of its own: a budget on one group would miss them.
            scope=f"/subscriptions/{props.subscription}",
            filter=consumption.BudgetFilterArgs(
                dimensions=consumption.BudgetComparisonExpressionArgs(
                    name="ResourceGroupName", operator=consumption.BudgetOperatorType.IN_, values=list(props.groups)
                )
            ),
            budget_name=props.title,
            amount=float(props.budget.monthly_usd),
            category=consumption.CategoryType.COST,
            time_grain=consumption.TimeGrainType.MONTHLY,
            time_period=consumption.BudgetTimePeriodArgs(start_date=f"{props.since.isoformat()}T00:00:00Z"),
            notifications={
                title: consumption.NotificationArgs(
                    enabled=True,
                    operator=consumption.OperatorType.GREATER_THAN,
                    threshold=float(percent),
                    threshold_type=kind,
                    contact_emails=list(props.budget.emails),
                )
                for title, kind, percent in (
                    ("spent", consumption.ThresholdType.ACTUAL, SPENT_PERCENT),
                    ("forecast", consumption.ThresholdType.FORECASTED, FORECAST_PERCENT),
                )
            },
            opts=self.child(),
        )
        self.register_outputs({})
