"""A request to a local worker, with a stand-in for the worker that repeats what it receives."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from erniekit_adapter.predictors import local
from erniekit_adapter.predictors.local import LocalModel, start_worker

REPEATING = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    answer = {"id": json.loads(line)["id"], "answer": line, "prompt_tokens": 3, "answer_tokens": 2, "finished": True}
    print(json.dumps(answer), flush=True)
"""


@pytest.mark.parametrize("schema", [None, '{"enum": ["税"]}'])
def test_request_has_its_schema(schema: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", REPEATING]
    monkeypatch.setattr(local, "command_line", lambda model: (command, dict(os.environ)))

    async def received() -> str:
        worker = await start_worker(LocalModel("erniekit", tmp_path), tmp_path / "log")
        try:
            reply, _ = await worker.ask("Total?", 7, schema)
        finally:
            await worker.end()
        return reply.text

    expected = {"id": "1", "request": "Total?", "max_new_tokens": 7}
    assert json.loads(asyncio.run(received())) == expected | ({} if schema is None else {"schema": schema})
