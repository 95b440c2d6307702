"""Tools in the words of Mistral's, Phi's and Llama's templates, with the real model: called, answered, read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.integration.serving.process import serving

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}
#: Short templates that do what the real ones do: show tools and earlier calls, and refuse what those refuse.
MISTRAL = """\
{%- if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}
{%- for turn in messages %}
{%- if turn.tool_calls %}[TOOL_CALLS][
{%- for call in turn.tool_calls %}
{%- if call.id | length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}{{ call.function | tojson }}
{%- endfor %}]
{%- elif turn.role == 'tool' %}
{%- if turn.tool_call_id | length != 9 %}{{ raise_exception('ids have nine letters') }}{% endif %}
[TOOL_RESULTS]{{ turn.content }}[/TOOL_RESULTS]
{%- else %}<|im_start|>{{ turn.role }}
{{ turn.content }}<|im_end|>
{% endif %}{% endfor %}<|im_start|>assistant
"""
PHI = """\
{%- for turn in messages %}<|im_start|>{{ turn.role }}
{{ turn['content'] }}{% if 'tools' in turn %}{{ '<|tool|>' + turn['tools'] + '<|/tool|>' }}{% endif %}<|im_end|>
{% endfor %}<|im_start|>assistant
"""
LLAMA = """\
{%- if tools %}Environment: ipython
Answer with {"name": function name, "parameters": its arguments}.
{{ tools | tojson }}{% endif %}
{%- for turn in messages %}<|im_start|>{{ turn.role }}
{% if turn.tool_calls %}{{ turn.tool_calls[0].function | tojson }}{% else %}{{ turn.content }}{% endif %}<|im_end|>
{% endfor %}<|im_start|>assistant
"""


@pytest.mark.parametrize("template", [MISTRAL, PHI, LLAMA], ids=["Mistral", "Phi", "Llama"])
def test_a_tool_is_called_and_its_result_is_read(template: str, weights: Path, tmp_path: Path) -> None:
    taught = tmp_path / "weights"
    taught.mkdir()
    for file in weights.iterdir():
        (taught / file.name).symlink_to(file)
    config = json.loads((weights / "tokenizer_config.json").read_text())
    (taught / "tokenizer_config.json").unlink()
    (taught / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": template}))
    talk: list[Any] = [{"role": "user", "content": "How is the weather in Paris?"}]
    asked: dict[str, Any] = {"model": "smollm2", "tools": [WEATHER], "max_completion_tokens": 60}
    with (
        serving(taught, tmp_path / "log", "--backend=openvino", "--name=smollm2") as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as client,
    ):
        answer: Any = client.chat.completions.create(messages=talk, tool_choice="required", **asked)
        message = answer.choices[0].message
        (call,) = message.tool_calls
        assert call.function.name == "get_weather"
        assert json.loads(call.function.arguments)["city"]
        talk += [
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "22 degrees celsius"},
        ]
        told: Any = client.chat.completions.create(messages=talk, tool_choice="none", **asked)
        assert told.choices[0].message.content
