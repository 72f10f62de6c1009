"""The Messages API without its transport: a request in, a message out. What batches hold is answered here too.

`read` and `answer` change nothing, so a request that is refused or meets a fault leaves no trace; `given` says that an
answer is on its way, and only then sequences go on and the cache is written.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from profiler.core.json import dumps
from profiler.provider.mock_server.answering.answers import Answers, Asked
from profiler.provider.mock_server.answering.dialogues import Dialogues
from profiler.provider.mock_server.answering.prepared import Prepared
from profiler.provider.mock_server.answering.variation import variation
from profiler.provider.mock_server.caching.cache_diagnosis import Diagnosis
from profiler.provider.mock_server.caching.prompt_cache import PromptCache
from profiler.provider.mock_server.caching.threads import Threads
from profiler.provider.mock_server.reading import rules
from profiler.provider.mock_server.reading.models import Models
from profiler.provider.mock_server.reading.requests import check_message, read_message, read_prompt

if TYPE_CHECKING:
    from profiler.provider.mock_server.caching.prompt_cache import Use
    from profiler.provider.mock_server.reading.prompts import NewMessage
    from profiler.provider.mock_server.reading.requests import Version
    from profiler.provider.mock_server.settings import ServerSettings


MOST_COUNTED = 1_000_000


class Question(msgspec.Struct, frozen=True):
    """A request that is in order, and the name under which it is counted."""

    asked: Asked
    name: str


class Answer(msgspec.Struct, frozen=True):
    """A message, and what else happens once it is given."""

    message: dict[str, Any]
    question: Question
    entry: str | None  # of the prepared answers
    cache: Use | None


class Messages:
    """Everything that stands behind `/v1/messages`."""

    def __init__(self, settings: ServerSettings) -> None:
        self.models = Models(settings.models)
        self._settings = settings
        self._dialogues = Dialogues(settings.dataset_path)
        self._prepared = Prepared(settings.responses_path)
        self._answers = Answers(settings)
        self._cache = PromptCache()
        self._diagnosis = Diagnosis()
        self._threads = Threads()
        self._given: dict[str, int] = {}  # how often each question was answered, where answers vary

    def reset(self) -> None:
        """As if nothing had been asked yet."""
        for part in (self._prepared, self._cache, self._diagnosis, self._threads):
            part.reset()
        self._given.clear()

    def read(self, body: bytes, *, version: Version, named: str | None = None) -> Question:
        """The bytes of a request, checked; raises the API's error. `named` is the dialogue it says it belongs to."""
        question = self._question(read_message(body, version=version, models=self.models), body, named)
        if question.asked.wanted.thread is not None:
            return self._with_thread(question, named)
        return question

    def read_params(self, params: Any, *, version: Version) -> Question:
        """What an item of a batch asks, checked in the same way."""
        wanted = check_message(params, version=version, models=self.models)
        return self._question(wanted, dumps(params), None)

    def answer(self, question: Question, *, now: float) -> Answer:
        """The message for a request."""
        asked, wanted = question.asked, question.asked.wanted
        if self._settings.vary and (before := self._given.get(question.name, 0)):
            drawn = variation(self._settings.seed, question.name, before, temperature=wanted.temperature)
            asked = replace(asked, variation=drawn, digest=sha256(f"{asked.digest} {before}".encode()).hexdigest())
        name, entry = None, None
        if self._prepared and (found := self._prepared.find(wanted, dialogue_id=asked.dialogue.dialogue_id)):
            name, entry = found
        message = self._answers.message(asked, entry)
        cache = self._cache.look(wanted, asked.takes, now=now)
        if cache is not None:
            message["usage"] |= cache.usage(message["usage"]["input_tokens"])
        if wanted.diagnostics is not None:
            message["diagnostics"] = self._diagnosis.of(wanted)
        return Answer(message, question, name, cache)

    def given(self, answer: Answer, *, now: float, begins_at: float) -> None:
        """An answer is on its way, and its first byte leaves at `begins_at`."""
        wanted = answer.question.asked.wanted
        if self._settings.vary:
            self._count(answer.question.name)
        if answer.entry is not None:
            self._prepared.use(answer.entry)
        if answer.cache is not None:
            self._cache.keep(answer.cache, now=now, ready_at=begins_at)
        if wanted.diagnostics is not None:
            self._diagnosis.remember(wanted, message_id=answer.message["id"])
        if wanted.thread is not None:
            self._threads.hold(wanted, answer.message)

    def _count(self, name: str) -> None:
        self._given[name] = self._given.pop(name, 0) + 1
        if len(self._given) > MOST_COUNTED:
            del self._given[next(iter(self._given))]

    def count(self, body: bytes, *, version: Version) -> dict[str, int]:
        """What `/v1/messages/count_tokens` says: the tokens that the usage of a message would add up to."""
        prompt = read_prompt(body, version=version, models=self.models)
        return {"input_tokens": prompt.input_tokens}

    def _question(self, wanted: NewMessage, body: bytes, named: str | None) -> Question:
        takes = self.models.find(wanted.model)
        dialogue = self._dialogues.find(wanted, named=named)
        digest = sha256(body).hexdigest()
        known = self._dialogues.knows(dialogue)
        name = digest
        if named is not None or known:
            name = f"{dialogue.dialogue_id}#{wanted.turn}" if wanted.turn else dialogue.dialogue_id
        asked = Asked(wanted, takes, dialogue, known, digest)
        return Question(asked, name)

    def _with_thread(self, question: Question, named: str | None) -> Question:
        """The question after the conversation that the server holds for it."""
        asked = question.asked
        wanted = replace(asked.wanted, messages=self._threads.whole(asked.wanted))
        wanted.input_tokens = rules.check(wanted, asked.takes)
        dialogue = self._dialogues.find(wanted, named=named)
        known = self._dialogues.knows(dialogue)
        return replace(question, asked=replace(asked, wanted=wanted, dialogue=dialogue, of_dataset=known))
