"""What a client's text frame is taken for, and what it is told when it can't be used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cattrs import ClassValidationError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.chat import (
    At,
    AtAll,
    Component,
    Face,
    File,
    Forward,
    ForwardNode,
    Image,
    Plain,
    Quote,
    Source,
    Unknown,
    Voice,
)
from server.protocol import (
    AuthenticateFrame,
    BadFrame,
    ClientFrame,
    DisconnectFrame,
    ErrorFrame,
    IgnoredFrame,
    MessageFrame,
    PingFrame,
    UserMessageFrame,
    decode,
    encode,
    message_data,
)
from server.protocol.shape import MAX_DEPTH, MAX_VALUES
from server.protocol.structure import quick_converter, thorough_converter

from .messages import message

TOO_MANY = "A frame must not have more than 10000 values"


def decoded(**frame: Any) -> ClientFrame:
    return decode(json.dumps(frame))


def complaint(text: str) -> str:
    with pytest.raises(BadFrame) as bad:
        decode(text)
    assert bad.value.code == "bad_request"
    assert bad.value.text == str(bad.value)
    return bad.value.text


def complaint_about(*components: Any, **fields: Any) -> str:
    return complaint(json.dumps({"type": "message", "message": components, **fields}))


def one_component(value: Any) -> Component:
    frame = decoded(message=[value])
    assert isinstance(frame, MessageFrame)
    (component,) = frame.message
    return component


# -- the frames of levels 0 and 1


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (
            '{"type":"message","message":[{"type":"Plain","text":"Hi"}]}',
            MessageFrame((Plain("Hi"),)),
        ),
        ('{"message":[{"type":"Plain","text":"Hi"}]}', MessageFrame((Plain("Hi"),))),
        (
            '{"type":"message","message":[{"type":"AtAll"},{"type":"Plain","text":""}],"stream":false}',
            MessageFrame((AtAll(), Plain("")), stream=False),
        ),
        ('{"message":[{"type":"AtAll"}],"stream":true}', MessageFrame((AtAll(),), stream=True)),
        ('{"type":"ping"}', PingFrame()),
        ('{"type": "ping"}', PingFrame()),
        ('{ "n": 1, "type": "ping" }', PingFrame()),
        (' {"type" : "ping"}\n', PingFrame()),
        ('{"type":"disconnect"}', DisconnectFrame()),
        ('{"type":"authenticate","token":"t","workspace_uuid":"w"}', AuthenticateFrame()),
        ('{"type":"authenticate"}', AuthenticateFrame()),
    ],
)
def test_client_frames(text: str, frame: ClientFrame) -> None:
    """The document's frames, and what LangBot's own clients send beyond them."""
    assert decode(text) == frame


@pytest.mark.parametrize("kind", ["stop", "typing", "read", "edit", "PING", "", "Message", "connected"])
def test_frames_of_a_higher_level_are_ignored(kind: str) -> None:
    """A client of another version must not lose its connection for a frame that does not matter here."""
    assert decoded(type=kind, message="whatever") == IgnoredFrame()


@pytest.mark.parametrize("kind", ["message", "ping", "disconnect", "authenticate"])
def test_unknown_fields_are_ignored_everywhere(kind: str) -> None:
    """Clients may be newer than the server; level 2 adds fields to frames of level 0."""
    extra = {"client_msg_id": "x", "x": [1, {"y": None}], "self": 1, "_": True}
    component = {"type": "Plain", "text": "Hi", **extra}
    quote = {"type": "Quote", "origin": [component], **extra}
    forward = {"type": "Forward", "node_list": [{"message_chain": [component], **extra}], **extra}

    frame = decoded(type=kind, message=[component, quote, forward], **extra)

    assert frame == {
        "message": MessageFrame(
            (
                Plain("Hi"),
                Quote(origin=(Plain("Hi"),)),
                Forward(node_list=(ForwardNode(message_chain=(Plain("Hi"),)),)),
            )
        ),
        "ping": PingFrame(),
        "disconnect": DisconnectFrame(),
        "authenticate": AuthenticateFrame(),
    }.get(kind)


def test_the_last_of_two_equal_keys_counts() -> None:
    """JSON leaves it open (RFC 8259, section 4); every browser does the same."""
    assert decode('{"type":"disconnect","type":"ping"}') == PingFrame()


# -- components


@pytest.mark.parametrize(
    ("value", "component"),
    [
        ({"type": "Plain", "text": "Hi"}, Plain("Hi")),
        ({"type": "At", "target": 7, "display": "Ann"}, At(7, "Ann")),
        ({"type": "At", "target": "ann"}, At("ann")),
        ({"type": "At"}, At()),
        ({"type": "AtAll"}, AtAll()),
        (
            {"type": "Image", "image_id": "i", "url": "u", "path": "p", "base64": "b"},
            Image("i", "u", "p", "b"),
        ),
        ({"type": "Image", "url": None}, Image()),
        (
            {"type": "Voice", "voice_id": "v", "url": "u", "path": "p", "base64": "b", "length": 1.5},
            Voice("v", "u", "p", "b", 1.5),
        ),
        ({"type": "Voice", "length": 2}, Voice(length=2)),
        (
            {"type": "File", "id": "f", "name": "n", "size": 3, "url": "u", "path": "p", "base64": "b"},
            File("f", "n", 3, "u", "p", "b"),
        ),
        (
            {
                "type": "Quote",
                "id": 1,
                "group_id": "g",
                "sender_id": 2,
                "target_id": None,
                "origin": [{"type": "Plain", "text": "Hi"}],
            },
            Quote(1, "g", 2, None, (Plain("Hi"),)),
        ),
        ({"type": "Quote", "origin": []}, Quote()),
        ({"type": "Face", "face_type": "f", "face_id": 14, "face_name": "n"}, Face("f", 14, "n")),
        (
            {
                "type": "Forward",
                "display": {"title": "Chat", "preview": ["a", 1]},
                "node_list": [
                    {
                        "sender_id": 1,
                        "sender_name": "Ann",
                        "message_chain": [{"type": "AtAll"}],
                        "message_id": "m",
                    },
                    {},
                ],
            },
            Forward(
                {"title": "Chat", "preview": ["a", 1]},
                (ForwardNode(1, "Ann", (AtAll(),), "m"), ForwardNode()),
            ),
        ),
        ({"type": "Forward", "display": "Chat"}, Forward("Chat")),
        ({"type": "Source", "id": 1, "timestamp": 1.5}, Source(1, 1.5)),
        ({"type": "Source", "id": "s", "timestamp": "now"}, Source("s", "now")),
        ({"type": "Unknown", "text": "Hi"}, Unknown("Hi")),
        ({"type": "Unknown"}, Unknown("")),
    ],
)
def test_components(value: Any, component: Component) -> None:
    """The rows of the document's table; a field left out and one that is null are the same."""
    assert one_component(value) == component


@pytest.mark.parametrize("kind", ["Dice", "plain", "", "Message", "MessageFrame", "ForwardNode", "__class__"])
def test_a_component_of_an_unknown_type_becomes_unknown(kind: str) -> None:
    """It is shown as such instead of refused, and its fields, which nobody checked, are dropped."""
    value = {"type": kind, "text": 5, "url": [], "origin": {}}

    assert one_component(value) == Unknown(f"Unknown component type: {kind}")
    assert one_component({"type": "Quote", "origin": [value]}) == Quote(
        origin=(Unknown(f"Unknown component type: {kind}"),)
    )


# -- bad frames


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "}",
        "nonsense",
        "{'type':'ping'}",
        '{"type":"ping",}',
        '{"type":"ping"} {}',
        '{"type":"ping"}x',
        '{type:"ping"}',
        '{"type":ping}',
        '\ufeff{"type":"ping"}',
        '{"type":"ping"}\x00',
        '{"a":"\n"}',
        '{"a":"\\x41"}',
        '{"a":01}',
        '{"a":.5}',
        '{"a":+1}',
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":1e400}',
        '{"a":-1e400}',
        pytest.param('{"a":' + "9" * 400 + "}", id="400 digits"),
        '{"a":"\\ud800"}',
        '{"a":"\\udc00\\ud800"}',
        '{"\\ud800":1}',
        '{"a":"\ud800"}',
        "\udcff",
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param("[" * 100_000 + "]" * 100_000, id="closed brackets"),
        pytest.param('{"a":' * 100_000, id="braces"),
        pytest.param('{"a":' * 100_000 + "1" + "}" * 100_000, id="closed braces"),
    ],
)
def test_malformed_json_is_called_so(text: str) -> None:
    """The document fixes the words, and clients compare them."""
    assert complaint(text) == "Invalid JSON format"


def nested(depth: int) -> str:
    """A ping with lists in it, *depth* levels in all."""
    return '{"type":"ping","x":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def test_depth_is_bounded() -> None:
    """Deeper than any honest frame is malformed; what is accepted can be encoded and walked everywhere."""
    assert decode(nested(MAX_DEPTH)) == PingFrame()
    assert complaint(nested(MAX_DEPTH + 1)) == "Invalid JSON format"
    assert complaint('{"x":' * 32 + '{"y":"' + "[" * 100 + '"}' + "}" * 32) == "Invalid JSON format"


def test_brackets_in_a_text_are_text() -> None:
    """People send code."""
    text = "[{" * 1000 + "," * 20_000

    assert one_component({"type": "Plain", "text": text}) == Plain(text)


def test_the_number_of_values_is_bounded() -> None:
    """A frame of the smallest parts would hold up everybody else: 8 MB of bad ones took a minute."""
    most = MAX_VALUES - 3  # beside the list there are the frame, its type and the field
    too_many = f"A frame must not have more than {MAX_VALUES} values"

    assert decoded(type="ping", x=[1] * most) == PingFrame()
    assert complaint(json.dumps({"type": "ping", "x": [1] * (most + 1)})) == too_many
    assert complaint(json.dumps([1] * MAX_VALUES)) == too_many
    assert complaint(json.dumps({"x": {str(n): [] for n in range(MAX_VALUES)}})) == too_many
    assert complaint_about(*[{"type": "Dice"}] * MAX_VALUES) == too_many
    assert decoded(type="ping", x=[{"y": [1] * 99}] * 98) == PingFrame()
    assert decoded(type="ping", x=",[" * MAX_VALUES) == PingFrame()


@pytest.mark.parametrize(
    "text", ["[]", "5", "null", "true", '"ping"', '[{"type":"ping"}]', '"' + "[" * 99 + '"']
)
def test_a_frame_is_an_object(text: str) -> None:
    """It is JSON, but it says nothing."""
    assert complaint(text) == "A frame must be a JSON object"


@pytest.mark.parametrize("kind", [None, 5, True, ["ping"], {"type": "ping"}])
def test_a_type_is_a_string(kind: Any) -> None:
    """Whatever else it is, it is not a type that is merely unknown."""
    assert complaint(json.dumps({"type": kind})) == "type must be a string"


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"type": "message"},
        {"message": None},
        {"message": []},
        {"message": ""},
        {"message": {}},
        {"message": 0},
    ],
)
def test_a_missing_or_empty_message_is_refused(frame: Any) -> None:
    """Nothing was said, so there is nothing to answer."""
    assert complaint(json.dumps(frame)) == "message is required"


@pytest.mark.parametrize("chain", ["Hi", {"type": "Plain", "text": "Hi"}, 5, True])
def test_a_message_is_a_list(chain: Any) -> None:
    """A text alone would be guessed at."""
    assert complaint(json.dumps({"message": chain})) == "message must be a list of components"


@pytest.mark.parametrize(
    ("component", "text"),
    [
        (5, "message[0] must be an object"),
        ("Hi", "message[0] must be an object"),
        (None, "message[0] must be an object"),
        ([], "message[0] must be an object"),
        ({}, "message[0] needs a type, which is a string"),
        ({"type": None}, "message[0] needs a type, which is a string"),
        ({"type": ["Plain"]}, "message[0] needs a type, which is a string"),
        ({"type": "Plain"}, "message[0].text is missing"),
        ({"type": "Plain", "text": None}, "message[0].text must be a string"),
        ({"type": "Plain", "text": 5}, "message[0].text must be a string"),
        ({"type": "Plain", "text": {"a": 1}}, "message[0].text must be a string"),
        ({"type": "At", "target": 1.5}, "message[0].target must be a whole number or a string"),
        ({"type": "At", "target": True}, "message[0].target must be a whole number or a string"),
        ({"type": "At", "target": 2**64}, "message[0].target must be a whole number or a string"),
        ({"type": "At", "display": 5}, "message[0].display must be a string"),
        ({"type": "Image", "url": 5}, "message[0].url must be a string"),
        ({"type": "Image", "base64": ["AAAA"]}, "message[0].base64 must be a string"),
        ({"type": "Voice", "length": "1"}, "message[0].length must be a number"),
        ({"type": "Voice", "length": False}, "message[0].length must be a number"),
        ({"type": "File", "size": 1.0}, "message[0].size must be a whole number"),
        ({"type": "File", "size": True}, "message[0].size must be a whole number"),
        ({"type": "File", "size": "1"}, "message[0].size must be a whole number"),
        ({"type": "Face", "face_id": []}, "message[0].face_id must be a whole number or a string"),
        ({"type": "Source", "timestamp": {}}, "message[0].timestamp must be a number or a string"),
        ({"type": "Unknown", "text": None}, "message[0].text must be a string"),
        ({"type": "Quote", "origin": 5}, "message[0].origin must be a list"),
        ({"type": "Quote", "origin": None}, "message[0].origin must be a list"),
        ({"type": "Quote", "origin": ""}, "message[0].origin must be a list"),
        ({"type": "Quote", "origin": {}}, "message[0].origin must be a list"),
        ({"type": "Quote", "origin": "Hi"}, "message[0].origin must be a list"),
        ({"type": "Quote", "origin": [5]}, "message[0].origin[0] must be an object"),
        ({"type": "Quote", "origin": [{"type": "Plain"}]}, "message[0].origin[0].text is missing"),
        ({"type": "Forward", "display": 5}, "message[0].display must be an object or a string"),
        ({"type": "Forward", "display": []}, "message[0].display must be an object or a string"),
        ({"type": "Forward", "node_list": {"a": 1}}, "message[0].node_list must be a list"),
        ({"type": "Forward", "node_list": [5]}, "message[0].node_list[0] must be an object"),
        ({"type": "Forward", "node_list": ["x"]}, "message[0].node_list[0] must be an object"),
        ({"type": "Forward", "node_list": ["sender_id"]}, "message[0].node_list[0] must be an object"),
        ({"type": "Forward", "node_list": [[]]}, "message[0].node_list[0] must be an object"),
        (
            {"type": "Forward", "node_list": [{}, {"message_chain": [{"type": "AtAll"}, {"type": "Plain"}]}]},
            "message[0].node_list[1].message_chain[1].text is missing",
        ),
        (
            {"type": "Forward", "node_list": [{"message_chain": "Hi"}]},
            "message[0].node_list[0].message_chain must be a list",
        ),
        (
            {"type": "Forward", "node_list": [{"sender_name": 5}]},
            "message[0].node_list[0].sender_name must be a string",
        ),
    ],
)
def test_a_wrong_field_is_named_by_its_path(component: Any, text: str) -> None:
    """Nothing is coerced, and the author of a client finds the place without asking."""
    assert complaint_about(component) == text
    good = {"type": "AtAll"}
    assert complaint_about(good, good, component) == text.replace("message[0]", "message[2]", 1)


def test_the_first_wrong_thing_is_told() -> None:
    """One at a time is enough to repair a client, and a frame may have thousands."""
    assert complaint_about({"type": "Plain"}, 5) == "message[0].text is missing"
    assert complaint_about({"type": "AtAll"}, 5, {"type": "Plain"}) == "message[1] must be an object"


@pytest.mark.parametrize("stream", [None, 0, 1, "false", "true", []])
def test_stream_is_true_or_false(stream: Any) -> None:
    """`"false"` is true in many languages; guessing would give somebody the wrong reply."""
    assert complaint_about({"type": "AtAll"}, stream=stream) == "stream must be true or false"


def test_a_complaint_does_not_depend_on_what_a_client_wrote() -> None:
    """Its own words in an error would let one client write what another's log reads."""
    assert complaint_about({"type": "Image", "url": {" @ $": " @ evil"}}) == "message[0].url must be a string"


# -- whatever comes

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
names = st.sampled_from(
    ["type", "message", "stream", "text", "origin", "node_list", "message_chain", "display", "target", "url"]
)
kinds = st.sampled_from(
    [
        "message",
        "ping",
        "Plain",
        "At",
        "AtAll",
        "Image",
        "Voice",
        "File",
        "Quote",
        "Face",
        "Forward",
        "Source",
    ]
)
values = st.recursive(
    scalars | kinds,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(), inner, max_size=4),
    max_leaves=12,
)
chains = st.lists(
    st.fixed_dictionaries({"type": kinds | st.text()}, optional={"text": values, "origin": values})
)


def outcome(text: str | bytes | bytearray) -> ClientFrame | str:
    """The frame, or the complaint."""
    try:
        return decode(text)
    except BadFrame as bad:
        return bad.text


def survives(text: str) -> None:
    """*text* is a frame that can be sent on, or a `BadFrame`; nothing else."""
    try:
        frame = decode(text)
    except BadFrame as bad:
        encode(ErrorFrame(bad.text, bad.code))
        return
    if isinstance(frame, MessageFrame):
        said = message(chain=frame.message)
        again = json.loads(encode(UserMessageFrame("person", message_data(said))))
        assert decode(json.dumps({"message": again["data"]["message_chain"]})) == MessageFrame(frame.message)


@given(values | st.fixed_dictionaries({"message": values | chains}))
@settings(deadline=None, max_examples=400)
def test_any_json_is_a_frame_or_a_bad_frame(value: Any) -> None:
    """Whatever is accepted can be sent on to everybody else, and means the same there."""
    survives(json.dumps(value))


@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
@example(
    '{"message":[{"type":"Forward","display":' + '{"a":' * 28 + "18446744073709551615" + "}" * 28 + "}]}"
)
@example('{"message":[' + '{"type":"Quote","origin":[' * 14 + "]}" * 14 + "]}")
@example('{"message":[{"type":"Voice","length":1e308},{"type":"Voice","length":-0.0}]}')
@example('{"message":[{"type":"Voice","length":18446744073709551616}]}')
@example('{"message":[{"type":"Source","id":-9223372036854775808,"timestamp":5e-324}]}')
@example('{"message":[{"type":"Plain","text":"\\u0000\\ud83d\\ude00\\uffff"}]}')
@settings(deadline=None)
def test_any_text_is_a_frame_or_a_bad_frame(text: str) -> None:
    """No client can make the server stumble, only itself."""
    survives(text)


@given((values | st.fixed_dictionaries({"message": values | chains})).map(json.dumps) | st.text())
@example('{"a":"\ud800"}')
@example('\ufeff{"type":"ping"}')
@example('{"x":"é' + "," * 50_000 + '",' + '""' * 200_000)
@example('{"message":[' + ",".join(['{"type":"AtAll"}'] * 50_000) + "]}")
@settings(deadline=None)
def test_bytes_say_what_their_text_says(text: str) -> None:
    """One transport hands on what came from the socket, another makes a text of it first."""
    data = text.encode(errors="surrogatepass")

    assert outcome(data) == outcome(bytearray(data)) == outcome(text)


@pytest.mark.parametrize("data", [b"\xff", b'{"a":"\xc3"}', b'{"a":"\xed\xa0\x80"}', "{}".encode("utf-16")])
def test_bytes_that_are_no_utf_8_are_no_json(data: bytes) -> None:
    """RFC 8259, section 8.1; a transport that should have seen it may have not."""
    assert outcome(data) == "Invalid JSON format"


@given(st.fixed_dictionaries({"message": values | chains}, optional={"stream": values}))
@settings(deadline=None, max_examples=400)
def test_a_quick_look_lets_pass_what_a_thorough_one_does(frame: dict[str, Any]) -> None:
    """Only what the quick one refuses is looked at again, to find the words for it."""
    try:
        found = quick_converter.structure(frame, MessageFrame)
    except Exception:
        with pytest.raises(ClassValidationError):
            thorough_converter.structure(frame, MessageFrame)
    else:
        assert found == thorough_converter.structure(frame, MessageFrame)


def test_the_time_of_a_message_is_not_the_clients() -> None:
    """Order is the server's business; a client that sends a time or an id sends an unknown field."""
    frame = decoded(message=[{"type": "AtAll"}], timestamp="1970-01-01", id=5, sender={"id": "root"})

    assert frame == MessageFrame((AtAll(),))


@pytest.mark.parametrize(
    "text",
    [
        "a, " * 50_000,
        '[{"a": 1}]' * 20_000,
        ',"' * 50_000,
        "\\" * 50_000 + "," * 50_000,
        "\n,\u2028" * 20_000,
    ],
)
def test_marks_within_text_are_no_values(text: str) -> None:
    """A novel has more commas than a frame may have values."""
    frame = decode(json.dumps({"message": [{"type": "Plain", "text": text}]}))

    assert isinstance(frame, MessageFrame)
    assert frame.message == (Plain(text),)


@pytest.mark.parametrize(
    ("monster", "text"),
    [
        ('{"message":[' + ",".join(['{"type":"AtAll"}'] * 50_000) + "]}", TOO_MANY),
        ('{"type":"ping","x":[' + ",".join(["{}"] * 50_000) + "]}", TOO_MANY),
        ('{"x":"' + "," * 50_000 + '",' + '""' * 200_000, TOO_MANY),
        ("[" * 100_000, "Invalid JSON format"),
        ('{"x":"' + "," * 50_000 + "\\" * 100_000, "Invalid JSON format"),
        ('{"x":"' + ',\\"' * 50_000, "Invalid JSON format"),
    ],
)
def test_a_monster_is_told_what_it_is(monster: str, text: str) -> None:
    """However it is made, and whether or not it is JSON at all."""
    with pytest.raises(BadFrame) as refused:
        decode(monster)

    assert refused.value.text == text
