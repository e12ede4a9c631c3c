"""Mistakes in DAGs on the module that is generated from the emulator's catalogue: one error in each marked line."""

from __future__ import annotations

from whiterabbit_components import (
    ApiCallOperator,
    BroadcastBitcoinTransactionConfig,
    BroadcastBitcoinTransactionInput,
    BroadcastBitcoinTransactionOperator,
    GenerateKeyShareConfig,
    GenerateKeyShareInput,
    GenerateKeyShareOperator,
    GetEvmAccountBalanceInput,
    GetEvmAccountBalanceOperator,
    GetEvmSafeAddressInput,
    GetEvmSafeAddressOperator,
    RandomUuidOperator,
    RandomUuidOutput,
)

GetEvmAccountBalanceOperator(
    task_id="misspelt_key",
    input={"jsonRpcUrl": "u", "tokenAdress": "t", "account": "a"},  # wrong
)
GetEvmSafeAddressOperator(
    task_id="misspelt_optional_key",
    input=GetEvmSafeAddressInput(jsonRpcUrl="u", owners=[], threshold=1, saltNonce="0", singletonAdress="0x2"),  # wrong
)
GenerateKeyShareOperator(
    task_id="wrong_type",
    input=GenerateKeyShareInput(
        curve="ed25519",
        threshold="two",  # wrong
    ),
    config={"servers": ["OFFICIAL_1"]},
)
GenerateKeyShareOperator(
    task_id="wrong_type_in_a_dict",
    input={"curve": 25519, "threshold": 2},  # wrong
    config={"servers": ["OFFICIAL_1"]},
)
BroadcastBitcoinTransactionOperator(task_id="no_config", input={"signedTransaction": "00"})  # wrong
BroadcastBitcoinTransactionOperator(
    task_id="no_input_field",
    input=BroadcastBitcoinTransactionInput(),  # wrong
    config={"network": "testnet"},
)
BroadcastBitcoinTransactionOperator(
    task_id="other_word",
    input={"signedTransaction": "00"},
    config=BroadcastBitcoinTransactionConfig(
        network="main",  # wrong
    ),
)
GenerateKeyShareOperator(
    task_id="text_for_a_list",
    input={"curve": "ed25519", "threshold": 2},
    config=GenerateKeyShareConfig(
        servers="OFFICIAL_1",  # wrong
    ),
)
ApiCallOperator(
    task_id="other_class",
    input=GetEvmAccountBalanceInput(jsonRpcUrl="u", tokenAddress="t", account="a"),  # wrong
    config={"apiUrl": "https://example.org", "method": "GET"},
)
RandomUuidOperator(task_id="misspelt_parameter", defferable=True)  # wrong
RandomUuidOperator(task_id="other_parameter", timeout="1h")  # wrong


def has_uuid(output: RandomUuidOutput) -> None:
    """Read a member that the output does not have."""
    assert output["uid"]  # wrong
