import random
import signal

from pretrain.run.stop import Stop


def stopped_before(seed):
    """Let three ranks advance in any order, but that no step ends on one before it began on all; signals come any time.

    Return the step each stopped before, and the step in which the first signal came, None without one.
    """
    from torch.distributed import HashStore

    order, store = random.Random(seed), HashStore()
    share = order.choice([0, 0.01, 0.1, 0.5])
    stops, begun, stopped, first = [Stop() for _ in range(3)], [0, 0, 0], [0, 0, 0], None
    for stop in stops:
        stop.meet(store)
    for turn in range(150):
        rank = order.randrange(3)
        if turn < 100 and order.random() < share:
            stops[rank]._catch(signal.SIGTERM, None)
            first = begun[rank] if first is None else first
        if not stopped[rank] and begun[rank] == min(begun):
            if stops[rank].agreed(begun[rank] + 1):
                stopped[rank] = begun[rank] + 1
            else:
                begun[rank] += 1
    return stopped, first


def test_all_ranks_stop_before_the_same_step_and_soon():
    signalled = 0
    for seed in range(300):
        stopped, first = stopped_before(seed)
        assert len(set(stopped)) == 1, seed
        assert stopped[0] == 0 if first is None else 0 < stopped[0] <= first + 3, seed
        signalled += first is not None
    assert 100 < signalled < 300
