# expect: accepted
import asyncio


async def later(seconds, done):
    await asyncio.sleep(seconds)
    done.append(seconds)
    return seconds


async def main():
    done = []
    assert await asyncio.gather(*(later(seconds / 100, done) for seconds in (3, 1, 2))) == [0.03, 0.01, 0.02]
    assert done == [0.01, 0.02, 0.03]
    items = asyncio.Queue(1)

    async def give():
        for item in range(3):
            await items.put(item)

    async with asyncio.TaskGroup() as group:
        group.create_task(give())
        assert [await items.get() for _ in range(3)] == [0, 1, 2]
    try:
        await asyncio.wait_for(asyncio.sleep(5), 0.1)
    except TimeoutError:
        assert await asyncio.to_thread(sum, [1, 2]) == 3
    async with asyncio.Semaphore(2), asyncio.Lock():
        return await asyncio.get_running_loop().run_in_executor(None, input)


assert asyncio.run(main()) == "5"
loop = asyncio.new_event_loop()
assert loop.run_until_complete(later(0, [])) == 0
loop.close()
print("ok")
