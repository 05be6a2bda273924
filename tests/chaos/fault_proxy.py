"""A TCP proxy between Pixmill and a server of its fleet that does to connections what networks do: PROMISES A.

`python3 -m chaos.fault_proxy LISTEN_PORT TARGET_PORT` (in tests/) runs one by hand; it reads a fault per line from standard
input: `none`, `latency 200`, `reset`, `blackhole`, `slice 7`, `bandwidth 20000`, `refuse`.
"""

import asyncio
import contextlib
import dataclasses
import socket
import struct
import sys
import threading

_CHUNK_BYTES = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens to bytes on their way. Several at a time are possible; all off is a plain wire."""

    latency_ms: int = 0  # each way, before every chunk
    reset: bool = False  # open connections are reset, new ones as soon as they are there
    blackhole: bool = False  # bytes vanish, connections stay: the peer seems to think
    slice_bytes: int = 0  # chunks of so many bytes at most, each sent alone
    bandwidth: int = 0  # bytes a second each way
    refuse: bool = False  # nobody listens

    def __str__(self):
        told = [f"{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self) if getattr(self, field.name)]
        return " ".join(told) or "none"


NONE = Fault()


def _reset(writer):
    """Closes with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):  # it is closed already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class FaultProxy:
    """`with FaultProxy(target_port) as proxy:` forwards proxy.port; `proxy.fault = Fault(...)` at any time, from any thread."""

    def __init__(self, target_port, host="127.0.0.1", port=0):
        self._host, self._target_port = host, target_port
        self.port = port
        self.connections = 0  # ever
        self._fault = NONE
        self._changed = None
        self._writers = set()
        self._listener = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_):
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def fault(self):
        return self._fault

    @fault.setter
    def fault(self, fault):
        self._call(self._apply(fault))

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self):
        self._changed = asyncio.Event()
        self._listener = await asyncio.start_server(self._serve, self._host, self.port, reuse_address=True)
        self.port = self._listener.sockets[0].getsockname()[1]  # and again the same after it refused

    async def _stop(self):
        if self._listener:
            self._listener.close()
        for writer in list(self._writers):
            _reset(writer)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _apply(self, fault):
        was, self._fault = self._fault, fault
        self._changed.set()
        self._changed = asyncio.Event()
        if fault.refuse and self._listener:
            self._listener.close()
            self._listener = None
        if (fault.refuse and not was.refuse) or fault.reset:
            for writer in list(self._writers):
                _reset(writer)
        if not fault.refuse and self._listener is None:
            await self._listen()

    async def _serve(self, reader, writer):
        self.connections += 1
        if self._fault.reset:
            _reset(writer)
            return
        self._writers.add(writer)
        upstream = None
        try:
            to_reader, upstream = await asyncio.open_connection(self._host, self._target_port)
            self._writers.add(upstream)
            await asyncio.gather(self._pump(reader, upstream), self._pump(to_reader, writer))
        except OSError:
            _reset(writer)
        finally:
            for end in (writer, upstream):
                if end is not None:
                    self._writers.discard(end)
                    end.close()

    async def _pump(self, reader, writer):
        while True:
            data = await reader.read(_CHUNK_BYTES)
            while self._fault.blackhole:
                await self._changed.wait()
            if not data:
                break
            await self._send(writer, data)
        if writer.can_write_eof():
            writer.write_eof()

    async def _delay(self, seconds):
        """The wire's own slowness; another fault ends it."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    async def _send(self, writer, data):
        while data:
            fault = self._fault
            size = min(len(data), fault.slice_bytes or len(data))
            if fault.bandwidth:
                size = min(size, max(1, fault.bandwidth // 20))
            if fault.latency_ms or fault.bandwidth:
                await self._delay(fault.latency_ms / 1000 + (size / fault.bandwidth if fault.bandwidth else 0))
            writer.write(data[:size])
            await writer.drain()
            data = data[size:]


def fault_from(words):
    """A fault from the words of the command line's language; ValueError when it is none."""
    kind, *numbers = words
    names = {"latency": "latency_ms", "slice": "slice_bytes", "bandwidth": "bandwidth"}
    if kind in names and len(numbers) == 1:
        return Fault(**{names[kind]: int(numbers[0])})
    if kind in ("reset", "blackhole", "refuse") and not numbers:
        return Fault(**{kind: True})
    if kind == "none" and not numbers:
        return NONE
    raise ValueError(f"no fault: {' '.join(words)}")


def main():
    with FaultProxy(int(sys.argv[2]), port=int(sys.argv[1])) as proxy:
        print(f"127.0.0.1:{proxy.port} to 127.0.0.1:{sys.argv[2]}", flush=True)
        for line in sys.stdin:
            if not line.split():
                continue
            try:
                proxy.fault = fault_from(line.split())
            except ValueError as error:
                print(error, flush=True)
            else:
                print(proxy.fault, flush=True)


if __name__ == "__main__":
    main()
