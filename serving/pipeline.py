"""A request becomes tokens, an engine continues them, the new ones become the answer.

A prompt to a model with a chat template is one user message. Such a model was tuned to answer messages
and only continues bare text: asked "What is the capital of France?" as it stands, the built-in one ends
at once or rambles. Its answer stands alone: ``return_full_text`` applies to text continued by a model
without a template. Messages need a template; the pipeline ``conversational`` refuses to start without one.

How tokens are chosen is, in this order, what the request names, what the settings file says, what the model's
generation_config.json recommends, the reference's defaults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, Final, Literal

from jinja2 import TemplateError
from pydantic import ValidationError

from serving.chat import SAMPLING, ChatRequest, GenerateOptions, RequestError
from serving.engine import Engine, ModelError, Tokens, first_line
from serving.logprobs import Chosen, Logprobs
from serving.metrics import measured, prompted, stage
from serving.text import Decode, Detokenizer, Stopper
from serving.tokenizer import Tokenizer, read_tokenizer, spelled
from serving.tools import Dialect, dialect

PIPELINES: Final = ("text-generation", "conversational")
#: Is whoever asked not there any more?
Gone = Callable[[], bool]
_RECOMMENDED: Final = SAMPLING | {"do_sample", "repetition_penalty"}


class Completion:
    """An answer in the making: its pieces of text as they come, and afterwards why it ended.

    ``close`` ends it where nobody reads on.
    """

    def __init__(
        self,
        tokens: Tokens,
        decode: Decode,
        prompt_tokens: int,
        most: int,
        end_token: int | None,
        stop: Sequence[str],
        logprobs: Logprobs | None = None,
    ) -> None:
        self.prompt_tokens, self.tokens = prompt_tokens, 0
        self.finish_reason: Literal["stop", "length"] = "stop"
        self._made, self._most, self._end_token = tokens, most, end_token
        self._text, self._stop = Detokenizer(decode), Stopper(stop)
        self._logprobs = logprobs
        self._passed = 0  # letters of text

    def __iter__(self) -> Iterator[str]:
        """A piece a token: empty where it is no text yet."""
        token, seen = None, 0
        with closing(self._made):
            for token in measured(self._made):
                self.tokens += 1
                text = self._text.add(token.id)
                if self._logprobs is not None:
                    self._logprobs.add(token, seen)
                seen += len(text)
                yield self._pass(self._stop.add(text))
                if self._stop.stopped:
                    return
        if self.tokens >= self._most and (token is None or token.id != self._end_token):
            self.finish_reason = "length"
        last = self._stop.add(self._text.end())
        yield self._pass(last if self._stop.stopped else last + self._stop.end())

    def told(self) -> list[Chosen] | None:
        """Of the tokens of the text that has come since this was last asked; None where that is not wanted."""
        return None if self._logprobs is None else self._logprobs.before(self._passed)

    def _pass(self, text: str) -> str:
        self._passed += len(text)
        return text

    def close(self) -> None:
        self._made.close()


class Pipeline:
    """One model that answers requests."""

    def __init__(self, tokenizer: Tokenizer, engine: Engine, defaults: GenerateOptions) -> None:
        self._tokenizer, self._engine, self._defaults = tokenizer, engine, defaults
        #: How this model calls tools; None where it knows none.
        self.dialect: Dialect | None = dialect(tokenizer.chat_template)

    def answer(self, request: ChatRequest, gone: Gone = lambda: False) -> str:
        """The answer's text; it is given up where whoever asked is ``gone``. Raises RequestError for what this model
        cannot take."""
        options = request.generate_kwargs.over(self._defaults)
        ids = self._ids(request)
        if len(ids) >= self._engine.window:
            ids = self._shortened(ids, request, options)
        new_tokens = self._room(len(ids), options)
        with closing(self._engine.generate(ids, options, new_tokens)) as tokens:
            continued = [*ids, *(token.id for token in takewhile(lambda _: not gone(), measured(tokens)))]
        prompted(len(ids))
        text, asked = self._text(continued, request), self._text(ids, request)
        if self._chats or not request.return_full_text:
            return text[len(asked) :]
        return text

    def complete(
        self,
        asked: str | Sequence[dict[str, Any]],
        options: GenerateOptions,
        stop: Sequence[str] = (),
        *,
        tools: Sequence[dict[str, Any]] = (),
        opening: str = "",
        likeliest: int | None = None,
    ) -> Completion:
        """Continue a text, or answer messages, up to one of the texts ``stop``; it has begun when this returns.

        ``tools`` are shown to the model; ``opening`` is how its answer begins, which is not part of what comes. With
        ``likeliest``, each token is told of, and so many that were likeliest in its place. Raises RequestError for what
        this model cannot take.
        """
        ids = self._tokenizer.encode(asked) if isinstance(asked, str) else self._chat(asked, tools)
        if opening:
            ids += self._tokenizer.encode(opening, add_special_tokens=False)
        window = self._engine.window
        new_tokens = window - len(ids) if options.max_new_tokens is None else options.max_new_tokens
        if len(ids) + new_tokens > window or new_tokens < 1:
            wanted = f" and max_tokens is {options.max_new_tokens}" if options.max_new_tokens else ""
            raise RequestError(
                f"The prompt has {len(ids)} tokens{wanted}; the model holds {window}, prompt and answer together."
                " Send a shorter prompt, or a smaller max_tokens."
            )
        prompted(len(ids))
        tokens = self._engine.generate(ids, options.over(self._defaults), new_tokens, likeliest)
        logprobs = None if likeliest is None else Logprobs(partial(spelled, self._tokenizer))
        return Completion(tokens, self._decode, len(ids), new_tokens, self._tokenizer.eos_token_id, stop, logprobs)

    def warm_up(self) -> None:
        """Generate a token, so that a pipeline said to be ready has answered once."""
        self.answer(ChatRequest(prompt="Hi", generate_kwargs=GenerateOptions(max_new_tokens=2, do_sample=False)))

    @property
    def _chats(self) -> bool:
        return self._tokenizer.chat_template is not None

    def _ids(self, request: ChatRequest) -> list[int]:
        prompt = f"{request.prefix or ''}{request.prompt or ''}"
        if request.messages is None and not self._chats:
            return self._tokenizer.encode(prompt)
        turns = [turn.model_dump() for turn in request.messages or []] or [{"role": "user", "content": prompt}]
        return self._chat(turns)

    def _chat(self, turns: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()) -> list[int]:
        if not self._chats:
            raise RequestError("This model has no chat template and takes no messages. Send a prompt instead.")
        if tools and self.dialect is None:
            raise RequestError(
                "This model's chat template shows it no tools, or in a way that this server does not know. Leave tools"
                " out, or send response_format with a schema."
            )
        shown, told = self.dialect.shown(turns, tools) if self.dialect else (list(turns), list(tools))
        try:
            encoded = self._tokenizer.apply_chat_template(
                shown, tools=told or None, add_generation_prompt=True, return_dict=True
            )
        except TemplateError as error:
            raise RequestError(f"The model's chat template refuses these messages: {first_line(error)}") from error
        ids: list[int] = encoded["input_ids"]
        return ids

    def _shortened(self, ids: list[int], request: ChatRequest, options: GenerateOptions) -> list[int]:
        """The end of ``ids``, where the request asks for it, that leaves room for the new tokens."""
        window = self._engine.window
        if request.handle_long_generation is None:
            raise RequestError(
                f"The prompt has {len(ids)} tokens and the model holds {window}, its answer included. "
                'Send a shorter one, or handle_long_generation "hole" to drop its beginning.'
            )
        if options.max_new_tokens is None or options.max_new_tokens >= window:
            raise RequestError(
                f'handle_long_generation "hole" needs generate_kwargs.max_new_tokens below {window}, '
                "the tokens that the model holds."
            )
        return ids[options.max_new_tokens - window :]

    def _room(self, length: int, options: GenerateOptions) -> int:
        """How many tokens the answer may have."""
        end = options.max_length if options.max_new_tokens is None else length + options.max_new_tokens
        if end <= length:
            raise RequestError(
                f"The prompt has {length} tokens and generate_kwargs.max_length, which counts them too, "
                f"is {end}. Send a larger max_length, or max_new_tokens, which counts the answer only."
            )
        return min(end, self._engine.window) - length

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _text(self, ids: list[int], request: ChatRequest) -> str:
        return self._tokenizer.decode(
            ids,
            skip_special_tokens=True,
            clean_up_tokenization_spaces=request.clean_up_tokenization_spaces,
        )


def load(engines: Mapping[str, Engine], weights: Path, kind: str, wanted: GenerateOptions) -> dict[str, Pipeline]:
    """Load tokenizer and recommended options from ``weights`` and have each engine answer once; ``wanted`` options go
    before those.

    Raises ModelError.
    """
    try:
        with stage("tokenizer"):
            tokenizer = read_tokenizer(weights)
        defaults = wanted.over(recommended(weights))
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"the tokenizer in {weights} cannot be loaded: {first_line(error)}") from error
    if kind == "conversational" and tokenizer.chat_template is None:
        raise ModelError(f"the model in {weights} has no chat template; run it with --pipeline text-generation")
    pipelines = {name: Pipeline(tokenizer, engine, defaults) for name, engine in engines.items()}
    with stage("warm"):
        for pipeline in pipelines.values():
            pipeline.warm_up()
    return pipelines


def recommended(weights: Path) -> GenerateOptions:
    """How the model's makers choose tokens, by its generation_config.json; its lengths are not taken over."""
    file = weights / "generation_config.json"
    if not file.exists():
        return GenerateOptions()
    content = json.loads(file.read_text())
    named = {key: value for key, value in content.items() if key in _RECOMMENDED and value is not None}
    try:
        return GenerateOptions.model_validate(named)
    except ValidationError as error:
        raise ModelError(f"{file} recommends what cannot be: {error.errors()[0]['msg']} in {named}") from error
