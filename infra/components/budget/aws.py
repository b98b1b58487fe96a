"""AWS Budgets: what carries the site's tag."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import budgets

from infra.components.budget.thresholds import FORECAST_PERCENT, SPENT_PERCENT
from infra.components.component import Component
from infra.config import Budget


@dataclass(frozen=True)
class AwsBudgetProps:
    """``tag`` is ``key$value``; the account has activated the key as a cost allocation tag."""

    budget: Budget
    tag: str


class AwsBudget(Component):
    """Writes when most of the sum is spent, and when the forecast passes it."""

    def __init__(self, name: str, props: AwsBudgetProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("budget:Aws", name, opts)
        budgets.Budget(
            name,
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(props.budget.monthly_usd),
            limit_unit="USD",
            cost_filters=[budgets.BudgetCostFilterArgs(name="TagKeyValue", values=[f"user:{props.tag}"])],
            notifications=[
                budgets.BudgetNotificationArgs(
                    comparison_operator="GREATER_THAN",
                    notification_type=kind,
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                    subscriber_email_addresses=list(props.budget.emails),
                )
                for kind, percent in (("ACTUAL", SPENT_PERCENT), ("FORECASTED", FORECAST_PERCENT))
            ],
            opts=self.child(),
        )
        self.register_outputs({})
