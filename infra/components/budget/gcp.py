"""A budget on the site's project."""

from dataclasses import dataclass

import pulumi
from pulumi_gcp import billing, monitoring

from infra.components.budget.thresholds import FORECAST_PERCENT, SPENT_PERCENT
from infra.components.component import Component
from infra.config import Budget


@dataclass(frozen=True)
class GcpBudgetProps:
    """The account that pays, and the project whose cost counts."""

    budget: Budget
    billing_account: str
    project: str
    project_number: str
    title: str


class GcpBudget(Component):
    """Writes when most of the sum is spent, and when the forecast passes it."""

    def __init__(self, name: str, props: GcpBudgetProps, opts: pulumi.ResourceOptions) -> None:
        super().__init__("budget:Gcp", name, opts)
        channels = [
            monitoring.NotificationChannel(
                f"{name}-{number}",
                project=props.project,
                type="email",
                display_name=email,
                labels={"email_address": email},
                opts=self.child(),
            )
            for number, email in enumerate(props.budget.emails)
        ]
        billing.Budget(
            name,
            billing_account=props.billing_account,
            display_name=props.title,
            amount=billing.BudgetAmountArgs(
                specified_amount=billing.BudgetAmountSpecifiedAmountArgs(currency_code="USD", units=str(props.budget.monthly_usd))
            ),
            budget_filter=billing.BudgetBudgetFilterArgs(projects=[f"projects/{props.project_number}"], calendar_period="MONTH"),
            threshold_rules=[
                billing.BudgetThresholdRuleArgs(threshold_percent=percent / 100, spend_basis=basis)
                for basis, percent in (("CURRENT_SPEND", SPENT_PERCENT), ("FORECASTED_SPEND", FORECAST_PERCENT))
            ],
            all_updates_rule=billing.BudgetAllUpdatesRuleArgs(
                monitoring_notification_channels=[channel.id for channel in channels]
            ),
            opts=self.child(),
        )
        self.register_outputs({})
