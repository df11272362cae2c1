"""The guards of conftest.py: what they catch fails, what they must let pass passes."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).with_name("conftest.py").read_text()

CAUGHT = """
import asyncio, queue, socket, subprocess, sys, threading, time
import pytest


def test_thread_left_running():
    threading.Thread(target=threading.Event().wait, args=(8,), name="left-behind").start()


def test_daemon_thread_left_running():
    threading.Thread(target=threading.Event().wait, args=(8,), name="left-daemon", daemon=True).start()


def test_sleep_in_loop():
    async def main():
        time.sleep(0.01)
    asyncio.run(main())


def test_sleep_in_loop_swallowed():
    async def main():
        try:
            time.sleep(0.01)
        except Exception:
            pass
    try:
        asyncio.run(main())
    except AssertionError:
        pass


def test_program_in_loop():
    async def main():
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.3)"])
    asyncio.run(main())


def test_blocking_socket_in_loop():
    async def main():
        left, right = socket.socketpair()
        with left, right:
            left.recv(1)
    asyncio.run(main())


def test_name_lookup_in_loop():
    async def main():
        socket.getaddrinfo("localhost", 80)
    asyncio.run(main())


def test_lock_in_loop():
    async def main():
        with pytest.raises(queue.Empty):
            queue.Queue().get(timeout=1.3)
    asyncio.run(main())


def test_task_error_nobody_looked_at():
    async def fail():
        raise ValueError("lost error")
    async def main():
        asyncio.create_task(fail())
        await asyncio.sleep(0.01)
    asyncio.run(main())


def test_callback_error():
    async def main():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.01)
    asyncio.run(main())


def test_coroutine_never_awaited():
    async def forgotten():
        pass
    forgotten()
"""

LET_PASS = """
import asyncio, os, socket, subprocess, sys, threading, time
import pytest


def test_sleep_outside_a_loop():
    time.sleep(0.001)
    subprocess.run([sys.executable, "-c", ""], check=True)


def test_thread_that_ends_in_time():
    threading.Thread(target=time.sleep, args=(0.3,)).start()


def test_work_handed_to_a_thread():
    async def main():
        await asyncio.to_thread(time.sleep, 0.01)
        await asyncio.sleep(0.01)
    asyncio.run(main())


def test_program_awaited():
    async def main():
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(1)", stdout=subprocess.PIPE)
        assert await process.communicate() == (b"1\\n", None)
    asyncio.run(main())


def test_streams_on_loopback():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("localhost", server.sockets[0].getsockname()[1])
        writer.write(b"hello\\n")
        assert await reader.readline() == b"hello\\n"
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
    asyncio.run(main())


def test_long_computation_is_not_blocking():
    async def main():
        end = time.thread_time() + 1.2
        while time.thread_time() < end:
            pass
    asyncio.run(main())


def test_note_to_the_service_manager():
    name = f"\\0edge-agent-test-{os.getpid()}"
    async def main():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(name)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.connect(name)
                sock.sendall(b"READY=1")
    asyncio.run(main())


@pytest.mark.allows("threads", reason="tests the marker")
def test_marked_thread():
    threading.Thread(target=threading.Event().wait, args=(3,), daemon=True).start()


@pytest.mark.allows("blocking", reason="tests the marker")
def test_marked_sleep():
    async def main():
        time.sleep(0.01)
    asyncio.run(main())


def test_environment_is_clean():
    assert "GEMINI_API_KEY" not in os.environ
    assert "NOTIFY_SOCKET" not in os.environ
"""


def test_guards_catch(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nfilterwarnings = ["error"]')
    pytester.makepyfile(CAUGHT)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist", "-rA")
    text = result.stdout.str()
    names = [line.split("(")[0].removeprefix("def ") for line in CAUGHT.splitlines() if line.startswith("def test_")]
    unnoticed = [
        name
        for name in names
        if f"ERROR test_guards_catch.py::{name}" not in text and f"FAILED test_guards_catch.py::{name}" not in text
    ]
    assert not unnoticed, text
    for sentence in (
        "left-behind (Thread) still runs after the test",
        "left-daemon (Thread) still runs",
        "time.sleep was called on the event loop's thread",
        "Popen.communicate was called",
        "socket.recv was called",
        "socket.getaddrinfo was called",
        "a callback blocked the event loop for 1.",
        "lost error",
        "ZeroDivisionError",
        "was never awaited",
    ):
        assert sentence in text, sentence


def test_guards_let_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "not-a-key")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    pytester.makeconftest(CONFTEST)
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nfilterwarnings = ["error"]')
    pytester.makepyfile(LET_PASS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist")
    result.assert_outcomes(passed=LET_PASS.count("def test_"))
