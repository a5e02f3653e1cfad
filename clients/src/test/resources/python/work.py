"""Every kind of work that redis-py is tested with, all at once, until a line comes on stdin.

    python3 work.py PORT NAME MODE

MODE says as what the library takes the node: one_server, sentinels, cluster. One JSON object a line goes to stdout:
{"turns": {...}} while it works, and in the end {"findings": {...}}, the Java record Findings. It ends by itself when stdin does.
"""

import json
import sys
import threading
import time
import traceback

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

PORT, NAME, MODE = int(sys.argv[1]), sys.argv[2], sys.argv[3]
HOST = "127.0.0.1"
PRIMARY = "sessions"
PACE = 0.002
COUNTERS = 2
CONSUMERS = 2
CONTENDERS = 2
SEEN_LIMIT = 60
REPORT_EVERY = 0.05
SHOWN_MAX = 20
END = "end"
# Nothing is tried twice; a cluster client counts the first attempt too.
ONCE = {"decode_responses": True, "retry": Retry(NoBackoff(), 0)}

stopping = threading.Event()
counted = threading.Lock()
turns = {}
findings = {
    "clients": NAME, "acknowledged": {}, "published": 0, "heard": [], "heardByPattern": [], "pushed": 0, "taken": [],
    "together": 0, "halves": [], "won": 0, "lost": 0, "wronglyWon": [], "cachedReads": 0, "stale": [], "lastCached": {},
    "stored": {}, "locked": 0, "failures": [], "disconnections": [],
}


def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def key(of):
    return f"{NAME}:{of}"


def note(where, text):
    if len(where) < SHOWN_MAX:
        where.append(text)


def connect():
    if MODE == "cluster":
        return RedisCluster(host=HOST, port=PORT, cluster_error_retry_attempts=1, **ONCE)
    if MODE == "sentinels":
        return Sentinel([(HOST, PORT)]).master_for(PRIMARY, **ONCE)
    return redis.Redis(host=HOST, port=PORT, **ONCE)


def of_one_node(client, of):
    """What has transactions: in a cluster the client of the node that has the key."""
    return client.get_redis_connection(client.get_node_from_key(of)) if MODE == "cluster" else client


def working(of, turn):
    """A thread that does it again and again until everything stops, or it fails."""
    turns[of] = 0

    def work():
        try:
            while not stopping.is_set():
                turn()
                turns[of] += 1
                time.sleep(PACE)
        except Exception:  # whatever a client sees is a finding
            note(findings["failures"], f"{of}: {traceback.format_exc()}")

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def count(client, counter):
    now = client.incr(counter)
    findings["acknowledged"][counter] += 1
    if now != findings["acknowledged"][counter]:
        raise AssertionError(f"{counter} is {now} at increment {findings['acknowledged'][counter]}")


def publish(client):
    client.publish(key("news"), findings["published"])
    findings["published"] += 1


def push(client):
    client.rpush(key("queue"), findings["pushed"])
    findings["pushed"] += 1


def consume(client):
    try:
        while (element := client.blpop(key("queue"), 0)[1]) != END:
            findings["taken"].append(int(element))
    except Exception:
        note(findings["failures"], f"consumer: {traceback.format_exc()}")


def increment_together(client):
    one, other = key("{pair}left"), key("{pair}right")
    pipeline = of_one_node(client, one).pipeline(transaction=True)
    left, right = pipeline.incr(one).incr(other).execute()
    with counted:
        findings["together"] += 1
    if left != right:
        note(findings["halves"], f"{left} and {right}")


def increment_unless_changed(client, of, meanwhile):
    with of_one_node(client, of).pipeline(transaction=True) as pipeline:
        try:
            pipeline.watch(of)
            now = int(pipeline.get(of) or 0)
            meanwhile()
            pipeline.multi()
            pipeline.set(of, now + 1)
            pipeline.execute()
            return True
        except redis.WatchError:
            return False


def watch(client):
    won = increment_unless_changed(client, key("watched"), lambda: None)
    with counted:
        findings["won" if won else "lost"] += 1


def watch_too_late(client):
    """Does not go on before another one's increment was acknowledged that began after it had read: it must be refused."""
    enough = 0

    def meanwhile():
        nonlocal enough
        enough = findings["won"] + CONTENDERS + 1
        while not stopping.is_set() and findings["won"] < enough:
            time.sleep(PACE)

    if increment_unless_changed(client, key("watched"), meanwhile):
        with counted:
            if findings["won"] >= enough:
                note(findings["wronglyWon"], f"beside number {enough}")
            findings["won"] += 1


def listen(client, subscribe, heard):
    """Returns when it is subscribed."""
    subscriber = client.pubsub()
    subscribe(subscriber)
    subscribed = threading.Event()

    def hear():
        try:
            for message in subscriber.listen():
                if message["type"] in ("subscribe", "psubscribe"):
                    subscribed.set()
                else:
                    heard.append(int(message["data"]))
        except Exception:
            if not stopping.is_set():
                note(findings["disconnections"], f"a subscription: {traceback.format_exc()}")

    threading.Thread(target=hear, daemon=True).start()
    if not subscribed.wait(SEEN_LIMIT):
        raise AssertionError("it is not subscribed")


def main():
    shared = connect()
    listen(connect(), lambda subscriber: subscriber.subscribe(key("news")), findings["heard"])
    listen(connect(), lambda subscriber: subscriber.psubscribe(key("n*")), findings["heardByPattern"])
    consumers = [threading.Thread(target=consume, args=(connect(),), daemon=True) for _ in range(CONSUMERS)]
    for consumer in consumers:
        consumer.start()
    workers = []
    for i in range(COUNTERS):
        findings["acknowledged"][key(f"counter-{i}")] = 0
        workers.append(working(f"counter {i}", lambda i=i: count(shared, key(f"counter-{i}"))))
    workers.append(working("publisher", lambda: publish(shared)))
    workers.append(working("producer", lambda: push(shared)))
    for i in range(CONTENDERS):
        workers.append(working(f"transaction {i}", lambda: increment_together(shared)))
        workers.append(working(f"watch {i}", lambda: watch(shared)))
    workers.append(working("late watch", lambda: watch_too_late(shared)))

    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
    while not stop.wait(REPORT_EVERY):
        say({"turns": turns, "failures": findings["failures"]})
    stopping.set()
    for worker in workers:
        worker.join(SEEN_LIMIT)
    for _ in range(CONSUMERS):
        shared.rpush(key("queue"), END)
    for consumer in consumers:
        consumer.join(SEEN_LIMIT)
    give_up_at = time.monotonic() + SEEN_LIMIT
    last = findings["published"] - 1
    while time.monotonic() < give_up_at and not all(last in findings[of] for of in ("heard", "heardByPattern")):
        time.sleep(PACE)
    say({"findings": findings})
    sys.stdin.read()


main()
