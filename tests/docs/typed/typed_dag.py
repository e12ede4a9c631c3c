"""A DAG on the module that is generated from the emulator's catalogue, with all that may stand for a value."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from whiterabbit_components import (
    ApiCallOperator,
    BroadcastBitcoinTransactionOperator,
    DecodeEvmFunctionResultOperator,
    GenerateKeyShareOperator,
    GetEvmAccountBalanceInput,
    GetEvmAccountBalanceOperator,
    GetEvmSafeAddressOperator,
    RandomUuidOperator,
    RandomUuidOutput,
    SignWithKeyShareOperator,
)

from airflow_provider_whiterabbit.secrets import secret
from airflow_provider_whiterabbit.templates import Template

URL = secret(connection="evm", field="extra.secret_rpc_url")
OWNERS = ["0x1", "0x2"]

with DAG("good", schedule=None):
    number = RandomUuidOperator(task_id="number", deferrable=True, timeout=timedelta(hours=1))
    balance = GetEvmAccountBalanceOperator(
        task_id="balance",
        input={"jsonRpcUrl": URL, "tokenAddress": "{{ params.token }}", "account": number.output},
        retries=2,
    )
    safe = GetEvmSafeAddressOperator(
        task_id="safe",
        input={
            "jsonRpcUrl": URL,
            "owners": OWNERS,
            "threshold": Template("{{ params.threshold }}"),
            "saltNonce": "0",
            "singletonAddress": balance.output,
        },
    )
    key = GenerateKeyShareOperator(
        task_id="key",
        input={"curve": "ed25519", "threshold": 2},
        config={"servers": ["OFFICIAL_1", Template("{{ params.server }}"), number.output]},
    )
    key2 = GenerateKeyShareOperator(
        task_id="key2",
        input={"curve": "ed25519", "threshold": key.output},
        config={"servers": ("OFFICIAL_1", secret(variable="server"))},
    )
    sign = SignWithKeyShareOperator(
        task_id="sign",
        input={"keyId": key.output, "derivationPath": [0, 1.5, key.output], "messageHash": "0x1"},
        config={"servers": key.output},
    )
    send = BroadcastBitcoinTransactionOperator(
        task_id="send", input={"signedTransaction": "00"}, config={"network": "testnet"}
    )
    decode = DecodeEvmFunctionResultOperator(
        task_id="decode", input={"abi": [{"type": "function"}], "encodedResult": "0x"}, config={"functionName": "f"}
    )
    call = ApiCallOperator(
        task_id="call",
        input={"headers": {"Authorization": f"Bearer {secret(variable='token')}"}},
        config={"apiUrl": "https://example.org", "method": "GET"},
    )
    file = ApiCallOperator(task_id="file", input="call.json", config=call.output)
    given: list[GetEvmAccountBalanceInput] = [{"jsonRpcUrl": URL, "tokenAddress": "a", "account": "b"}]
    mapped = GetEvmAccountBalanceOperator.partial(task_id="mapped", retries=1)
    mapped.expand(input=given)  # pyright: ignore[reportUnknownMemberType] (Airflow's)


def uuid(output: RandomUuidOutput) -> str:
    return output["uuid"]
