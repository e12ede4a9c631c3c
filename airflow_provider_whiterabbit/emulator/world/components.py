"""White Rabbit's components, as far as their public pages describe them: the emulator's built-in catalogue.

White Rabbit's own catalogue is far longer. The names of the modules, inputs, config fields and outputs here are those
of the pages. The ``description`` of each definition says what the pages leave open and this module guesses: a guess may
be wrong at the real White Rabbit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from airflow_provider_whiterabbit.emulator.world.declarations import definition_of

Definition = Mapping[str, Any]
Schemas = Mapping[str, Mapping[str, Any]]

_STRING, _NUMBER, _OBJECT = {"type": "string"}, {"type": "number"}, {"type": "object"}
_RPC = {"jsonRpcUrl": _STRING}
"""An input that is a secret: the address of a private endpoint with an access key in it."""

_SERVERS = {"type": "array", "items": {"type": "string", "enum": ["OFFICIAL_1", "OFFICIAL_2", "OFFICIAL_3"]}}
_METHOD = {"type": "string", "enum": ["GET", "POST", "PUT", "PATCH", "DELETE"]}
_NETWORK = {"type": "string", "enum": ["mainnet", "testnet"]}


def _definition(
    name: str,
    module: str,
    group: str,
    *,
    inputs: Schemas | None = None,
    optional: Schemas | None = None,
    config: Schemas | None = None,
    outputs: Schemas | None = None,
    guess: str | None = None,
) -> dict[str, Any]:
    """Return the definition of a component.

    :param optional: inputs that the component's page calls optional. That the catalogue marks them with ``optional`` is
        a guess: White Rabbit's own client takes every input for required.
    :param config: fields of the config, all of them required.
    :param guess: what is guessed beside the name, the group and the execution modes.
    """
    guesses = ["the name, the group and the execution modes", *([] if guess is None else [guess])]
    every_input = {**(inputs or {}), **(optional or {})}
    return {
        **definition_of(module, every_input, outputs, config, optional or (), config or ()),
        "name": name,
        "type": group,
        "description": f"As on the component's public page. Guessed: {'; '.join(guesses)}.",
    }


BUILT_IN: tuple[Definition, ...] = (
    _definition("Random UUID", "RANDOM_UUID", "UTILITY", outputs={"uuid": _STRING}),
    _definition(
        "Get EVM account balance",
        "GET_EVM_ACCOUNT_BALANCE",
        "EVM",
        inputs={**_RPC, "tokenAddress": _STRING, "account": _STRING},
        outputs={"balance": _STRING},
    ),
    _definition(
        "Wait for EVM transaction",
        "WAIT_FOR_EVM_TRANSACTION",
        "EVM",
        inputs={**_RPC, "transactionHash": _STRING},
        outputs={"transactionHash": _STRING, "blockNumber": _STRING, "status": _STRING},
        guess="all outputs, which are not documented",
    ),
    _definition(
        "Read EVM contract",
        "READ_EVM_CONTRACT",
        "EVM",
        inputs={**_RPC, "contractAddress": _STRING, "calldata": _STRING},
        outputs={"result": _STRING},
    ),
    _definition(
        "Decode EVM function result",
        "DECODE_EVM_FUNCTION_RESULT",
        "EVM",
        inputs={"abi": {"type": "array", "items": _OBJECT}, "encodedResult": _STRING},
        config={"functionName": _STRING},
        guess="that the values are strings; the outputs are called 0, 1, … and depend on the function",
    ),
    _definition(
        "Get EVM Safe address",
        "GET_EVM_SAFE_ADDRESS",
        "EVM",
        inputs={
            **_RPC,
            "owners": {"type": "array", "items": _STRING},
            "threshold": _NUMBER,
            "saltNonce": _STRING,
        },
        optional={"singletonAddress": _STRING, "proxyFactoryAddress": _STRING, "fallbackHandlerAddress": _STRING},
        outputs={"safeAddress": _STRING, "initializerCalldata": _STRING},
        guess="the type of saltNonce, and how optional inputs are marked",
    ),
    _definition(
        "API call",
        "API_CALL",
        "UTILITY",
        inputs={"headers": _OBJECT},
        config={"apiUrl": _STRING, "method": _METHOD},
        outputs={"status": _NUMBER},
        guess="that nothing else is needed; a mapping can add outputs",
    ),
    _definition(
        "Broadcast Bitcoin transaction",
        "BROADCAST_BITCOIN_TRANSACTION",
        "BITCOIN",
        inputs={"signedTransaction": _STRING},
        config={"network": _NETWORK},
        outputs={"txid": _STRING},
    ),
    _definition(
        "Generate key share",
        "GENERATE_KEY_SHARE",
        "KEYS",
        inputs={"curve": _STRING, "threshold": _NUMBER},
        config={"servers": _SERVERS},
        outputs={"keyId": _STRING, "rootPublicKey": _STRING},
        guess="that curve may be any text: the page lists the curves, and the list is not known here",
    ),
    _definition(
        "Sign with key share",
        "SIGN_WITH_KEY_SHARE",
        "KEYS",
        inputs={
            "keyId": _STRING,
            "derivationPath": {"type": "array", "items": _NUMBER},
            "messageHash": _STRING,
        },
        config={"servers": _SERVERS},
        outputs={"signature": _STRING},
        guess="the name and the type of the output, which is a signature",
    ),
)

_HASH, _ADDRESS = f"0x{'5c' * 32}", f"0x{'5c' * 20}"

_SAMPLES: Mapping[str, Any] = {
    "GET_EVM_ACCOUNT_BALANCE": {"balance": "1000000000000000000"},
    "WAIT_FOR_EVM_TRANSACTION": {"transactionHash": _HASH, "blockNumber": "46147", "status": "success"},
    "READ_EVM_CONTRACT": {"result": f"0x{1:064x}"},
    "DECODE_EVM_FUNCTION_RESULT": {"0": "1"},
    "GET_EVM_SAFE_ADDRESS": {"safeAddress": _ADDRESS, "initializerCalldata": "0x"},
    "API_CALL": {"status": 200},
    "BROADCAST_BITCOIN_TRANSACTION": {"txid": "5c" * 32},
    "GENERATE_KEY_SHARE": {"keyId": "key-1", "rootPublicKey": f"0x{'02' * 33}"},
    "SIGN_WITH_KEY_SHARE": {"signature": f"0x{'5c' * 65}"},
}


def sample_output(module: str, inputs: Any) -> Any:
    """Return the output of an execution whose script has none.

    A component of White Rabbit has an output of the documented form: always the same one, except that each UUID is new.
    Any other module echoes its name and its input.
    """
    if module == "RANDOM_UUID":
        return {"uuid": str(uuid4())}
    return _SAMPLES.get(module, {"module": module, "input": inputs})
