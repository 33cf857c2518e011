"""pruefen.html itself, opened from a file in Debian's Chromium: what it computes, asks and shows."""

import hashlib
import os
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Browser, expect

from hub.kit.browser import modules
from tests.e2e.kit_damage import flipped, packed, uncosign, unsign_checkpoint
from tests.e2e.kit_desk import Case, Desk, agreed, at_desk
from tests.e2e.made_kits import Log, witnessed_log

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Desk, Browser]]:
    with at_desk(tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture(scope="module")
def desk(both: tuple[Desk, Browser]) -> Desk:
    return both[0]


@pytest.fixture(scope="module")
def browser(both: tuple[Desk, Browser]) -> Browser:
    return both[1]


@pytest.fixture(scope="module")
def log() -> Log:
    return witnessed_log()


VECTORS = """values => {
  CODE
  const hexes = values.map(fromHex);
  return {
    sha256: hexes.map(one => hex(sha256(one))),
    leaf: hexes.map(one => hex(leafHash(one))),
    sha512: hexes.map(one => hex(sha512(one))),
    crc32: hexes.map(one => crc32(one.subarray(1), crc32(one.subarray(0, 1)))),
  };
}"""


def test_the_pages_own_hashes_are_those_of_others(desk: Desk) -> None:
    messages = [
        bytes(at * 7 % 256 for at in range(length)) for length in (*range(130), 1000, 70_000, 200_001)
    ]
    found = desk.page.evaluate(
        VECTORS.replace("CODE", source("sha256.js", "sha512.js", "crc32.js")), [one.hex() for one in messages]
    )
    assert found["sha256"] == [hashlib.sha256(one).hexdigest() for one in messages]
    assert found["leaf"] == [hashlib.sha256(b"\0" + one).hexdigest() for one in messages]
    assert found["sha512"] == [hashlib.sha512(one).hexdigest() for one in messages]
    assert found["crc32"] == [zlib.crc32(one) for one in messages]


SIGNATURES = "cases => { CODE return cases.map(one => verifyEd25519(...one.map(fromHex))); }"


def test_the_pages_own_ed25519_is_that_of_rfc_8032(desk: Desk) -> None:
    """The fallback for browsers without it; section 7.1, tests 1 to 3, and what must be refused."""
    order = 2**252 + 27742317777372353535851937790883648493
    good = [tuple(map(bytes.fromhex, vector)) for vector in RFC_8032]
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    good += [(public, key.sign(text), text) for text in (b"", b"x" * 200, bytes(1000))]
    bad = [(pub, flipped(signature, 3), text) for pub, signature, text in good]
    bad += [(pub, flipped(signature, 40), text) for pub, signature, text in good]
    bad += [(pub, signature, text + b"!") for pub, signature, text in good]
    bad += [
        (
            pub,
            signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little"),
            text,
        )
        for pub, signature, text in good
    ]
    bad += [(bytes([255] * 32), good[0][1], b""), (good[0][0], good[0][1][:63], b"")]
    found = desk.page.evaluate(
        SIGNATURES.replace("CODE", source("ed25519.js")), [[part.hex() for part in one] for one in good + bad]
    )
    assert found == [True] * len(good) + [False] * len(bad)


RFC_8032 = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        "",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        "72",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        "af82",
    ),
)


def test_canonical_json_is_that_of_rfc_8785(desk: Desk) -> None:
    values: list[Any] = [
        {
            "numbers": [333333333.33333329, 1e30, 4.5, 2e-3, 1e-27, 0, -1, 2**53 - 1],
            "literals": [None, True, False],
        },
        {
            "\u20ac": "Euro",
            "\r": "CR",
            "\ufb33": "Dalet",
            "1": "One",
            "\U0001f600": "Smiley",
            "\x80": "C",
            "ö": "o",
        },
        {"string": '\u20ac$\u000f\nA\'B"\\\\"/\u2028\x7f', "__proto__": {"constructor": [[], {}]}},
    ]
    written = [rfc8785.dumps(value).decode() for value in values]
    code = source("canonical.js")
    found = desk.page.evaluate(
        f"texts => {{ {code} return texts.map(one => canonical(JSON.parse(one))); }}", written
    )
    assert found == written
    others = [
        " " + written[0],
        written[0].replace("4.5", "4.50"),
        '{"b":1,"a":2}',
        '{"a":1,"a":1}',
        '"a"',
        "{",
        '{"a":"\\ud800"}',
    ]
    found = desk.page.evaluate(f"texts => {{ {code} return texts.map(parsedCanonical); }}", others)
    assert found == [None] * len(others)


def source(*names: str) -> str:
    """The page's modules with what they import, as plain script."""
    return "\n".join(modules(*names, "bytes.js"))


def test_where_the_browser_cannot_verify_signatures_the_page_does(browser: Browser, desk: Desk) -> None:
    log = witnessed_log(9)
    with browser.new_context(locale="de-DE") as context:
        context.add_init_script("delete Crypto.prototype.subtle")
        alone = Desk(desk.folder, context.new_page())
        alone.open()
        expect(alone.page.locator("#self")).to_contain_text("Unterschriften prüft diese Seite selbst")
        expect(alone.page.locator("#self")).to_contain_text("nicht gegen den Browser")
        for damage, ok in ((lambda _: None, True), (unsign_checkpoint, False), (uncosign, False)):
            members = log.members()
            damage(members)
            case = Case(desk.lay("alone.zip", members), desk.lay("trust.txt", log.trust()))
            told = agreed(alone, case)
            assert told["ok"] == ok


def test_files_are_dropped_and_recognised(desk: Desk, log: Log) -> None:
    desk.open()
    files = {
        "a": packed(log),
        "b": log.trust().encode(),
        "c": log.receipt(8).encode(),
        "d": log.notes[60].encode(),
        "e": b"something else",
    }
    desk.page.evaluate(DROP, {name: b64encode(content).decode() for name, content in files.items()})
    expect(desk.page.get_by_role("heading", name="Bewiesen", exact=True)).to_be_visible()
    expect(desk.page.locator("#unknown")).to_have_text("Nicht erkannt: e")
    expect(desk.page.get_by_role("cell", name="im Protokoll", exact=True)).to_be_visible()
    expect(desk.page.locator(":focus")).to_have_id("verdict")
    desk.open()


DROP = """files => {
  const carried = new DataTransfer();
  for (const [name, content] of Object.entries(files))
    carried.items.add(new File([Uint8Array.from(atob(content), sign => sign.charCodeAt(0))], name));
  document.getElementById('drop').dispatchEvent(
    new DragEvent('drop', {dataTransfer: carried, bubbles: true, cancelable: true}));
}"""


def test_a_large_kit_shows_how_far_it_is(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """How long a kit takes is printed, not judged: HUB_KIT_ENTRIES says how large it is."""
    wanted = int(os.environ.get("HUB_KIT_ENTRIES", "6000"))
    log = Log()
    while len(log.bodies) < wanted:
        log.tell(len(log.bodies))
        if len(log.bodies) % 600 == 0:
            log.sign()
    log.sign()
    kit = desk.lay("large.zip", log.members())
    desk.page.evaluate(WATCH)
    began = time.perf_counter()
    told = desk.by_page(Case(kit, desk.lay("large.txt", log.trust())))
    seconds = time.perf_counter() - began
    assert told["ok"]
    assert told["entries"] == len(log.bodies)
    with capsys.disabled():
        print(  # noqa: T201 -- a figure for whoever runs it
            f"\n{wanted} entries, {kit.stat().st_size / 1e6:.1f} MB: {seconds:.1f} s in the browser"
        )
    steps = desk.page.evaluate("window.steps")
    assert len(set(steps)) > 3
    assert steps == sorted(steps)


WATCH = """() => {
  window.steps = [];
  const bar = document.getElementById('bar');
  new MutationObserver(() => window.steps.push(bar.value)).observe(bar, {attributes: true});
}"""


def test_nothing_leaves_the_page(desk: Desk) -> None:
    """It asked for itself and for what it saved, and the browser had nothing to complain about."""
    assert {url.partition(":")[0] for url in desk.asked} <= {"file", "blob"}
    assert {url for url in desk.asked if url.startswith("file:")} == {(desk.folder / "pruefen.html").as_uri()}
    assert desk.complaints == []
    policy = desk.page.locator("meta[http-equiv]").get_attribute("content") or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for out in (
        "fetch('https://example.org/')",
        "new Worker('data:text/javascript,1')",
        "import('data:text/javascript,1')",
    ):
        refused = desk.page.evaluate(
            f"async () => {{ try {{ await {out}; return 'done'; }} catch (error) {{ return 'no'; }} }}"
        )
        assert (refused == "no") or out.startswith("new Worker")
