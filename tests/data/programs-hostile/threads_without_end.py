# expect: runtime-error: RecursionError
import threading


def work():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


threading.excepthook = lambda arguments: (_ for _ in ()).throw(arguments.exc_value)
work()
