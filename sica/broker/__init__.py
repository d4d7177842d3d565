"""Serves a gateway to boxes: one Unix socket a box. Holds the money; nothing is sent before it is reserved.

    door.py      sockets and HTTP, on one asyncio loop in one thread; nothing in it blocks
    dialect.py   what a box may say, checked; another protocol is another such file
    this file    a call, in a thread of its own: reserve, record, ask the gateway, settle
    session.py   what one box was given and used;  money.py  accounts;  terms.py  patience and limits

The socket's path says who is asking, so a request needs no key and cannot claim to be another session.
A call that was sent is settled even when the agent has hung up.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

from aiohttp import web

from sica import chat
from sica.broker import dialect, manners
from sica.broker.dialect import Refused, Request
from sica.broker.door import (
    Connection,
    Direct,
    Exchange,
    Item,
    Listener,
    Reply,
    Server,
    Translated,
    Whole,
    json_response,
    listen,
    room_for_connections,
)
from sica.broker.manners import Manner
from sica.broker.money import Account, Days, Pace, least, with_completion
from sica.broker.session import BoxSession, Held, clean_span, facts
from sica.broker.terms import Terms
from sica.errors import BudgetStopped, CredentialsError, ProviderError, RequestRejected, SicaError, UsageError
from sica.model import Budget, Call, Usage
from sica.ports import Ask, Asked, Gateway, Price, Trace
from sica.roles import Roles

__all__ = ["BoxSession", "HttpBroker", "Terms"]


class HttpBroker:
    """A ports.Broker, used as a context manager.

    `record` is called by one thread at a time, but not always by the same one. `fatal` is set once the run
    cannot go on: a refused key, a model that does not exist, a ledger or trace that cannot be written.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        runtime: Path,
        record: Callable[[Call], None],
        spent: Usage = Usage(),  # noqa: B008 - frozen
        cap: Budget = Budget(),  # noqa: B008 - frozen
        spent_by_day: Mapping[int, Usage] | None = None,
        cap_of_day: Budget = Budget(),  # noqa: B008 - frozen
        roles: Roles = Roles(),  # noqa: B008 - frozen
        prices: Mapping[str, Price] | None = None,
        priced: Callable[[str, Price], None] | None = None,
        terms: Terms = Terms(),  # noqa: B008 - frozen
        now: Callable[[], float] = time.time,
    ) -> None:
        """`spent`: what the run used before; `spent_by_day`: what every run did, by UTC day. `roles`: more models
        that a box may ask for. `prices`: beat the gateway's. `priced` is told each price before the first call that
        it is used for.
        """
        self.fatal: BaseException | None = None
        self._gateway, self._runtime, self._record, self._terms = gateway, runtime, record, terms
        self._roles = roles
        self._prices: dict[str, Price | None] = dict(prices or {})
        self._account = Account(cap, spent)
        self._days = Days(cap_of_day, spent_by_day or {})
        self._priced, self._now = priced, now
        self._announced: set[str] = set()
        self._money = threading.Condition()
        self._recording = threading.Lock()
        self._pace = Pace()
        self._sessions: dict[str, BoxSession] = {}
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def __enter__(self) -> Self:
        room_for_connections()
        (self._runtime / "s").mkdir(parents=True, exist_ok=True)
        for folder in (self._runtime, self._runtime / "s"):
            folder.chmod(0o711)  # a box's user walks through and lists nothing
        self._loop = asyncio.new_event_loop()  # only now: one that is never entered leaves nothing open
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def spent(self) -> Usage:
        """Everything the run used, calls under way at their reservation."""
        with self._money:
            return self._account.used()

    def left(self) -> Budget:
        """What may still be used of the run's cap and today's."""
        with self._money:
            return least(self._account.left(), self._days.on(self._now()).left())

    @contextmanager
    def session(
        self,
        *,
        id: str,
        role: str,
        model: str,
        budget: Budget,
        seed: int,
        trace: Trace,
        run: str,
        agent: str = "",
        task: str = "",
    ) -> Iterator[BoxSession]:
        """Raises UsageError, before anything is sent, when dollars are capped and a price is unknown."""
        session = self._begin(id, role, model, budget, seed, trace, run, agent, task)
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, session.directory, ignore_errors=True)
            server = self._wait_for(self._open(session))
            undo.callback(lambda: self._wait_for(server.cleanup()))
            undo.callback(self._finish, session)
            self._sessions[id] = session
            undo.callback(self._sessions.pop, id)
            yield session

    @contextmanager
    def asking(
        self,
        *,
        id: str,
        role: str,
        model: str,
        budget: Budget,
        seed: int,
        trace: Trace,
        run: str,
        agent: str = "",
        task: str = "",
    ) -> Iterator[Ask]:
        """A door for sica itself: under the same books and caps as a box's, without a socket."""
        session = self._begin(id, role, model, budget, seed, trace, run, agent, task)
        try:
            yield partial(self._direct, session)
        finally:
            self._finish(session)

    def _direct(self, session: BoxSession, messages: Sequence[Mapping[str, Any]], tokens: int) -> str:
        body = {"model": session.model, "messages": list(messages), "max_tokens": tokens}
        answer = Direct()
        with self._money:
            session.running += 1
        try:
            self._call(session, dialect.read(json.dumps(body).encode()), answer)
        except Refused as refused:
            if refused.kind == _EXHAUSTED:
                raise BudgetStopped(refused.message) from None
            raise ProviderError(refused.message, transient=False) from None
        finally:
            with self._money:
                session.running -= 1
                self._money.notify_all()
        said = answer.items[-1]
        if not isinstance(said, Reply) or said.status != 200:
            raise ProviderError(session.failure() or "there is no answer", transient=False)
        return chat.text(said.body)

    def _begin(
        self,
        id: str,
        role: str,
        model: str,
        budget: Budget,
        seed: int,
        trace: Trace,
        run: str,
        agent: str,
        task: str,
    ) -> BoxSession:
        caps = (budget.usd, self._account.cap.usd, self._days.cap.usd)
        for name in {model, *self._meant(model).values()}:
            self._price(name, capped=any(cap is not None for cap in caps))
        session = BoxSession(
            id=id,
            role=role,
            model=model,
            budget=budget,
            seed=seed,
            trace=trace,
            run=run,
            agent=agent,
            task=task,
            directory=self._runtime / "s" / id,
            money=self._money,
        )
        session.log("session", session=id, role=role, model=model, seed=seed, run=run, budget=facts(budget))
        return session

    def notice(self, session: str, text: str) -> bool:
        """Put a message before the model of a box that is running; False when there is none of that name."""
        found = self._sessions.get(session)
        if found is not None:
            found.notice(text)
        return found is not None

    def _wait_for(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, session: BoxSession) -> web.ServerRunner:
        slots = asyncio.Semaphore(self._terms.at_once)

        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            with cast(Connection, request.protocol).heard():
                return await self._serve(session, slots, request)

        runner = web.ServerRunner(Server(serve, self._terms, self._loop), shutdown_timeout=0.2)
        await runner.setup()
        await web.SockSite(runner, listen(session.directory), backlog=1024).start()
        return runner

    def _finish(self, session: BoxSession) -> None:
        """Let calls under way come back, then count the rest at what was reserved for them, for good."""
        session.closing.set()
        with self._money:
            self._money.notify_all()
            self._money.wait_for(lambda: not session.running, self._terms.grace)
        with self._recording, self._money:
            abandoned = list(session.account.held.items())
            for number, usage in abandoned:
                for account, key in self._accounts(session, number, session.reserved_at[number]):
                    account.settle(key, usage)
            self._money.notify_all()
        for number, usage in abandoned:
            session.log("failed", call=number, reason="not back when the box ended", usage=facts(usage))
        session.leave_trace()

    # ── HTTP ──

    async def _serve(
        self, session: BoxSession, slots: asyncio.Semaphore, request: web.BaseRequest
    ) -> web.StreamResponse:
        path = request.path.removeprefix("/v1")
        manner = _MANNERS.get(path)
        try:
            if path not in _ROUTES:
                there = ", ".join(f"/v1{known}" for known in _ROUTES)
                raise Refused(404, f"there is no {request.path[:200]}; there are: {there}")
            if request.method != _ROUTES[path]:
                raise Refused(405, f"{request.path} takes {_ROUTES[path]} only")
            if path == "/models":
                return json_response(200, self._models(session))
            return await self._chat(session, slots, request, manner)
        except Refused as refused:
            body = manner.error(refused.body()) if manner else refused.body()
            return json_response(refused.status, body, close=refused.status in {408, 413, 415})

    def _models(self, session: BoxSession) -> Mapping[str, Any]:
        names = self._meant(session.model)
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "provider"} for name in names]
        return {"object": "list", "data": data}

    async def _chat(
        self,
        session: BoxSession,
        slots: asyncio.Semaphore,
        request: web.BaseRequest,
        manner: Manner | None,
    ) -> web.StreamResponse:
        """The slot is taken before the body is read and given back by the call's own thread."""
        await slots.acquire()
        try:
            raw = await self._body(request)
        except BaseException:
            slots.release()
            raise
        exchange = Exchange(self._loop)
        span = clean_span(request.headers.get("X-Agent-Span", ""))
        with self._money:
            session.running += 1
        threading.Thread(
            target=self._work,
            args=(session, raw, span, manner, exchange, slots),
            name=f"call of {session.id}",
            daemon=True,
        ).start()
        try:
            return await self._answer(request, exchange)
        finally:
            exchange.hung_up.set()

    async def _body(self, request: web.BaseRequest) -> bytes:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused(415, "send the body uncompressed")
        most, raw = self._terms.body_bytes, bytearray()
        if (request.content_length or 0) > most:
            raise Refused(413, f"the body has more than {most} bytes")
        try:
            async with asyncio.timeout(self._terms.body_seconds):
                async for block in request.content.iter_any():
                    raw += block
                    if len(raw) > most:
                        raise Refused(413, f"the body has more than {most} bytes")
        except TimeoutError:
            raise Refused(408, "the body did not come in time") from None
        except web.RequestPayloadError:
            raise Refused(400, "the body ended early") from None
        return bytes(raw)

    async def _answer(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        first = await exchange.items.get()
        if isinstance(first, Reply):
            return json_response(first.status, first.body)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        if isinstance(first, Whole):
            for name, told in first.events:
                await response.write(f"event: {name}\ndata: {json.dumps(told)}\n\n".encode())
            await response.write_eof()
            return response
        item: Item = first
        while item is not None and not isinstance(item, Whole):
            data = item.body if isinstance(item, Reply) else item
            await response.write(b"data: " + json.dumps(data).encode() + b"\n\n")
            if isinstance(item, Reply):  # it broke in the middle: the error is the last thing said
                break
            item = await exchange.items.get()
        else:
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    # ── one call, in its own thread ──

    def _work(
        self,
        session: BoxSession,
        raw: bytes,
        span: str,
        manner: Manner | None,
        exchange: Exchange,
        slots: asyncio.Semaphore,
    ) -> None:
        heard: Exchange | Translated = Translated(exchange, manner, False) if manner else exchange
        try:
            if manner is None:
                asked = dialect.read(raw)
            else:
                asked, wants_events = manner.read(raw)
                heard = Translated(exchange, manner, wants_events)
            self._call(session, replace(asked, span=span), heard)
        except Refused as refused:
            heard.put(Reply(refused.status, refused.body()))
            if refused.status == 400 and session.count_refusal() <= self._terms.refusals:
                session.log("refused", call=None, reason=refused.message)
        except Exception as error:  # noqa: BLE001 - the thread's last stop: the run learns of it through `fatal`
            self._stop(session, error)
            heard.put(Reply(500, Refused(500, "internal error", kind="api_error").body()))
        finally:
            with self._money:
                session.running -= 1
                self._money.notify_all()
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(slots.release)

    def _stop(self, session: BoxSession, error: BaseException) -> None:
        session.mark_failed(f"{type(error).__name__}: {error}")
        self.fatal = self.fatal or error

    def _call(self, session: BoxSession, request: Request, exchange: Listener) -> None:
        """Reserve, record, send, settle. Whatever happens once it is reserved, the call is accounted for."""
        if self.fatal is not None:
            raise _failed()
        if why := session.cancelled(request.span):
            raise Refused(403, f"cancelled: {why}", kind="cancelled")
        held, notices = self._admit(session, request)
        self._promise(session, held)
        outcome = _Outcome(Usage(), "failed", None)
        try:
            session.log_request(held, notices, request.span)
            outcome = _Outcome(held.reserved, "failed", None)
            outcome = self._ask(session, held, request, exchange)
        finally:
            self._settle(session, held, outcome)
            if outcome.state == "failed":
                session.put_back(notices, request.span)  # nobody has heard them
        exchange.put(outcome.last)

    def _admit(self, session: BoxSession, request: Request) -> tuple[Held, list[str]]:
        notices = session.take_notices(request.span)
        try:
            return self._reserve(session, request, notices), notices
        except Refused as refused:
            session.put_back(notices, request.span)
            if refused.kind == _EXHAUSTED:
                self._note_refusal(session, refused.message)
            raise

    def _note_refusal(self, session: BoxSession, reason: str) -> None:
        if session.count_refusal() <= self._terms.refusals:
            number = session.next_number()
            session.log("refused", call=number, reason=reason)
            self._note(session, number, session.model, Usage(), "refused", self._now())

    def _reserve(self, session: BoxSession, request: Request, notices: Sequence[str]) -> Held:
        """Hold the worst that the call can cost, or raise Refused; nothing is held then.

        Where only calls under way stand in the way, wait for them: most cost less than was held for them.
        """
        model = self._resolve(session, request.model)
        price = self._price(model, capped=False)
        said = [{"role": "user", "content": text} for text in notices]
        body = {**self._effort(session, model), **request.body}
        body["messages"] = [*request.body["messages"], *said]
        tokens, digest = session.estimate({**body, "model": model})
        per_prompt, per_answer = price.most(tokens)
        prompt = Usage(usd=price.call + tokens * per_prompt, prompt_tokens=tokens, calls=1)
        began = time.monotonic()
        with self._money:
            while True:
                at = self._now()
                completion = self._completion(session, request, prompt, per_answer, at)
                need = with_completion(prompt, completion * request.choices, per_answer)
                lacking = self._lacking(session, need, at)
                if not lacking:
                    break
                if self._lacking(session, need, at, of_settled=True):
                    session.mark_reached(lacking)
                    raise Refused(429, f"budget exhausted: {lacking}", kind=_EXHAUSTED)
                if session.closing.is_set():
                    raise Refused(503, "this door is closed", kind="api_error")
                self._money.wait()
            number = session.next_number()
            session.reserved_at[number] = at
            for account, key in self._accounts(session, number, at):
                account.held[key] = need
        session.add_wait(time.monotonic() - began)
        if request.completion is None:
            body["max_tokens"] = completion
        return Held(number, model, price, need, at, {**body, "model": model}, digest)

    def _accounts(self, session: BoxSession, number: object, at: float) -> Iterator[tuple[Account, object]]:
        """Every account that a call reserved then is counted in, and its key there."""
        yield session.account, number
        yield self._account, (session.id, number)
        yield self._days.on(at), (session.id, number)

    def _lacking(self, session: BoxSession, need: Usage, at: float, *, of_settled: bool = False) -> str:
        """Which cap stands in the way: the session's own part, "run", "day", or ""."""
        if own := session.account.short(need, of_settled=of_settled):
            return own
        shared = (("run", self._account), ("day", self._days.on(at)))
        return next((name for name, account in shared if account.short(need, of_settled=of_settled)), "")

    def _completion(
        self, session: BoxSession, request: Request, prompt: Usage, each: float, at: float
    ) -> int:
        """Tokens of each choice: what was asked for, else the usual, else what the budgets have left."""
        if request.completion is not None:
            if request.completion > self._terms.most_completion:
                raise Refused(400, f"more than {self._terms.most_completion} completion tokens are asked for")
            return request.completion
        accounts = (session.account, self._account, self._days.on(at))
        room = min(account.left_for_completion(prompt, each) for account in accounts) / request.choices
        return int(min(room, self._terms.completion)) if room >= _WORTHWHILE else self._terms.completion

    def _resolve(self, session: BoxSession, asked: str) -> str:
        """The model that is meant, never another one than was asked for."""
        names = self._meant(session.model)
        if asked not in names:
            there = ", ".join(names)
            raise Refused(
                400, f"there is no model {asked[:200]!r} here; there are: {there}", code="model_not_found"
            )
        return names[asked]

    def _meant(self, main: str) -> Mapping[str, str]:
        """What may be asked for, by role or by name, and the model that it means."""
        by_role = self._roles.names(main)
        return {"default": main, main: main, **by_role, **{name: name for name in by_role.values()}}

    def _effort(self, session: BoxSession, model: str) -> Mapping[str, Any]:
        """How much a model that thinks is to think where its agent says nothing of it."""
        thinks = model in (session.model, self._roles.names(session.model)["reasoning"])
        asked = self._roles.effort and session.role in _AGENTS and thinks
        return {"reasoning_effort": self._roles.effort} if asked else {}

    def _price(self, model: str, *, capped: bool) -> Price:
        if model not in self._prices:
            self._prices[model] = self._gateway.price(model)
        price = self._prices[model]
        if price is not None and model not in self._announced:
            self._announced.add(model)
            if self._priced is not None:
                self._priced(model, price)
        if price is None and capped:
            raise UsageError(
                f"nobody knows the price of {model}, so a cap in dollars could not be kept",
                f'set it in sica.toml: [prices."{model}"] prompt = ..., completion = ... (dollars per million tokens), '
                "or run without a cap in dollars",
            )
        return price or Price(0.0, 0.0)

    def _ask(self, session: BoxSession, held: Held, request: Request, exchange: Listener) -> _Outcome:
        """The provider's answer, or what is told to the agent instead of it."""
        asked = Asked(held.request, session.role, session.seed, held.number, self._terms.timeout)
        began = time.monotonic()
        try:
            body: Mapping[str, Any]
            if request.stream:
                body, broken = self._stream(session, asked, exchange, wants_usage=request.wants_usage)
            else:
                body, broken = self._attempts(session, asked, exchange, self._gateway.complete), None
        except (ProviderError, CredentialsError, UsageError, RequestRejected) as error:
            return _Outcome(Usage(calls=1), "failed", self._told(session, held, error))
        usage = self._spent(session, held, body)
        seconds = round(time.monotonic() - began, 6)
        session.log("response", call=held.number, body=body, usage=facts(usage), seconds=seconds)
        if broken is not None:
            session.log("failed", call=held.number, reason=f"{type(broken).__name__}: {broken}")
            session.mark_broken(request.body, str(broken))
            return _Outcome(usage, "failed", Reply(502, _failed().body()))
        session.mark_answered(request.body)
        if request.stream:
            return _Outcome(usage, "settled", None)
        return _Outcome(usage, "settled", Reply(200, body))

    def _told(self, session: BoxSession, held: Held, error: SicaError) -> Reply:
        """Who is to blame decides: the agent for what no provider takes, else never the agent."""
        session.log("failed", call=held.number, reason=f"{type(error).__name__}: {error}")
        if isinstance(error, RequestRejected):
            return Reply(400, Refused(400, str(error), code=error.code).body())
        if isinstance(error, ProviderError):
            session.mark_failed(str(error))
        else:
            self._stop(session, error)
        return Reply(502, _failed().body())

    def _spent(self, session: BoxSession, held: Held, body: Mapping[str, Any]) -> Usage:
        """By the provider's own count; without one, everything that was held."""
        counted = chat.usage(body)
        if counted is None:
            return held.reserved
        session.learn(held.digest, counted.prompt_tokens)
        return replace(counted, calls=1, usd=held.price.of(counted))

    def _stream(
        self, session: BoxSession, asked: Asked, exchange: Listener, *, wants_usage: bool
    ) -> tuple[dict[str, Any], ProviderError | None]:
        """Pass chunks on as they come; the answer they add up to, and what broke it off if something did."""
        first, rest = self._attempts(session, asked, exchange, lambda a: _begun(self._gateway.stream(a)))
        seen: list[Mapping[str, Any]] = []
        broken = None
        try:
            for part in itertools.chain([first], rest):
                seen.append(part)
                if exchange.hung_up.is_set() or session.closing.is_set():
                    break
                if shown := _shown(part, wants_usage):
                    exchange.put(shown)
        except ProviderError as error:
            broken = error
        finally:
            if isinstance(rest, Generator):
                rest.close()
        return chat.whole(seen), broken

    def _attempts(
        self, session: BoxSession, asked: Asked, exchange: Listener, send: Callable[[Asked], _T]
    ) -> _T:
        """Try until it works, the failure is one that waiting cannot cure, or patience ends."""
        dice = random.Random(f"{session.seed} {asked.number}")
        for attempt in itertools.count():
            session.add_wait(self._pace.wait(session.closing))
            began = time.monotonic()
            try:
                return send(asked)
            except ProviderError as error:
                delay = self._terms.backoff * 2**attempt * dice.uniform(0.5, 1.5)
                delay = max(delay, error.retry_after or 0.0)
                over = attempt >= self._terms.retries or delay > self._terms.patience
                unheard = exchange.hung_up.is_set() or session.closing.is_set()
                if not error.transient or over or unheard:
                    raise
                session.log("retry", call=asked.number, reason=str(error), seconds=round(delay, 3))
                if error.retry_after is not None:
                    self._pace.hold(error.retry_after)
            session.closing.wait(delay)
            session.add_wait(time.monotonic() - began)
        raise AssertionError("unreachable")

    # ── books ──

    def _settle(self, session: BoxSession, held: Held, outcome: _Outcome) -> None:
        """Only once the row says less may others use what is left over: the rows never add up past the cap.

        Nothing, when the session ended before and counted the call at its reservation.
        """
        with self._recording:
            with self._money:
                if held.number not in session.account.held:
                    return
            self._record(self._row(session, held.number, held.model, outcome.usage, outcome.state, held.at))
            self._free(session, held, outcome.usage)

    def _promise(self, session: BoxSession, held: Held) -> None:
        """On record before it is sent. What cannot be recorded is not sent, and so not held either."""
        try:
            self._note(session, held.number, held.model, held.reserved, "reserved", held.at)
        except BaseException:
            self._free(session, held, Usage())
            raise

    def _free(self, session: BoxSession, held: Held, usage: Usage) -> None:
        with self._money:
            if held.number in session.account.held:
                for account, key in self._accounts(session, held.number, held.at):
                    account.settle(key, usage)
                self._money.notify_all()

    def _note(
        self, session: BoxSession, number: int, model: str, usage: Usage, state: _State, at: float
    ) -> None:
        with self._recording:
            self._record(self._row(session, number, model, usage, state, at))

    def _row(
        self, session: BoxSession, number: int, model: str, usage: Usage, state: _State, at: float
    ) -> Call:
        about = (session.agent, session.task)
        return Call(session.id, number, session.run, session.role, model, usage, state, at, *about)


_T = TypeVar("_T")
_State = Literal["reserved", "settled", "failed", "refused"]
_ROUTES = {"/chat/completions": "POST", "/messages": "POST", "/responses": "POST", "/models": "GET"}
_MANNERS = {"/messages": manners.MESSAGES, "/responses": manners.RESPONSES}
_EXHAUSTED = "budget_exhausted"
_AGENTS = ("main", "improve")
"""Roles of the sessions that belong to agents at work."""
_WORTHWHILE = 256
"""Completion tokens; an answer cut shorter than this helps nobody."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a call ended: what it used, and the last thing that its agent is told."""

    usage: Usage
    state: _State
    last: Item


def _failed() -> Refused:
    return Refused(502, "the model provider failed", kind="api_error", code="provider_error")


def _begun(stream: Iterator[Mapping[str, Any]]) -> tuple[Mapping[str, Any], Iterator[Mapping[str, Any]]]:
    """The stream after its first chunk has come: until then nothing was shown, and it can be tried again."""
    for first in stream:
        return first, stream
    raise ProviderError("the provider's stream ended before it began", transient=True)


def _shown(part: Mapping[str, Any], wants_usage: bool) -> Mapping[str, Any] | None:
    """The chunk as the agent asked to see it."""
    if wants_usage or part.get("usage") is None:
        return part
    return {k: v for k, v in part.items() if k != "usage"} if part.get("choices") else None
