"""What somebody who sits between the repository and a device, or in it, can do: make it say no."""

import asyncio
import hashlib
import json
import shutil
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuf.api.metadata import Metadata

from cloud.repository import Repository
from cloud.repository.http import app
from cloud.repository.storage import blob, is_public
from edge_runtime.agent.fetch import fetch
from edge_runtime.agent.trust import Trust
from edge_runtime.bundle import Bundle
from edge_runtime.delta import apply
from edge_runtime.errors import BundleError, FleetError, LittoralError, TransferError
from tests.cloud.repository.made import bundle, reader, serving

PATH = "kws/1/rpi4.bundle"


@pytest.fixture
def made(tmp_path):
    repository = Repository.create(tmp_path / "repository", tmp_path / "keys")
    repository.publish(bundle(tmp_path / "a.bundle").path)
    return repository


@pytest.fixture
def site(made):
    with serving(reader(made)) as running:
        yield running


@pytest.fixture
def trust(made, site, tmp_path):
    known = Trust(tmp_path / "trust", site.url, made.root)
    known.refresh()
    return known


def files(made):
    """All metadata as it is now."""
    return {path: made.read(path) for path in made._storage.under("metadata")}


def refused(trust, kind, match, path=PATH):
    """It is refused in one sentence, and what was trusted before still is."""
    with pytest.raises(kind, match=match) as error:
        trust.release(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def again(trust):
    """A device that starts anew with what it has on disk."""
    return Trust(trust.folder, trust.url, trust._root, trust.clock)


# --------------------------------------------------------------------------------------- metadata
def test_forged_metadata_by_other_keys_is_refused(trust, site, tmp_path):
    other = Repository.create(tmp_path / "other", tmp_path / "other-keys")
    for seed in range(3):
        other.publish(bundle(tmp_path / f"evil{seed}.bundle", seed).path)
    site.instead = files(other)
    refused(trust, FleetError, "not signed by a key that is trusted")


def test_a_changed_signature_or_content_is_refused(trust, site, made):
    made.refresh()
    good = made.read("metadata/timestamp.json")
    for place in range(0, len(good), 37):
        bad = bytearray(good)
        bad[place] ^= 1
        site.instead = {"metadata/timestamp.json": bytes(bad)}
        with pytest.raises(FleetError):
            again(trust).release(PATH)
    site.instead = {}
    assert again(trust).release(PATH).path == PATH


def test_a_replayed_older_repository_is_refused(trust, site, made, tmp_path):
    old = files(made)
    made.publish(bundle(tmp_path / "b.bundle", 1).path)
    trust.refresh()
    site.instead = old
    refused(trust, FleetError, "an older version than is known here")
    refused(again(trust), FleetError, "an older version than is known here")


def test_a_frozen_repository_is_noticed_when_it_expires(trust, made):
    later = Trust(trust.folder, trust.url, made.root, lambda: time.time() + 4 * 86_400)
    assert "clock" in refused(later, FleetError, "expired")


def test_a_device_that_believes_it_is_1970_learns_better(made, site, tmp_path):
    first = Trust(tmp_path / "fresh", site.url, made.root, lambda: 0.0)
    first.learn_time(time.time() + 4 * 86_400)
    refused(first, FleetError, "expired")
    refused(Trust(tmp_path / "fresh", site.url, made.root, lambda: 0.0), FleetError, "expired")


def test_parts_of_different_versions_are_refused(trust, site, made, tmp_path):
    before = files(made)
    made.publish(bundle(tmp_path / "b.bundle", 1).path)
    after = files(made)
    newest = max(int(path[9:].partition(".")[0]) for path in after if "snapshot" in path)
    old = before[f"metadata/{newest - 1}.snapshot.json"]
    site.instead = {f"metadata/{newest}.snapshot.json": old}  # the old snapshot under the new one's name
    refused(again(trust), FleetError, "refused")
    site.instead = {"metadata/2.model-kws.json": before["metadata/1.model-kws.json"]}
    refused(again(trust), FleetError, "refused", "kws/2/rpi4.bundle")
    site.instead = {}
    assert again(trust).release("kws/2/rpi4.bundle").path == "kws/2/rpi4.bundle"


def stolen(keys, tmp_path):
    shutil.copytree(keys, tmp_path / "stolen")
    return tmp_path / "stolen"


def test_a_revoked_models_key_signs_nothing_any_more(trust, site, made, tmp_path):
    """The thief has that key, and the online keys too: only the model's own has been replaced."""
    thief = stolen(tmp_path / "keys", tmp_path)
    made.rotate("kws")
    for path in (tmp_path / "keys").glob("*.pem"):
        shutil.copy(path, thief)
    (thief / "signed.json").unlink()
    evil = Repository.open(tmp_path / "repository", thief)
    found, roles = evil._roles.load(), evil._roles
    roles._signers = lambda role, _known: roles.keys.signers(
        role, [path.stem[-16:] for path in thief.rglob("*.pem")]
    )
    roles.keys.forget = lambda _role, _keyids: None
    roles.commit(found, ["model-kws"])
    assert not Metadata.from_bytes(made.read("metadata/3.model-kws.json")).signed.is_expired()
    refused(trust, FleetError, "not signed by a key that is trusted")


def test_a_revoked_timestamp_key_signs_nothing_any_more(trust, site, made, tmp_path):
    thief = stolen(tmp_path / "keys", tmp_path)
    before = files(made)
    made.rotate("timestamp")
    assert trust.release(PATH).path == PATH
    shutil.copytree(tmp_path / "repository", tmp_path / "copy")
    for path in (tmp_path / "copy/metadata").glob("2.root.json"):
        path.unlink()
    (tmp_path / "copy/metadata/timestamp.json").write_bytes(before["metadata/timestamp.json"])
    evil = Repository.open(tmp_path / "copy", thief)
    for _ in range(3):
        evil.refresh()
    site.instead = {"metadata/timestamp.json": evil.read("metadata/timestamp.json")}
    refused(trust, FleetError, "not signed by a key that is trusted")


def test_endless_metadata_is_cut_off(trust, site, made):
    site.endless = True
    with pytest.raises(FleetError, match="more was sent"):
        again(trust).refresh()
    assert site.sent < 20_000_000


def test_rubbish_for_metadata_is_refused(trust, site):
    for rubbish in (b"{}", b"[]", b"\xff" * 100, b'{"signed": {"_type": "timestamp"}, "signatures": []}'):
        site.instead = {"metadata/timestamp.json": rubbish}
        refused(again(trust), FleetError, "refused")


def test_what_whoever_holds_a_models_key_signs_is_checked_too(trust, site, made, tmp_path):
    role = "model-kws"
    for nonsense in (
        {"deltas": {"x": {}}},
        {"deltas": 3},
        {"deltas": {"ab" * 32: {"sha256": "../x", "length": 3}}},
    ):
        found = made._roles.load()
        found[role].signed.targets[PATH].unrecognized_fields = {"custom": nonsense}
        made._roles.commit(found, [role])
        refused(trust, FleetError, "not complete")
    found = made._roles.load()
    found[role].signed.targets[PATH].unrecognized_fields = {}
    found[role].signed.targets[PATH].length = 1 << 50
    made._roles.commit(found, [role])
    refused(trust, FleetError, "out of bounds")


def test_one_models_key_does_not_speak_for_another(made, site, trust, tmp_path):
    made.publish(bundle(tmp_path / "b.bundle", name="doorbell").path)
    found = made._roles.load()
    target = found["model-doorbell"].signed.targets["doorbell/1/rpi4.bundle"]
    found["model-doorbell"].signed.targets["kws/7/rpi4.bundle"] = target
    made._roles.commit(found, ["model-doorbell"])
    refused(trust, FleetError, "not listed", "kws/7/rpi4.bundle")


def test_a_withdrawn_version_is_not_taken(made, trust):
    made.withdraw("kws", 1)
    refused(trust, FleetError, "withdrawn")


# ------------------------------------------------------------------------------------------ blobs
def into(tmp_path):
    return tmp_path / "slots"


def test_one_flipped_bit_in_a_bundle_is_refused(trust, site, made, tmp_path):
    signed = trust.release(PATH)
    content = bytearray(made.read(blob(signed.sha256)))
    content[len(content) // 2] ^= 4
    site.instead = {blob(signed.sha256): bytes(content)}
    with pytest.raises(TransferError, match="not what is signed"):
        fetch(signed, {}, into(tmp_path))
    assert list(into(tmp_path).iterdir()) == []


def test_endless_data_fills_no_disk(trust, site, made, tmp_path):
    signed = trust.release(PATH)
    site.endless = True
    site.instead = {blob(signed.sha256): b"x" * 65_536}
    with pytest.raises(TransferError):
        fetch(signed, {}, into(tmp_path), sleep=lambda _: None)
    assert sum(path.stat().st_size for path in into(tmp_path).iterdir()) <= signed.length
    assert site.sent < 20_000_000


@pytest.mark.parametrize("ranges", [True, False])
def test_a_longer_blob_is_refused_before_it_is_read(trust, site, made, tmp_path, ranges):
    signed = trust.release(PATH)
    site.ranges = ranges
    site.instead = {blob(signed.sha256): made.read(blob(signed.sha256)) + b"more"}
    with pytest.raises(TransferError, match=r"signed|asked for"):
        fetch(signed, {}, into(tmp_path))
    assert list(into(tmp_path).iterdir()) == []


def test_a_wrong_patch_is_replaced_by_the_whole(trust, site, made, tmp_path):
    second = made.publish(bundle(tmp_path / "b.bundle", 1).path)
    old = trust.release(PATH)
    signed = trust.release(second.path)
    patch = signed.deltas[old.sha256]
    have = {old.sha256: tmp_path / "a.bundle"}
    moved = []
    good = made.read(blob(patch.sha256))
    for bad in (good[:-1] + b"\0", good[: len(good) // 2], b"LTD2" + bytes(len(good) - 4)):
        site.instead = {blob(patch.sha256): bad}
        folder = tmp_path / f"slots{len(moved)}"
        try:
            path = fetch(signed, have, folder, progress=lambda *a: moved.append(a), sleep=lambda _: None)
        except TransferError as error:
            assert "not what is signed" in str(error) or "signed" in str(error)
        else:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == signed.sha256


def test_a_signed_patch_that_makes_something_else_is_replaced_by_the_whole(made, trust, site, tmp_path):
    second = made.publish(bundle(tmp_path / "b.bundle", 1).path)
    first = trust.release(PATH)
    found = made._roles.load()
    evil = b"LTD2" + bytes(200)
    made._storage.write(blob(hashlib.sha256(evil).hexdigest()), evil)
    custom = found["model-kws"].signed.targets[second.path].custom
    custom["deltas"][first.sha256] = {"sha256": hashlib.sha256(evil).hexdigest(), "length": len(evil)}
    made._roles.commit(found, ["model-kws"])
    signed = trust.release(second.path)
    path = fetch(signed, {first.sha256: tmp_path / "a.bundle"}, into(tmp_path))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == signed.sha256
    assert [each.name for each in into(tmp_path).iterdir()] == [path.name]


# ------------------------------------------------------------------------------------------ paths
@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "kws/../../x",
        "kws/1/../a.bundle",
        "kws/0/rpi4.bundle",
        "kws/1/rpi4.bundle\n",
        "",
    ],
)
def test_a_target_path_that_leads_elsewhere_is_refused(trust, path):
    refused(trust, FleetError, "no target path", path)


@given(st.text(max_size=60))
def test_only_metadata_and_blobs_are_served(path):
    if is_public(path):
        assert path.startswith(("metadata/", "blobs/sha256/"))
        assert ".." not in path.split("/")


@pytest.mark.parametrize(
    "path",
    [
        "/metadata/../../keys/signed.json",
        "/keys/signed.json",
        "/blobs/sha256/../../../keys/x",
        "//etc/passwd",
    ],
)
def test_the_server_shows_nothing_beside(made, path):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {"type": "http", "path": path, "method": "GET", "headers": []}
    asyncio.run(app(made)(scope, receive, send))
    assert sent[0]["status"] == 404


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "..", "a\\b", ""])
def test_a_manifest_that_names_files_outside_is_refused(tmp_path, name):
    good = bundle(tmp_path / "good").path
    manifest = json.loads((good / "manifest.json").read_bytes())
    manifest["files"][name] = {"sha256": "0" * 64, "bytes": 3}
    (good / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="outside"):
        Bundle.open(good)


def test_a_zips_own_names_lead_nowhere(tmp_path):
    """Nothing is unpacked: an entry that the manifest does not name is never read."""
    path = bundle(tmp_path / "a.bundle").path
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil", b"x")
    assert "../../evil" not in Bundle.open(path).manifest.files
    assert not (tmp_path.parent / "evil").exists()


def test_a_zip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.bundle"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * 50_000_000)
    with pytest.raises(BundleError, match="unpack"):
        Bundle.open(path)


# ---------------------------------------------------------------------------------------- patches
@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_for_a_patch_are_refused_in_one_sentence(content, like):
    old = b"an old file" * 10
    patch = b"LTD2" + hashlib.sha256(old).digest() + content if like else content
    with pytest.raises(LittoralError) as error:
        apply(old, patch, most=10_000)
    assert isinstance(error.value, TransferError)


def test_a_patch_of_a_sealed_bundle_needs_its_key(made, site, trust, tmp_path):
    made.publish(bundle(tmp_path / "s.bundle", 3, name="lock").path, seal=True)
    made.publish(bundle(tmp_path / "t.bundle", 4, name="lock").path, seal=True)
    first, second = (trust.release(f"lock/{version}/rpi4.bundle") for version in (1, 2))
    old = fetch(first, {}, into(tmp_path))
    key, moved = made._roles.keys.content_key("lock"), []
    fetch(second, {first.sha256: old}, tmp_path / "with", key=key, progress=lambda *a: moved.append(a[2]))
    assert moved[-1] == second.deltas[first.sha256].length
    for wrong in (None, bytes(32)):
        path = fetch(second, {first.sha256: old}, tmp_path / f"without{wrong}", key=wrong)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == second.sha256
    with pytest.raises(LittoralError):
        Bundle.open(old, bytes(32)).read("params.npz")
    assert Bundle.open(old, key).read("params.npz")
