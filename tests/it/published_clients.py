"""Published clients against Tollgate, their base URL changed and nothing else; fails by exception. Argument: the base URL; the API
key in TOLLGATE_TEST_KEY. What they send, the test that starts this counts and bills."""

import datetime
import os
import sys
import urllib.error
import urllib.request

import bxb
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from lago_python_client.client import Client as LagoClient
from lago_python_client.exceptions import LagoApiError
from lago_python_client.models.event import BatchEvent, Event

URL, KEY = sys.argv[1], os.environ["TOLLGATE_TEST_KEY"]
NOON = datetime.datetime(2026, 1, 15, 12, 0, 0, 123456, tzinfo=datetime.timezone.utc)


def with_bxb():
    configuration = bxb.Configuration(host=URL)
    with bxb.ApiClient(configuration, header_name="Authorization", header_value=f"Bearer {KEY}") as client:
        events = bxb.EventsApi(client)

        def event(number):
            return bxb.EventCreate(
                transaction_id=f"bxb-{number}", external_customer_id="acme", code="requests", timestamp=NOON,
                properties={"tokens": number},
            )

        one = events.create_event_v1_events_post(event(0))
        assert (one.transaction_id, one.external_customer_id, one.timestamp) == ("bxb-0", "acme", NOON), one
        again = events.create_event_v1_events_post(event(0))
        assert (again.id, again.created_at) == (one.id, one.created_at), again
        batch = bxb.EventBatchCreate(events=[event(number) for number in range(5)])
        answer = events.create_events_batch_v1_events_batch_post(batch)
        assert (answer.ingested, answer.duplicates, len(answer.events)) == (4, 1, 5), answer
        read = events.get_event_v1_events_event_id_get(one.id)
        assert read.transaction_id == "bxb-0", read
        try:
            wrong = event(9)
            wrong.code = "no such metric"
            events.create_event_v1_events_post(wrong)
            raise AssertionError("an unknown code was taken")
        except bxb.ApiException as refused:
            assert refused.status == 422, refused


def with_lago():
    client = LagoClient(api_key=KEY, api_url=URL)
    # Seconds as a text with decimals, as whole seconds, as ISO 8601, and absent.
    times = [f"{int(NOON.timestamp())}.123456", int(NOON.timestamp()), NOON.isoformat(), None]
    for number, time in enumerate(times):
        event = Event(
            transaction_id=f"lago-{number}", external_subscription_id="acme-inference", code="requests", timestamp=time,
            precise_total_amount_cents="12.50", properties={"tokens": number},
        )
        answer = client.events.create(event)
        assert answer.transaction_id == f"lago-{number}" and answer.external_subscription_id == "acme-inference", answer
        assert answer.lago_id and answer.properties == {"tokens": number}, answer
        if number == 0:
            assert answer.timestamp == "2026-01-15T12:00:00.123456Z", answer
    batch = [
        Event(
            transaction_id=f"lago-batch-{number}", external_subscription_id="acme-inference", code="requests",
            timestamp=times[0], precise_total_amount_cents=None, properties=None,
        )
        for number in range(10)
    ]
    client.events.batch_create(BatchEvent(events=batch))
    client.events.batch_create(BatchEvent(events=batch))
    unmatched = Event(
        transaction_id="lago-unmatched", external_subscription_id="acme-inference", code="a metric to come",
        timestamp=times[0], precise_total_amount_cents=None, properties=None,
    )
    client.events.create(unmatched)
    try:
        client.events.batch_create(BatchEvent(events=[batch[0].copy(update={"code": "", "transaction_id": "refused"})]))
        raise AssertionError("an empty code was taken")
    except LagoApiError as refused:
        assert refused.status_code == 422, refused
        assert refused.response["error_details"] == {"0": {"code": ["value_is_mandatory"]}}, refused.response
    try:
        LagoClient(api_key="tg_live_wrong", api_url=URL).events.create(unmatched)
        raise AssertionError("a wrong key was taken")
    except LagoApiError as refused:
        assert refused.status_code == 401, refused


def post(headers, body):
    headers = {**headers, "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{URL}/api/v1/events", data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def with_cloudevents():
    def event(number, without=(), **changed):
        attributes = {
            "id": str(number), "source": "https://example.com/gateway", "type": "requests", "subject": "acme", "time": NOON,
            "datacontenttype": "application/json", **changed,
        }
        return CloudEvent({name: value for name, value in attributes.items() if name not in without}, {"tokens": number})

    for number in range(3):
        message = to_structured_event(event(number))
        assert post(message.headers, message.body) == 204
    for number in range(3, 6):
        message = to_binary_event(event(number))
        assert post(message.headers, message.body) == 204
    # The same events in the other mode are copies.
    message = to_binary_event(event(0))
    assert post(message.headers, message.body) == 204
    batch = b",".join(JSONFormat().write(event(number)) for number in range(4, 10))
    assert post({"Content-Type": "application/cloudevents-batch+json"}, b"[" + batch + b"]") == 204
    other_source = to_structured_event(event(0, source="/another"))
    assert post(other_source.headers, other_source.body) == 204
    without_subject = to_structured_event(event(99, without=["subject"]))
    assert post(without_subject.headers, without_subject.body) == 422


with_bxb()
with_lago()
with_cloudevents()
print("all is well")
