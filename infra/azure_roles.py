"""Ids of Azure's built-in roles, the same in every tenant (Microsoft Learn: Azure built-in roles)."""

from enum import StrEnum


class Role(StrEnum):
    """What the programs grant of Azure's own roles."""

    ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
    AKS_CLUSTER_USER = "4abbcc35-e782-43d8-92c5-2d3f1bd2253f"
    KEY_VAULT_CRYPTO_USER = "12338af0-0e69-4776-bea7-57ae8d297424"
    KEY_VAULT_CRYPTO_SERVICE_ENCRYPTION_USER = "e147488a-f6f5-4113-8e2d-b22465e65bf6"
    NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"

    def definition(self, subscription: str) -> str:
        """The role's id as a role assignment names it."""
        return f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{self}"
