# expect: accepted
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed, wait
from multiprocessing.pool import ThreadPool


def square(x):
    return x * x


def fail():
    return 1 / 0


if __name__ == "__main__":
    for executor in (ThreadPoolExecutor(max_workers=4), ProcessPoolExecutor(2)):
        with executor:
            assert list(executor.map(square, range(5))) == [0, 1, 4, 9, 16]
            futures = [executor.submit(square, x) for x in range(4)]
            assert sorted(future.result() for future in as_completed(futures)) == [0, 1, 4, 9]
            failed = executor.submit(fail)
            assert isinstance(failed.exception(), ZeroDivisionError) and len(wait(futures).done) == 4
    for make in (multiprocessing.Pool, ThreadPool):
        with make(2) as pool:
            assert pool.map(square, [1, 2]) == [1, 4] and pool.starmap(pow, [(2, 3)]) == [8]
            assert list(pool.imap(square, [1, 2])) == [1, 4] and pool.apply(square, (3,)) == 9
            assert pool.apply_async(square, (4,)).get(timeout=1) == 16
            pool.close()
            pool.join()
    print("ok")
